//! Network devices as the stack sees them: frames in, frames out.
//!
//! This is the leaf of the tree: drivers and simulated links implement [`Device`], `netstack`
//! drives it. It is not a driver framework: discovery, DMA and interrupts stay with the driver
//! and the platform.
//!
//! A frame is never owned by the stack. The device lends its buffer to a closure for the time of
//! one call, so that a driver can hand out DMA memory without a copy and take it back safely.
//!
//! - `lib.rs`: the traits
//! - [`cable`]: two devices joined by a wire in memory, for tests
//! - [`pcap`]: a tap on any device, which records its frames

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cable;
pub mod pcap;

/// An Ethernet (MAC) address.
pub type MacAddress = [u8; 6];

/// Length of an Ethernet II header in bytes: two addresses and the EtherType.
pub const ETHERNET_HEADER_LEN: usize = 14;

/// What the stack needs to know about a device, fixed for its lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The station's address.
    pub mac: MacAddress,
    /// The largest IP packet in bytes that the link carries, without the Ethernet header.
    pub mtu: usize,
}

/// An Ethernet device that is polled.
///
/// The two directions are separate objects because a received frame stays borrowed while the stack
/// writes its answer.
pub trait Device {
    /// The receiving half.
    type Rx: Receiver;
    /// The transmitting half.
    type Tx: Transmitter;

    /// The device's address and limits.
    fn info(&self) -> DeviceInfo;

    /// Lends both halves.
    fn split(&mut self) -> (&mut Self::Rx, &mut Self::Tx);

    /// Whether the link has a carrier. A device that cannot tell says yes.
    fn link_up(&self) -> bool {
        true
    }

    /// Asks for an interrupt at the next received frame.
    ///
    /// Returns false when frames are waiting already: then none may come for them, and the caller
    /// must poll instead of sleeping.
    fn unmask_interrupts(&mut self) -> bool;

    /// Asks for no interrupts while the device is being polled. Advisory: one may still arrive.
    fn mask_interrupts(&mut self);
}

/// The receiving half of a [`Device`].
pub trait Receiver {
    /// Lends the oldest received frame, from its Ethernet header to the end of its payload
    /// (without the frame check sequence), to `read`, and then recycles its buffer.
    ///
    /// Returns `None`, without calling `read`, when no frame is waiting.
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8]) -> R) -> Option<R>;
}

/// The transmitting half of a [`Device`].
pub trait Transmitter {
    /// Whether [`transmit`](Self::transmit) has room for one more frame.
    fn is_ready(&mut self) -> bool;

    /// Lends a buffer of `len` bytes to `write` and queues it as one frame.
    ///
    /// The buffer's content is unspecified until written. `len` is at most the MTU plus the
    /// Ethernet header.
    ///
    /// # Panics
    /// When the transmitter is not ready, or `len` exceeds the limit.
    fn transmit<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R;

    /// Tells the device about every frame queued since the last call. Call it once for a batch.
    fn flush(&mut self);
}
