//! The PCI transport on configuration space and registers in memory.

mod device;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use device::memory::{FakeHal, load, store};
use virtio_drivers::transport::pci::VirtioPciError;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use virtio_drivers::transport::{DeviceStatus, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use virtio_net::pci::{Interrupts, MsiMessage, MsixError, MsixTransport, Structure};

const FUNCTION: DeviceFunction = DeviceFunction { bus: 0, device: 3, function: 0 };
static HAS_CHANGED: AtomicBool = AtomicBool::new(false);
const INTERRUPTS: Interrupts = Interrupts {
    queues: MsiMessage { address: 0x12_fee0_1000, data: 0x41 },
    config: MsiMessage { address: 0x12_fee0_2000, data: 0x42 },
    has_changed: &HAS_CHANGED,
};

/// All registers are in BAR 4, a 64-bit one; these are their offsets.
const COMMON: u32 = 0;
const MSIX_TABLE: u32 = 0x800;
const ISR: u32 = 0x1000;
const NET_CONFIG: u32 = 0x2000;
const NOTIFY: u32 = 0x3000;
const BAR_LEN: u32 = 0x4000;
const PAGES: usize = 2 * BAR_LEN as usize / PAGE_SIZE;

const COMMON_CONFIG_VECTOR: u32 = 16;
const COMMON_QUEUE_SELECT: u32 = 22;
const COMMON_QUEUE_SIZE: u32 = 24;
const COMMON_QUEUE_VECTOR: u32 = 26;
const COMMON_QUEUE_ENABLE: u32 = 28;
const COMMON_QUEUE_NOTIFY_OFF: u32 = 30;
const COMMON_QUEUE_DESC: u32 = 32;

const BAR4: u8 = 0x20;
const CAP_COMMON: u8 = 0x40;
const CAP_NOTIFY: u8 = 0x50;
const CAP_ISR: u8 = 0x64;
const CAP_NET_CONFIG: u8 = 0x74;
const CAP_MSIX: u8 = 0x84;
const MSIX_CONTROL_READ_ONLY: u32 = 3 << 16;

/// Configuration space by register, and what was written to the MSI-X capability.
struct Config {
    words: BTreeMap<u8, u32>,
    memory: (PhysAddr, NonNull<u8>),
    bar: PhysAddr,
    msix_writes: RefCell<Vec<u32>>,
}

impl Config {
    fn new() -> Self {
        let memory = FakeHal::dma_alloc(PAGES, BufferDirection::Both);
        // A BAR is aligned to its length.
        let bar = memory.0.next_multiple_of(BAR_LEN.into());
        let mut words = BTreeMap::from([
            (0x00, 0x1041_1af4),
            // There are capabilities; memory is decoded.
            (0x04, 1 << 20 | 1 << 1),
            (0x34, CAP_COMMON.into()),
            (BAR4, bar as u32 | 0b100),
            (BAR4 + 4, (bar >> 32) as u32),
            (CAP_NOTIFY + 16, 4),
            (CAP_MSIX, 0x11 | MSIX_CONTROL_READ_ONLY),
            (CAP_MSIX + 4, MSIX_TABLE | 4),
        ]);
        let mut virtio = |at: u8, next: u8, kind: u32, place: u32, len: u32| {
            let cap_len = u32::from(next - at);
            words.insert(at, 0x09 | u32::from(next) << 8 | cap_len << 16 | kind << 24);
            words.insert(at + 4, 4);
            words.insert(at + 8, place);
            words.insert(at + 12, len);
        };
        virtio(CAP_COMMON, CAP_NOTIFY, 1, COMMON, 0x38);
        virtio(CAP_NOTIFY, CAP_ISR, 2, NOTIFY, 0x100);
        virtio(CAP_ISR, CAP_NET_CONFIG, 3, ISR, 4);
        virtio(CAP_NET_CONFIG, CAP_MSIX, 4, NET_CONFIG, 0x40);
        Self { words, memory, bar, msix_writes: RefCell::default() }
    }

    fn open(&mut self) -> Result<MsixTransport, MsixError> {
        MsixTransport::new::<FakeHal, _>(self, FUNCTION, INTERRUPTS)
    }

    /// A register in the BAR.
    fn at(&self, offset: u32) -> PhysAddr {
        self.bar + PhysAddr::from(offset)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: `new` has allocated it, and every transport is gone.
        unsafe { FakeHal::dma_dealloc(self.memory.0, self.memory.1, PAGES) };
    }
}

impl ConfigurationAccess for Config {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        assert_eq!(function, FUNCTION);
        self.words.get(&register).copied().unwrap_or_default()
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        assert_eq!(function, FUNCTION);
        let value = match register {
            CAP_MSIX => {
                self.msix_writes.get_mut().push(value);
                return;
            }
            0x04 => self.words[&0x04] & 0xffff_0000 | value & 0xffff,
            BAR4 => value & !(BAR_LEN - 1) | self.words[&BAR4] & 0b1111,
            _ => value,
        };
        if self.words.contains_key(&register) {
            self.words.insert(register, value);
        }
    }

    unsafe fn unsafe_clone(&self) -> Self {
        unreachable!("only for searching a bus")
    }
}

#[test]
fn the_messages_are_in_the_table_before_it_is_unmasked() {
    let mut config = Config::new();
    let table = config.at(MSIX_TABLE);
    store(table + 12, 1_u32);
    store(table + 28, 1_u32);
    let _transport = config.open().unwrap();
    let table: [u32; 8] = load(table);
    assert_eq!(table, [0xfee0_1000, 0x12, 0x41, 0, 0xfee0_2000, 0x12, 0x42, 0]);
    let enabled = 1 << 31 | MSIX_CONTROL_READ_ONLY;
    assert_eq!(*config.msix_writes.borrow(), [enabled | 1 << 30, enabled]);
}

/// A reset takes the vector away.
#[test]
fn changes_of_the_configuration_interrupt_from_the_moment_the_driver_is_ready() {
    let mut config = Config::new();
    let mut transport = config.open().unwrap();
    store(config.at(COMMON_CONFIG_VECTOR), 0xffff_u16);
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
    assert_eq!(load::<u16>(config.at(COMMON_CONFIG_VECTOR)), 0xffff);
    transport.finish_init();
    assert_eq!(load::<u16>(config.at(COMMON_CONFIG_VECTOR)), 1);
}

#[test]
fn a_device_with_one_vector_keeps_it_for_its_queues() {
    let mut config = Config::new();
    config.words.insert(CAP_MSIX, 0x11);
    store(config.at(MSIX_TABLE) + 16, [7_u32; 4]);
    let mut transport = config.open().unwrap();
    assert_eq!(load::<[u32; 4]>(config.at(MSIX_TABLE) + 16), [7; 4], "no entry of its table");
    transport.finish_init();
    assert_eq!(load::<u16>(config.at(COMMON_CONFIG_VECTOR)), 0xffff);
    transport.queue_set(0, 256, 0x1000, 0x2000, 0x3000);
    assert_eq!(load::<u16>(config.at(COMMON_QUEUE_VECTOR)), 0);
}

#[test]
fn a_change_that_the_handler_has_noted_is_told_once() {
    let mut config = Config::new();
    let mut transport = config.open().unwrap();
    assert!(transport.ack_interrupt().is_empty());
    HAS_CHANGED.store(true, Ordering::Release);
    assert!(transport.ack_interrupt() == InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT);
    assert!(transport.ack_interrupt().is_empty());
}

#[test]
fn both_queues_interrupt_by_the_same_vector() {
    let mut config = Config::new();
    let mut transport = config.open().unwrap();
    for queue in [0, 1] {
        transport.queue_set(queue, 256, 0x1000, 0x2000, 0x3000);
        assert_eq!(load::<u16>(config.at(COMMON_QUEUE_SELECT)), queue);
        assert_eq!(load::<u16>(config.at(COMMON_QUEUE_VECTOR)), 0);
        assert_eq!(load::<u16>(config.at(COMMON_QUEUE_SIZE)), 256);
        assert_eq!(load::<u64>(config.at(COMMON_QUEUE_DESC)), 0x1000);
        assert!(transport.queue_used(queue));
    }
}

#[test]
fn each_queue_rings_its_own_doorbell_and_touches_nothing_else() {
    let mut config = Config::new();
    let mut transport = config.open().unwrap();
    for queue in [0, 1] {
        store(config.at(COMMON_QUEUE_NOTIFY_OFF), 3 + queue);
        transport.queue_set(queue, 256, 0x1000, 0x2000, 0x3000);
    }
    store(config.at(COMMON_QUEUE_SELECT), 77_u16);
    for queue in [0, 1] {
        let doorbell = config.at(NOTIFY + 4 * (3 + u32::from(queue)));
        store(doorbell, 0xeeee_u16);
        transport.notify(queue);
        assert_eq!(load::<u16>(doorbell), queue);
    }
    assert_eq!(load::<u16>(config.at(COMMON_QUEUE_SELECT)), 77);
}

#[test]
fn a_queue_without_a_doorbell_stays_disabled() {
    for notify_off in [0x40, 0xffff_u16] {
        let mut config = Config::new();
        let mut transport = config.open().unwrap();
        store(config.at(COMMON_QUEUE_NOTIFY_OFF), notify_off);
        transport.queue_set(0, 256, 0x1000, 0x2000, 0x3000);
        assert_eq!(load::<u16>(config.at(COMMON_QUEUE_ENABLE)), 0);
        assert!(!transport.queue_used(0));
    }
}

#[test]
fn what_is_missing_is_named() {
    let vendor = MsixError::Transport(VirtioPciError::InvalidVendorId(0x8086));
    let msix = Structure::MsixTable;
    let no_memory = |bar| MsixError::NoMemoryBar { structure: msix, bar };
    let cases = [
        (0x00, 0x1041_8086, vendor),
        // The list ends early, or never.
        (CAP_NET_CONFIG, 0x0410_0009, MsixError::Missing(msix)),
        (CAP_NET_CONFIG, 0x0410_4009, MsixError::Missing(msix)),
        (CAP_COMMON, 0x0110_0009, MsixError::Missing(Structure::Notify)),
        (0x34, CAP_NOTIFY.into(), MsixError::Missing(Structure::CommonConfig)),
        // An unused BAR, two that do not exist, and offsets from the end of the BAR on.
        (CAP_MSIX + 4, MSIX_TABLE, no_memory(0)),
        (CAP_MSIX + 4, MSIX_TABLE | 6, no_memory(6)),
        (CAP_MSIX + 4, MSIX_TABLE | 7, no_memory(7)),
        (CAP_MSIX + 4, BAR_LEN | 4, MsixError::OutOfRange(msix)),
        (CAP_MSIX + 4, 0xffff_fff8 | 4, MsixError::OutOfRange(msix)),
        (CAP_COMMON + 12, 0x20, MsixError::OutOfRange(Structure::CommonConfig)),
        (CAP_COMMON + 12, u32::MAX, MsixError::OutOfRange(Structure::CommonConfig)),
        (CAP_NOTIFY + 8, NOTIFY + 1, MsixError::OutOfRange(Structure::Notify)),
    ];
    for (register, value, expected) in cases {
        let mut config = Config::new();
        config.words.insert(register, value);
        assert_eq!(config.open().unwrap_err(), expected, "{register:#x}: {value:#x}");
        assert!(config.msix_writes.borrow().is_empty());
    }
}

#[test]
fn registers_in_ports_are_refused() {
    let mut config = Config::new();
    config.words.insert(0x14, 0xc001);
    config.words.insert(CAP_MSIX + 4, MSIX_TABLE | 1);
    let error = config.open().unwrap_err();
    assert_eq!(error, MsixError::NoMemoryBar { structure: Structure::MsixTable, bar: 1 });
    assert_eq!(error.to_string(), "MSI-X registers are in BAR 1, which has no memory");
}
