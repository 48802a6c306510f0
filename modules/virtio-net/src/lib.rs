//! A lean virtio-net driver, polled and without copies: a frame is read and written in the memory
//! that the device reads and writes.
//!
//! It is the network device alone, on top of the virtqueues, transports and hardware abstraction of
//! `virtio-drivers`. It neither looks for devices nor installs interrupt handlers, never waits for
//! a transmission, and asks for interrupts only while its owner sleeps. There are no offloads, one
//! queue per direction, and modern devices (Virtio 1.0 and later) only.
//!
//! The device is not trusted: whatever it writes into its rings, the driver neither panics nor
//! touches memory other than its own. A device that breaks the rules of the rings is given up on:
//! it receives nothing more, discards what is sent, and says that its link is down.
//!
//! - `lib.rs`: [`VirtioNet`], the device
//! - `receive.rs`, `transmit.rs`: its two halves
//! - `ring.rs`: a virtqueue and its buffers, guarded against the device
//! - `pool.rs`: the buffers
//! - `init.rs`: reset, feature negotiation, configuration space
//! - `error.rs`: why a device cannot be opened
//! - [`pci`]: the PCI transport with MSI-X interrupts
//!
//! Specification: Virtual I/O Device (VIRTIO) Version 1.2, whose sections the comments cite.

#![no_std]

extern crate alloc;

mod error;
mod init;
pub mod pci;
mod pool;
mod receive;
mod ring;
mod transmit;

use alloc::sync::Arc;

use netdev::{Device, DeviceInfo};
use spin::Mutex;
use virtio_drivers::Hal;
use virtio_drivers::transport::{DeviceStatus, Transport};

pub use error::OpenError;
pub use receive::ReceiveQueue;
pub use transmit::TransmitQueue;

/// Descriptors per queue, as many as QEMU's queues have by default: the largest that works
/// everywhere.
pub const RING_SIZE: usize = 256;

/// Bytes of `struct virtio_net_hdr` before each frame (5.1.6).
const HEADER_LEN: usize = 12;

/// A virtio network device with `N` descriptors per queue, `N` a power of two.
pub struct VirtioNet<H: Hal, T: Transport, const N: usize = RING_SIZE> {
    info: DeviceInfo,
    has_status: bool,
    /// Used to ring the doorbells and to read the configuration, never by an interrupt handler.
    transport: Arc<Mutex<T>>,
    rx: ReceiveQueue<H, T, N>,
    tx: TransmitQueue<H, T, N>,
}

impl<H: Hal, T: Transport, const N: usize> VirtioNet<H, T, N> {
    /// Resets and initialises the device (3.1.1), and has it receive. Interrupts are masked.
    ///
    /// # Errors
    /// See [`OpenError`]; the device is marked as failed then.
    pub fn new(transport: T) -> Result<Self, OpenError> {
        let transport = Arc::new(Mutex::new(transport));
        Self::open(&transport).inspect_err(|_| {
            let mut transport = transport.lock();
            let status = transport.get_status();
            transport.set_status(status | DeviceStatus::FAILED);
        })
    }

    fn open(transport: &Arc<Mutex<T>>) -> Result<Self, OpenError> {
        let settings = init::negotiate(&mut *transport.lock())?;
        let mut rx = ReceiveQueue::new(transport)?;
        let tx = TransmitQueue::new(transport, settings.info.mtu)?;
        transport.lock().finish_init();
        rx.announce();
        Ok(Self {
            info: settings.info,
            has_status: settings.has_status,
            transport: transport.clone(),
            rx,
            tx,
        })
    }
}

impl<H: Hal, T: Transport, const N: usize> Device for VirtioNet<H, T, N> {
    type Rx = ReceiveQueue<H, T, N>;
    type Tx = TransmitQueue<H, T, N>;

    fn info(&self) -> DeviceInfo {
        self.info
    }

    fn split(&mut self) -> (&mut Self::Rx, &mut Self::Tx) {
        (&mut self.rx, &mut self.tx)
    }

    fn link_up(&self) -> bool {
        if self.rx.is_broken() || self.tx.is_broken() {
            return false;
        }
        !self.has_status || init::link_up(&*self.transport.lock())
    }

    fn unmask_interrupts(&mut self) -> bool {
        self.rx.unmask_interrupts()
    }

    fn mask_interrupts(&mut self) {
        self.rx.mask_interrupts();
    }
}
