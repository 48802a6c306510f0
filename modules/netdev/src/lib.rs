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
//!
//! ```
//! use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
//!
//! let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
//! left.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
//! // Answered while it is being read.
//! let (rx, tx) = right.split();
//! rx.receive(|frame, _| {
//!     tx.transmit(60, TxOffload::default(), |answer| answer.copy_from_slice(frame));
//! });
//! assert_eq!(left.split().0.receive(|frame, _| frame[59]), Some(7));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cable;
pub mod pcap;

/// An Ethernet (MAC) address.
///
/// ```
/// let mac: netdev::MacAddress = [2, 0, 0, 0, 0, 1];
/// assert_eq!(mac[0] & 3, 2, "locally administered, of one station");
/// ```
pub type MacAddress = [u8; 6];

/// Length of an Ethernet II header in bytes: two addresses and the EtherType.
///
/// ```
/// let frame = [0; 60];
/// assert_eq!(frame[netdev::ETHERNET_HEADER_LEN..].len(), 46, "the shortest payload");
/// ```
pub const ETHERNET_HEADER_LEN: usize = 14;

/// What the stack needs to know about a device, fixed for its lifetime.
///
/// ```
/// # use netdev::{Device, DeviceInfo, cable::cable};
/// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// let DeviceInfo { mac, mtu, offloads } = left.info();
/// assert_eq!((mac, mtu, offloads), ([2, 0, 0, 0, 0, 1], 1500, Default::default()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The station's address.
    pub mac: MacAddress,
    /// The largest IP packet in bytes that the link carries, without the Ethernet header.
    pub mtu: usize,
    /// What the device does for the stack.
    pub offloads: Offloads,
}

/// What a device can do to transmitted frames. By default nothing.
///
/// ```
/// use netdev::Offloads;
///
/// let offloads = Offloads { checksum: true, ..Offloads::default() };
/// assert!(!offloads.segmentation_v4 && !offloads.segmentation_v6);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offloads {
    /// It completes the checksums of TCP and UDP.
    pub checksum: bool,
    /// It cuts TCP over IPv4 into segments, and completes their checksums.
    pub segmentation_v4: bool,
    /// It cuts TCP over IPv6 into segments, and completes their checksums.
    pub segmentation_v6: bool,
}

/// What a transmitted frame leaves to the device. By default nothing.
///
/// ```
/// use netdev::{PartialChecksum, TxOffload};
///
/// // A UDP datagram over IPv4, without options.
/// let checksum = PartialChecksum { start: 14 + 20, offset: 6 };
/// let offload = TxOffload { checksum: Some(checksum), ..TxOffload::default() };
/// assert_eq!(offload.segmentation, None);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxOffload {
    /// The checksum to complete.
    pub checksum: Option<PartialChecksum>,
    /// How to cut the frame, which may exceed the MTU. It needs a checksum to complete, too.
    pub segmentation: Option<Segmentation>,
}

/// An Internet checksum (RFC 1071) over everything from `start` on. Its field holds the sum of the
/// pseudo-header, not inverted.
///
/// ```
/// # let mut frame = [0; 14 + 20 + 8];
/// let checksum = netdev::PartialChecksum { start: 14 + 20, offset: 6 };
/// let field = usize::from(checksum.start + checksum.offset);
/// frame[field..field + 2].copy_from_slice(&0x1234_u16.to_be_bytes());
/// assert_eq!(frame[40..42], [0x12, 0x34]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Where the transport's header begins, in bytes from the frame's beginning.
    pub start: u16,
    /// Where the field is, in bytes from `start`.
    pub offset: u16,
}

/// How a frame of TCP is cut.
///
/// ```
/// use netdev::Segmentation;
///
/// let cut = Segmentation { payload_len: 1460, header_len: 14 + 20 + 20, is_ipv4: true };
/// let frame_len = usize::from(cut.header_len) + 10_000;
/// let payload_len = frame_len - usize::from(cut.header_len);
/// assert_eq!(payload_len.div_ceil(cut.payload_len.into()), 7, "segments");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segmentation {
    /// Bytes of payload per segment; the last one may have fewer.
    pub payload_len: u16,
    /// Bytes of all headers, from Ethernet's to TCP's, which every segment gets.
    pub header_len: u16,
    /// Whether it is IPv4, not IPv6.
    pub is_ipv4: bool,
}

/// What a device says about a received frame. By default nothing.
///
/// ```
/// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
/// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// left.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
/// let is_verified = right.split().0.receive(|_, offload| offload.is_verified);
/// assert_eq!(is_verified, Some(false), "a cable verifies nothing");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RxOffload {
    /// The checksum of TCP or UDP need not be looked at: the device has verified it, or the frame
    /// has never been on a wire, and then its field may hold anything.
    pub is_verified: bool,
}

/// The longest frame, in bytes, that a device with offloads receives or transmits: an IP packet as
/// long as its header can say (RFC 791 section 3.1).
///
/// ```
/// assert_eq!(netdev::FRAME_LEN_MAX, 14 + 65_535);
/// ```
pub const FRAME_LEN_MAX: usize = ETHERNET_HEADER_LEN + u16::MAX as usize;

/// An Ethernet device that is polled.
///
/// The two directions are separate objects because a received frame stays borrowed while the stack
/// writes its answer.
///
/// ```
/// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
/// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// fn forward(from: &mut impl Device, to: &mut impl Device) {
///     let ((rx, _), (_, tx)) = (from.split(), to.split());
///     while tx.is_ready()
///         && rx.receive(|frame, _| {
///             tx.transmit(frame.len(), TxOffload::default(), |copy| copy.copy_from_slice(frame));
///         })
///         .is_some()
///     {}
///     tx.flush();
/// }
/// let (mut here, mut there) = cable([2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 4], 1500);
/// left.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
/// forward(&mut right, &mut here);
/// assert_eq!(there.split().0.receive(|frame, _| frame[0]), Some(7));
/// ```
pub trait Device {
    /// The receiving half.
    type Rx: Receiver;
    /// The transmitting half.
    type Tx: Transmitter;

    /// The device's address and limits.
    ///
    /// ```
    /// # use netdev::{Device, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// assert_eq!(left.info().mtu, 1500);
    /// ```
    fn info(&self) -> DeviceInfo;

    /// Lends both halves.
    ///
    /// ```
    /// # use netdev::{Device, Receiver, Transmitter, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// let (rx, tx) = left.split();
    /// assert!(tx.is_ready() && rx.receive(|_, _| ()).is_none());
    /// ```
    fn split(&mut self) -> (&mut Self::Rx, &mut Self::Tx);

    /// Whether the link has a carrier, as of the last [`mask_interrupts`](Self::mask_interrupts): a
    /// change interrupts. Asked in every turn. A device that cannot tell says yes.
    ///
    /// ```
    /// # use netdev::{Device, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// assert!(left.link_up(), "a cable cannot tell");
    /// ```
    fn link_up(&self) -> bool {
        true
    }

    /// Asks for an interrupt at the next received frame or, if the transmitter has said last that it
    /// is not ready, when it is: a frame may need an answer, so none is taken meanwhile. More
    /// interrupts than that may come.
    ///
    /// Returns false when that has happened already: then none may come for it, and the caller must
    /// poll instead of sleeping.
    ///
    /// ```
    /// # use netdev::{Device, Transmitter, TxOffload, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// assert!(right.unmask_interrupts(), "it may sleep");
    /// left.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
    /// assert!(!right.unmask_interrupts(), "a frame is there");
    /// ```
    fn unmask_interrupts(&mut self) -> bool;

    /// Asks for no interrupts while the device is being polled. Advisory: one may still arrive.
    ///
    /// ```
    /// # use netdev::{Device, Receiver, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// right.mask_interrupts();
    /// while right.split().0.receive(|frame, _| println!("{} bytes", frame.len())).is_some() {}
    /// assert!(right.unmask_interrupts(), "all has been received");
    /// ```
    fn mask_interrupts(&mut self);

    /// Has the device keep frames to other stations away, and those to other groups than these and
    /// to everybody. It may let more through, as it does until this is called, and do it a moment
    /// later. A device that cannot filter does nothing.
    ///
    /// ```
    /// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// let all_nodes = [0x33, 0x33, 0, 0, 0, 1];
    /// right.set_multicast_filter(&[all_nodes]);
    /// left.split().1.transmit(60, TxOffload::default(), |frame| frame[..6].fill(1));
    /// assert!(right.split().0.receive(|_, _| ()).is_some(), "a cable filters nothing");
    /// ```
    fn set_multicast_filter(&mut self, _groups: &[MacAddress]) {}
}

/// The receiving half of a [`Device`].
///
/// ```
/// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
/// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// fn count(rx: &mut impl Receiver) -> usize {
///     std::iter::from_fn(|| rx.receive(|_, _| ())).count()
/// }
/// left.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
/// assert_eq!(count(right.split().0), 1);
/// ```
pub trait Receiver {
    /// Lends the oldest received frame, from its Ethernet header to the end of its payload
    /// (without the frame check sequence), to `read`, and then recycles its buffer.
    ///
    /// A device may join segments of TCP to frames of up to [`FRAME_LEN_MAX`].
    ///
    /// Returns `None`, without calling `read`, when no frame is waiting.
    ///
    /// ```
    /// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// left.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
    /// let copy = right.split().0.receive(|frame, _| frame.to_vec());
    /// assert_eq!(copy, Some(vec![7; 60]));
    /// ```
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R>;
}

/// The transmitting half of a [`Device`].
///
/// ```
/// # use netdev::{Device, Transmitter, TxOffload, cable::cable};
/// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// fn send(tx: &mut impl Transmitter, frame: &[u8]) -> bool {
///     let is_ready = tx.is_ready();
///     if is_ready {
///         tx.transmit(frame.len(), TxOffload::default(), |buffer| buffer.copy_from_slice(frame));
///         tx.flush();
///     }
///     is_ready
/// }
/// assert!(send(left.split().1, &[7; 60]));
/// ```
pub trait Transmitter {
    /// Whether [`transmit`](Self::transmit) has room for one more frame.
    ///
    /// ```
    /// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// let (_, tx) = left.split();
    /// while tx.is_ready() {
    ///     tx.transmit(60, TxOffload::default(), |frame| frame.fill(7));
    /// }
    /// right.split().0.receive(|_, _| ());
    /// assert!(tx.is_ready(), "there is room for one more");
    /// ```
    fn is_ready(&mut self) -> bool;

    /// The longest frame, in bytes, that could be transmitted now if it is to be cut into segments;
    /// at most [`FRAME_LEN_MAX`]. Without such an offload, the MTU plus the Ethernet header.
    ///
    /// ```
    /// # use netdev::{Device, Transmitter, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// assert_eq!(left.split().1.segmented_len_max(), 1514, "a cable cuts nothing");
    /// ```
    fn segmented_len_max(&mut self) -> usize;

    /// Lends a buffer of `len` bytes to `write` and queues it as one frame.
    ///
    /// The buffer's content is unspecified until written. `len` is at most the MTU plus the
    /// Ethernet header, or [`segmented_len_max`](Self::segmented_len_max) if it is to be cut.
    ///
    /// ```
    /// # use netdev::{Device, Transmitter, TxOffload, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// let (_, tx) = left.split();
    /// let len = tx.transmit(60, TxOffload::default(), |frame| {
    ///     frame.fill(7);
    ///     frame.len()
    /// });
    /// assert_eq!(len, 60);
    /// ```
    ///
    /// # Panics
    /// When the transmitter is not ready, `len` exceeds the limit, or the device does not do what
    /// `offload` asks for.
    fn transmit<R>(
        &mut self,
        len: usize,
        offload: TxOffload,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R;

    /// Tells the device about every frame queued since the last call. Call it once for a batch.
    ///
    /// ```
    /// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
    /// # let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// let (_, tx) = left.split();
    /// for byte in 0..3 {
    ///     tx.transmit(60, TxOffload::default(), |frame| frame.fill(byte));
    /// }
    /// tx.flush();
    /// assert_eq!(right.split().0.receive(|frame, _| frame[0]), Some(0));
    /// ```
    fn flush(&mut self);
}
