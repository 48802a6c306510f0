//! A lean virtio-net driver, polled and without copies: a frame is read and written in the memory
//! that the device reads and writes.
//!
//! It is the network device alone, on top of the transports and the hardware abstraction of
//! `virtio-drivers`. It neither looks for devices nor installs interrupt handlers, never waits for
//! a transmission or for a command, and asks for interrupts only while its owner sleeps. Checksums,
//! the cutting of TCP into segments and their joining, and the filtering of stations and groups are
//! left to the device if it offers that. One queue per direction, and modern devices (Virtio 1.0 and
//! later) only.
//!
//! The device is not trusted: whatever it writes into its rings, the driver neither panics nor
//! touches memory other than its own. A device that breaks the rules of the rings is given up on:
//! it receives nothing more, discards what is sent, and says that its link is down.
//!
//! - `lib.rs`: [`VirtioNet`], the device
//! - `receive.rs`, `transmit.rs`: its two halves
//! - `control.rs`: which frames it lets through
//! - `header.rs`: what stands before each frame
//! - `ring.rs`: a virtqueue and its buffers, guarded against the device
//! - `dma.rs`: the memory of both
//! - `init.rs`: reset, feature negotiation, configuration space
//! - `error.rs`: why a device cannot be opened
//! - [`pci`]: the PCI transport with MSI-X interrupts
//!
//! Specification: Virtual I/O Device (VIRTIO) Version 1.2, whose sections the comments cite.

#![no_std]

extern crate alloc;

mod control;
mod dma;
mod error;
mod header;
mod init;
pub mod pci;
mod receive;
mod ring;
mod transmit;

use alloc::sync::Arc;

use netdev::{Device, DeviceInfo, MacAddress};
use spin::Mutex;
use virtio_drivers::Hal;
use virtio_drivers::transport::{DeviceStatus, InterruptStatus, Transport};

use control::Control;
pub use error::OpenError;
pub use receive::ReceiveQueue;
pub use transmit::TransmitQueue;

/// A virtio network device.
///
/// ```no_run
/// # use netdev::{Device, Receiver};
/// # use virtio_drivers::{Hal, transport::Transport};
/// # use virtio_net::VirtioNet;
/// # fn first_len<H: Hal, T: Transport>(net: &mut VirtioNet<H, T>) -> Option<usize> {
/// let (rx, _) = net.split();
/// rx.receive(|frame, _| frame.len())
/// # }
/// ```
pub struct VirtioNet<H: Hal, T: Transport> {
    info: DeviceInfo,
    has_status: bool,
    /// As the device has said last.
    is_link_up: bool,
    /// Used to ring the doorbells and to read the configuration, never by an interrupt handler.
    transport: Arc<Mutex<T>>,
    rx: ReceiveQueue<H, T>,
    tx: TransmitQueue<H, T>,
    control: Option<Control<H, T>>,
}

impl<H: Hal, T: Transport> VirtioNet<H, T> {
    /// Resets and initialises the device (3.1.1), and has it receive. Interrupts are masked.
    ///
    /// ```no_run
    /// # use netdev::Device;
    /// # use virtio_drivers::{Hal, transport::Transport};
    /// # use virtio_net::{OpenError, VirtioNet};
    /// # fn open<H: Hal, T: Transport>(transport: T) -> Result<(), OpenError> {
    /// let mut net = VirtioNet::<H, T>::new(transport)?;
    /// net.unmask_interrupts();
    /// # Ok(())
    /// # }
    /// ```
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
        let mut rx = ReceiveQueue::new(transport, settings.features)?;
        let tx = TransmitQueue::new(transport, settings.features, settings.info.mtu)?;
        let control = settings.features.control().then(|| Control::new(transport)).transpose()?;
        transport.lock().finish_init();
        rx.announce();
        let is_link_up = !settings.has_status || init::link_up(&*transport.lock());
        Ok(Self {
            info: settings.info,
            has_status: settings.has_status,
            is_link_up,
            transport: transport.clone(),
            rx,
            tx,
            control,
        })
    }

    /// Reads the state of the link if the device says that its configuration has changed (5.1.4).
    fn look_at_link(&mut self) {
        let mut transport = self.transport.lock();
        let causes = transport.ack_interrupt();
        if self.has_status && causes.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT) {
            self.is_link_up = init::link_up(&*transport);
        }
    }
}

impl<H: Hal, T: Transport> Device for VirtioNet<H, T> {
    type Rx = ReceiveQueue<H, T>;
    type Tx = TransmitQueue<H, T>;

    fn info(&self) -> DeviceInfo {
        self.info
    }

    fn split(&mut self) -> (&mut Self::Rx, &mut Self::Tx) {
        // Its owner may look for work for long without a sleep.
        if let Some(control) = &mut self.control {
            control.go_on();
        }
        (&mut self.rx, &mut self.tx)
    }

    fn link_up(&self) -> bool {
        self.is_link_up && !self.rx.is_broken() && !self.tx.is_broken()
    }

    fn unmask_interrupts(&mut self) -> bool {
        self.rx.announce();
        let has_no_answer = self.control.as_mut().is_none_or(Control::unmask_interrupts);
        let has_nothing = match self.tx.is_awaited() {
            true => self.tx.unmask_interrupts(),
            false => self.rx.unmask_interrupts(),
        };
        has_no_answer && has_nothing
    }

    fn mask_interrupts(&mut self) {
        self.rx.mask_interrupts();
        self.tx.mask_interrupts();
        if let Some(control) = &mut self.control {
            control.mask_interrupts();
        }
        self.look_at_link();
    }

    fn set_multicast_filter(&mut self, groups: &[MacAddress]) {
        if let Some(control) = &mut self.control {
            control.set_groups(groups);
        }
    }
}
