//! The PCI transport with one MSI-X interrupt for all queues and one for changes of the
//! configuration, and doorbells that cost one access.
//!
//! Interrupts by message need no acknowledgement, so that a handler need not reach the device.
//!
//! Specification: Virtio 1.2, 4.1; PCI Local Bus 3.0, 6.8.2 (MSI-X).

mod capability;
mod error;

use core::cell::RefCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Hal, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use capability::{Function, Notify, Region};
pub use error::{MsixError, Structure};

/// Queues with a doorbell at hand: one per direction, not the control queue's, which is rarely rung.
const QUEUES: usize = 2;

/// No interrupt (4.1.4.3).
const NO_VECTOR: u16 = 0xffff;
/// The entries of the MSI-X table in use: for queues, and for changes of the configuration.
const VECTOR: u16 = 0;
const CONFIG_VECTOR: u16 = 1;

/// Offsets in `struct virtio_pci_common_cfg` (4.1.4.3).
const COMMON_CONFIG_VECTOR: usize = 16;
const COMMON_QUEUE_SELECT: usize = 22;
const COMMON_QUEUE_VECTOR: usize = 26;
const COMMON_QUEUE_NOTIFY_OFF: usize = 30;

/// What the device writes to interrupt a CPU.
///
/// ```
/// use virtio_net::pci::MsiMessage;
///
/// // On x86: vector 0xf4 of the CPU whose local APIC has the number 1.
/// let message = MsiMessage { address: 0xfee0_0000 | 1 << 12, data: 0xf4 };
/// assert_eq!(message.address % 4, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsiMessage {
    /// Where to, a multiple of 4.
    pub address: u64,
    /// What.
    pub data: u32,
}

/// How a device interrupts.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use virtio_net::pci::{Interrupts, MsiMessage};
///
/// /// Set by the handler of vector 0xf5.
/// static HAS_CHANGED: AtomicBool = AtomicBool::new(false);
/// let message = |vector| MsiMessage { address: 0xfee0_0000, data: vector };
/// let interrupts =
///     Interrupts { queues: message(0xf4), config: message(0xf5), has_changed: &HAS_CHANGED };
/// assert_ne!(interrupts.queues, interrupts.config);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Interrupts {
    /// For all queues.
    pub queues: MsiMessage,
    /// For changes of the configuration, such as a link that goes down.
    pub config: MsiMessage,
    /// Whether there has been one: set by its handler, cleared by the driver.
    pub has_changed: &'static AtomicBool,
}

/// A virtio PCI device that interrupts by MSI-X.
///
/// ```no_run
/// # use virtio_drivers::Hal;
/// # use virtio_net::{OpenError, VirtioNet, pci::MsixTransport};
/// # fn open<H: Hal>(transport: MsixTransport) -> Result<(), OpenError> {
/// let net: VirtioNet<H, MsixTransport> = VirtioNet::new(transport)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MsixTransport {
    inner: PciTransport,
    /// The registers that `inner` does not give access to.
    common: Region,
    notify: Notify,
    doorbells: [Option<NonNull<u16>>; QUEUES],
    config_vector: u16,
    has_changed: &'static AtomicBool,
}

// SAFETY: the pointers are to registers, which any thread may access, and only `&mut self` is used
// to do so.
unsafe impl Send for MsixTransport {}

impl MsixTransport {
    /// Finds the registers of a device, whose BARs are assigned and decoded, and routes its
    /// interrupts.
    ///
    /// It takes the configuration access itself, because a `PciRoot` does not let it through to
    /// the MSI-X capability.
    ///
    /// ```no_run
    /// # use virtio_drivers::{Hal, transport::pci::bus::{ConfigurationAccess, DeviceFunction}};
    /// # use virtio_net::pci::{Interrupts, MsixError, MsixTransport};
    /// # fn find<H: Hal>(
    /// #     access: &mut impl ConfigurationAccess, interrupts: Interrupts
    /// # ) -> Result<(), MsixError> {
    /// let function = DeviceFunction { bus: 0, device: 3, function: 0 };
    /// let transport = MsixTransport::new::<H, _>(access, function, interrupts)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`MsixError`], which names what is missing.
    pub fn new<H: Hal, C: ConfigurationAccess>(
        access: &mut C,
        function: DeviceFunction,
        interrupts: Interrupts,
    ) -> core::result::Result<Self, MsixError> {
        let access = RefCell::new(access);
        let mut config = Function::new(&access, function);
        // While it is switched off, sizing a BAR moves nothing in the machine's memory map, which an
        // emulator would build anew each time.
        config.set_decoding(false);
        let common = config.common_config::<H>()?;
        let notify = config.notify::<H>()?;
        let msix = config.msix::<H>()?;
        let inner = config.transport::<H>()?;
        config.set_decoding(true);
        let has_config_entry = msix.enable(&mut config, &interrupts);
        let config_vector = if has_config_entry { CONFIG_VECTOR } else { NO_VECTOR };
        let Interrupts { has_changed, .. } = interrupts;
        Ok(Self { inner, common, notify, doorbells: [None; QUEUES], config_vector, has_changed })
    }

    /// Routes the interrupt for changes of the configuration, which a reset has undone (4.1.5.1.2).
    /// The device may have no vector for it; then they go unnoticed.
    fn watch_config(&mut self) {
        self.common.write_u16(COMMON_CONFIG_VECTOR, self.config_vector);
        if self.common.read_u16(COMMON_CONFIG_VECTOR) != CONFIG_VECTOR {
            log::warn!("virtio-net: no second MSI-X vector: changes of the link go unnoticed");
        }
    }

    /// Routes the interrupts of a queue that is not enabled yet (4.1.5.1.2) and finds its doorbell
    /// (4.1.4.4). False, with a log entry, if the device does not comply.
    fn connect(&mut self, queue: u16) -> bool {
        self.common.write_u16(COMMON_QUEUE_SELECT, queue);
        self.common.write_u16(COMMON_QUEUE_VECTOR, VECTOR);
        let routed = self.common.read_u16(COMMON_QUEUE_VECTOR);
        if routed != VECTOR {
            log::error!("virtio-net: no MSI-X vector {VECTOR:#x} for queue {queue}: {routed:#x}");
            return false;
        }
        let notify_off = self.common.read_u16(COMMON_QUEUE_NOTIFY_OFF);
        let Some(doorbell) = self.notify.doorbell(notify_off) else {
            log::error!("virtio-net: doorbell {notify_off} of queue {queue} is out of range");
            return false;
        };
        if let Some(entry) = self.doorbells.get_mut(usize::from(queue)) {
            *entry = Some(doorbell);
        }
        true
    }
}

impl Transport for MsixTransport {
    /// One register access instead of the three that `PciTransport` needs to find the register.
    fn notify(&mut self, queue: u16) {
        match self.doorbells.get(usize::from(queue)) {
            // SAFETY: `Notify::doorbell` gives an aligned address within the notification
            // registers, which are mapped for good, and which accept a queue's index (4.1.5.2).
            Some(Some(doorbell)) => unsafe { doorbell.write_volatile(queue) },
            _ => self.inner.notify(queue),
        }
    }

    /// A queue that cannot be connected stays disabled, which [`queue_used`](Self::queue_used)
    /// shows.
    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        if self.connect(queue) {
            self.inner.queue_set(queue, size, descriptors, driver_area, device_area);
        }
    }

    fn queue_unset(&mut self, queue: u16) {
        self.inner.queue_unset(queue);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.inner.queue_used(queue)
    }

    fn device_type(&self) -> DeviceType {
        self.inner.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.inner.read_device_features()
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.inner.write_driver_features(driver_features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.inner.max_queue_size(queue)
    }

    fn get_status(&self) -> DeviceStatus {
        self.inner.get_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        if status.contains(DeviceStatus::DRIVER_OK) {
            self.watch_config();
        }
        self.inner.set_status(status);
    }

    fn set_guest_page_size(&mut self, guest_page_size: u32) {
        self.inner.set_guest_page_size(guest_page_size);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.inner.requires_legacy_layout()
    }

    /// Whether the configuration has changed, as the handler of its interrupt has noted: by MSI-X
    /// each cause has a vector of its own, and the register that names causes is left alone
    /// (4.1.4.5.2).
    fn ack_interrupt(&mut self) -> InterruptStatus {
        match self.has_changed.swap(false, Ordering::Acquire) {
            true => InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT,
            false => InterruptStatus::empty(),
        }
    }

    fn read_config_generation(&self) -> u32 {
        self.inner.read_config_generation()
    }

    fn read_config_space<V: FromBytes + IntoBytes>(&self, offset: usize) -> Result<V> {
        self.inner.read_config_space(offset)
    }

    fn write_config_space<V: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: V,
    ) -> Result<()> {
        self.inner.write_config_space(offset, value)
    }
}
