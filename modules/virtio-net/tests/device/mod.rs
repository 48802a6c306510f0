//! A virtio-net device in memory: the device's side of two split rings, which a test drives step
//! by step, as a correct device or as one that breaks the rules.

#![allow(dead_code, unreachable_pub, reason = "shared by test crates that use a part each")]

pub mod filter;
pub mod memory;

use std::sync::{Arc, Mutex, MutexGuard};

use netdev::{Device, Receiver, TxOffload};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use virtio_net::{OpenError, VirtioNet};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use memory::{FakeHal, load, store};

pub const RX: u16 = 0;
pub const TX: u16 = 1;
pub const CONTROL: u16 = 2;
pub const HEADER_LEN: usize = 12;
/// The length of the driver's receive buffers.
pub const BUFFER_LEN: u32 = 2048;
/// Descriptors that each queue has unless said otherwise.
pub const RING: usize = 256;
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub const F_CSUM: u64 = 1 << 0;
pub const F_GUEST_CSUM: u64 = 1 << 1;
pub const F_MTU: u64 = 1 << 3;
pub const F_MAC: u64 = 1 << 5;
pub const F_GUEST_TSO4: u64 = 1 << 7;
pub const F_GUEST_TSO6: u64 = 1 << 8;
pub const F_HOST_TSO4: u64 = 1 << 11;
pub const F_HOST_TSO6: u64 = 1 << 12;
pub const F_MRG_RXBUF: u64 = 1 << 15;
pub const F_STATUS: u64 = 1 << 16;
pub const F_CTRL_VQ: u64 = 1 << 17;
pub const F_CTRL_RX: u64 = 1 << 18;
pub const F_MQ: u64 = 1 << 22;
pub const F_INDIRECT_DESC: u64 = 1 << 28;
pub const F_EVENT_IDX: u64 = 1 << 29;
pub const F_VERSION_1: u64 = 1 << 32;

const DESCRIPTOR_NEXT: u16 = 1;
const DESCRIPTOR_WRITE: u16 = 2;

/// What most frames leave to the device.
pub const PLAIN: TxOffload = TxOffload { checksum: None, segmentation: None };

/// All that the driver leaves to devices.
pub const F_OFFLOADS: u64 =
    F_CSUM | F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_HOST_TSO4 | F_HOST_TSO6 | F_MRG_RXBUF;

pub type Net = VirtioNet<FakeHal, FakeTransport>;

/// What the device is like; the default is one that works.
pub struct Traits {
    pub device_type: DeviceType,
    pub features: u64,
    pub mac: [u8; 6],
    pub mtu: u16,
    pub config_len: usize,
    pub queue_sizes: [u32; 2],
    pub control_size: u32,
    pub refuses_features: bool,
    pub refuses_queue: Option<u16>,
    /// Reads of the status until a reset is finished.
    pub reset_reads: usize,
    /// It looks for new buffers when it is notified, and only then.
    pub is_lazy: bool,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            device_type: DeviceType::Network,
            // Those that the driver must not take are offered, too.
            features: F_VERSION_1 | F_MAC | F_STATUS | F_EVENT_IDX | F_INDIRECT_DESC | F_MQ,
            mac: MAC,
            mtu: 1500,
            config_len: 12,
            queue_sizes: [RING as u32; 2],
            control_size: 64,
            refuses_features: false,
            refuses_queue: None,
            reset_reads: 0,
            is_lazy: false,
        }
    }
}

/// The test's hand on the device.
#[derive(Clone)]
pub struct Handle(Arc<Mutex<State>>);

/// The driver's.
pub struct FakeTransport(Arc<Mutex<State>>);

struct State {
    traits: Traits,
    status: DeviceStatus,
    resetting: Option<usize>,
    driver_features: u64,
    link_status: u16,
    has_config_changed: bool,
    queues: [Option<Queue>; 3],
    kicks: [usize; 3],
    filter: filter::Filter,
}

#[derive(Clone, Copy)]
struct Queue {
    size: u16,
    descriptors: PhysAddr,
    available: PhysAddr,
    used: PhysAddr,
    /// The available index as of the last notification.
    announced: u16,
    taken: u16,
    returned: u16,
}

/// A buffer that the device has taken from a queue.
#[derive(Debug, Clone, Copy)]
pub struct Buffer {
    pub id: u16,
    pub address: PhysAddr,
    pub len: u32,
}

/// A device and its open driver.
pub fn open(traits: Traits) -> (Net, Handle) {
    let (device, transport) = device(traits);
    (Net::new(transport).map_err(|error| error.to_string()).unwrap(), device)
}

/// A device with all offloads, and its driver.
pub fn open_with_offloads() -> (Net, Handle) {
    open(Traits { features: Traits::default().features | F_OFFLOADS, ..Traits::default() })
}

/// Why a device cannot be opened. Nothing may be left of the attempt.
pub fn open_error(traits: Traits) -> (OpenError, Handle) {
    let (device, transport) = device(traits);
    let error = Net::new(transport).err().expect("the driver accepts the device");
    assert_eq!(memory::live(), 0, "leaked by {error}");
    (error, device)
}

pub fn device(traits: Traits) -> (Handle, FakeTransport) {
    let state = Arc::new(Mutex::new(State {
        traits,
        // As a driver leaves it that has only looked.
        status: DeviceStatus::ACKNOWLEDGE,
        resetting: None,
        driver_features: 0,
        link_status: 1,
        has_config_changed: false,
        queues: [None; 3],
        kicks: [0; 3],
        filter: filter::Filter::default(),
    }));
    (Handle(state.clone()), FakeTransport(state))
}

impl Handle {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn queue<R>(&self, queue: u16, f: impl FnOnce(&mut Queue) -> R) -> R {
        f(self.state().queues[usize::from(queue)].as_mut().expect("queue is not set up"))
    }

    pub fn status(&self) -> DeviceStatus {
        self.state().status
    }

    pub fn driver_features(&self) -> u64 {
        self.state().driver_features
    }

    pub fn set_reset_reads(&self, reads: usize) {
        self.state().traits.reset_reads = reads;
    }

    pub fn set_link(&self, is_up: bool) {
        let mut state = self.state();
        state.link_status = is_up.into();
        state.has_config_changed = true;
    }

    /// Notifications of a queue so far.
    pub fn kicks(&self, queue: u16) -> usize {
        self.state().kicks[usize::from(queue)]
    }

    /// Sets or clears `VIRTQ_USED_F_NO_NOTIFY`.
    pub fn suppress_kicks(&self, queue: u16, suppress: bool) {
        self.queue(queue, |q| store(q.used, u16::from(suppress)));
    }

    /// Whether `VIRTQ_AVAIL_F_NO_INTERRUPT` is clear.
    pub fn may_interrupt(&self, queue: u16) -> bool {
        self.queue(queue, |q| load::<u16>(q.available) == 0)
    }

    /// Takes the next available buffer.
    pub fn take(&self, queue: u16) -> Option<Buffer> {
        let is_lazy = self.state().traits.is_lazy;
        self.queue(queue, |q| q.take(is_lazy))
    }

    /// Puts anything at all into the used ring.
    pub fn put_used(&self, queue: u16, id: u32, len: u32) {
        self.queue(queue, |q| q.put_used(id, len));
    }

    /// Moves the used index without writing entries.
    pub fn jump_used(&self, queue: u16, count: u16) {
        self.queue(queue, |q| {
            q.returned = q.returned.wrapping_add(count);
            store(q.used + 2, q.returned);
        });
    }

    /// Receives a frame from the wire; false if there is no buffer for it.
    pub fn deliver(&self, frame: &[u8]) -> bool {
        self.deliver_as(frame, (HEADER_LEN + frame.len()) as u32)
    }

    /// Like [`deliver`](Self::deliver), with any length reported.
    pub fn deliver_as(&self, frame: &[u8], written: u32) -> bool {
        let Some(buffer) = self.take(RX) else { return false };
        buffer.write(&received_header(1));
        buffer.at(HEADER_LEN).write(frame);
        self.put_used(RX, buffer.id.into(), written);
        true
    }

    /// Receives a frame into as many buffers as it takes, which must be there. Returns those.
    pub fn deliver_merged(&self, frame: &[u8]) -> Vec<Buffer> {
        let count = (HEADER_LEN + frame.len()).div_ceil(BUFFER_LEN as usize);
        let buffers: Vec<_> = (0..count).map(|_| self.take(RX).expect("no buffer")).collect();
        let bytes = [&received_header(count as u16)[..], frame].concat();
        for (buffer, part) in buffers.iter().zip(bytes.chunks(BUFFER_LEN as usize)) {
            buffer.write(part);
            self.put_used(RX, buffer.id.into(), part.len() as u32);
        }
        buffers
    }

    /// Takes a frame to send, without returning its buffer.
    pub fn take_frame(&self) -> Option<(Buffer, Vec<u8>)> {
        let (buffer, header, frame) = self.take_with_header()?;
        assert_eq!(header, [0; HEADER_LEN], "a header that asks for offloads");
        Some((buffer, frame))
    }

    /// Takes a frame to send and the header before it, without returning its buffer.
    pub fn take_with_header(&self) -> Option<(Buffer, Vec<u8>, Vec<u8>)> {
        let buffer = self.take(TX)?;
        let mut header = buffer.read();
        let frame = header.split_off(HEADER_LEN);
        Some((buffer, header, frame))
    }

    /// Sends the next frame.
    pub fn send(&self) -> Option<Vec<u8>> {
        let (buffer, frame) = self.take_frame()?;
        self.put_used(TX, buffer.id.into(), 0);
        Some(frame)
    }
}

/// The header of a received frame that takes so many buffers (5.1.6.4.1).
pub fn received_header(buffers: u16) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[10..].copy_from_slice(&buffers.to_le_bytes());
    header
}

impl Buffer {
    /// The part behind the first `offset` bytes.
    pub fn at(self, offset: usize) -> Self {
        Self { address: self.address + offset as u64, len: self.len - offset as u32, ..self }
    }

    pub fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len as usize);
        for (i, byte) in bytes.iter().enumerate() {
            store(self.address + i as u64, *byte);
        }
    }

    pub fn read(&self) -> Vec<u8> {
        (0..self.len).map(|i| load(self.address + u64::from(i))).collect()
    }
}

impl Queue {
    fn take(&mut self, is_lazy: bool) -> Option<Buffer> {
        let id = self.take_id(is_lazy)?;
        let (buffer, flags, _) = self.descriptor(id);
        assert_eq!(flags & !DESCRIPTOR_WRITE, 0, "a chain or an indirect descriptor");
        Some(buffer)
    }

    /// A request, and where its answer is to be.
    fn take_request(&mut self) -> Option<(Buffer, Buffer)> {
        let id = self.take_id(true)?;
        let (request, flags, next) = self.descriptor(id);
        assert_eq!(flags, DESCRIPTOR_NEXT, "an answer follows");
        let (answer, flags, _) = self.descriptor(next);
        assert_eq!(flags, DESCRIPTOR_WRITE, "and nothing else");
        Some((request, Buffer { id, ..answer }))
    }

    fn take_id(&mut self, is_lazy: bool) -> Option<u16> {
        let available = if is_lazy { self.announced } else { load(self.available + 2) };
        if self.taken == available {
            return None;
        }
        let slot = u64::from(self.taken % self.size);
        self.taken = self.taken.wrapping_add(1);
        Some(load(self.available + 4 + 2 * slot))
    }

    /// A descriptor's buffer, its flags and the next one.
    fn descriptor(&self, id: u16) -> (Buffer, u16, u16) {
        let descriptor = self.descriptors + 16 * u64::from(id);
        let buffer = Buffer { id, address: load(descriptor), len: load(descriptor + 8) };
        (buffer, load(descriptor + 12), load(descriptor + 14))
    }

    fn put_used(&mut self, id: u32, len: u32) {
        let entry = self.used + 4 + 8 * u64::from(self.returned % self.size);
        store(entry, id);
        store(entry + 4, len);
        self.returned = self.returned.wrapping_add(1);
        store(self.used + 2, self.returned);
    }
}

impl State {
    fn config(&self) -> Vec<u8> {
        let mut config = self.traits.mac.to_vec();
        config.extend(self.link_status.to_le_bytes());
        config.extend(1_u16.to_le_bytes());
        config.extend(self.traits.mtu.to_le_bytes());
        config.truncate(self.traits.config_len);
        config
    }

    /// One read of the status, by which a reset comes nearer.
    fn read_status(&mut self) -> DeviceStatus {
        match self.resetting {
            Some(0) => {
                self.resetting = None;
                self.status = DeviceStatus::empty();
                self.queues = [None; 3];
                memory::set_unused();
            }
            Some(reads) => self.resetting = Some(reads - 1),
            None => {}
        }
        self.status
    }
}

impl FakeTransport {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Transport for FakeTransport {
    fn device_type(&self) -> DeviceType {
        self.state().traits.device_type
    }

    fn read_device_features(&mut self) -> u64 {
        self.state().traits.features
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.state().driver_features = driver_features;
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        let Traits { queue_sizes: [rx, tx], control_size, .. } = self.state().traits;
        [rx, tx, control_size][usize::from(queue)]
    }

    fn notify(&mut self, queue: u16) {
        let mut state = self.state();
        assert!(state.status.contains(DeviceStatus::DRIVER_OK), "notified before DRIVER_OK");
        state.kicks[usize::from(queue)] += 1;
        let queue = state.queues[usize::from(queue)].as_mut().expect("queue is not set up");
        queue.announced = load(queue.available + 2);
    }

    fn get_status(&self) -> DeviceStatus {
        self.state().read_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let mut state = self.state();
        if status.is_empty() {
            state.resetting = Some(state.traits.reset_reads);
        } else if state.traits.refuses_features {
            state.status = status.difference(DeviceStatus::FEATURES_OK);
        } else {
            state.status = status;
        }
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        let mut state = self.state();
        if state.traits.refuses_queue == Some(queue) {
            return;
        }
        for address in [descriptors, driver_area, device_area] {
            memory::set_in_use(address);
        }
        state.queues[usize::from(queue)] = Some(Queue {
            size: size.try_into().unwrap(),
            descriptors,
            available: driver_area,
            used: device_area,
            announced: 0,
            taken: 0,
            returned: 0,
        });
    }

    fn queue_unset(&mut self, queue: u16) {
        self.state().queues[usize::from(queue)] = None;
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.state().queues[usize::from(queue)].is_some()
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        match std::mem::take(&mut self.state().has_config_changed) {
            true => InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT,
            false => InterruptStatus::empty(),
        }
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<V: FromBytes + IntoBytes>(&self, offset: usize) -> Result<V> {
        let config = self.state().config();
        let field = config.get(offset..).unwrap_or_default();
        V::read_from_prefix(field).map(|(value, _)| value).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<V: IntoBytes + Immutable>(&mut self, _: usize, _: V) -> Result<()> {
        Err(Error::Unsupported)
    }
}

/// Receives everything that is waiting.
pub fn receive_all(net: &mut Net) -> Vec<Vec<u8>> {
    let (rx, _) = net.split();
    std::iter::from_fn(|| rx.receive(|frame, _| frame.to_vec())).collect()
}

/// A frame whose length and content follow from `seed`. Most are short, for speed.
pub fn frame(seed: usize) -> Vec<u8> {
    let len_max = if seed.is_multiple_of(16) && !cfg!(miri) { 1514 } else { 74 };
    let len = 14 + seed * 37 % (len_max - 13);
    (0..len).map(|i| (seed * 31 + i * 7) as u8).collect()
}
