//! A tap on any device: every frame in both directions, in the classic libpcap file format.
//!
//! Where the bytes go and what time it is are the caller's: see [`Sink`]. A transmitted frame is
//! recorded from the device's own buffer. A received one is copied once, because the device cannot
//! be lent out as a whole while a frame of its own is being read and answered.
//!
//! ```
//! use netdev::pcap::{file_header, record_header};
//!
//! // What a tap writes, for one frame that was seen after five seconds.
//! let file = [&file_header()[..], &record_header(5_000_000, 60), &[7; 60]].concat();
//! assert_eq!(file[24..28], 5_u32.to_le_bytes());
//! ```

use alloc::{rc::Rc, vec::Vec};
use core::{cell::RefCell, fmt};

use crate::{Device, DeviceInfo, MacAddress, Receiver, RxOffload, Transmitter, TxOffload};

/// Frames are never cut; this is what tcpdump writes for that.
const SNAP_LEN: u32 = 262_144;
/// LINKTYPE_ETHERNET.
const LINK_TYPE: u32 = 1;

/// Where a tap writes to, and its clock.
///
/// A pair of closures is one: `(|| now_micros, |bytes: &[u8]| file.extend_from_slice(bytes))`.
///
/// ```
/// use netdev::pcap::Sink;
///
/// /// Counts what would be written.
/// struct Count(usize);
///
/// impl Sink for Count {
///     fn now_micros(&mut self) -> u64 {
///         0
///     }
///
///     fn write(&mut self, bytes: &[u8]) {
///         self.0 += bytes.len();
///     }
/// }
/// let mut count = Count(0);
/// count.write(b"hello");
/// assert_eq!(count.0, 5);
/// ```
pub trait Sink {
    /// The time of the frame that is about to be written, in microseconds since any start.
    ///
    /// ```
    /// # use netdev::pcap::Sink;
    /// let begun = std::time::Instant::now();
    /// let mut sink = (move || begun.elapsed().as_micros() as u64, |_: &[u8]| {});
    /// assert!(sink.now_micros() <= sink.now_micros());
    /// ```
    fn now_micros(&mut self) -> u64;

    /// Appends to the file.
    ///
    /// ```
    /// # use netdev::pcap::{Sink, file_header};
    /// let mut file = Vec::new();
    /// (|| 0, |bytes: &[u8]| file.extend_from_slice(bytes)).write(&file_header());
    /// assert_eq!(file.len(), 24);
    /// ```
    fn write(&mut self, bytes: &[u8]);
}

impl<C: FnMut() -> u64, W: FnMut(&[u8])> Sink for (C, W) {
    fn now_micros(&mut self) -> u64 {
        (self.0)()
    }

    fn write(&mut self, bytes: &[u8]) {
        (self.1)(bytes);
    }
}

/// What a file begins with: little-endian, microseconds, Ethernet.
///
/// ```
/// assert_eq!(netdev::pcap::file_header()[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
/// ```
pub fn file_header() -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    header[4..6].copy_from_slice(&2_u16.to_le_bytes());
    header[6..8].copy_from_slice(&4_u16.to_le_bytes());
    header[16..20].copy_from_slice(&SNAP_LEN.to_le_bytes());
    header[20..].copy_from_slice(&LINK_TYPE.to_le_bytes());
    header
}

/// What stands before a frame of `len` bytes that was seen at `micros`.
///
/// ```
/// let header = netdev::pcap::record_header(5_000_001, 60);
/// assert_eq!(header, [5, 0, 0, 0, 1, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
/// ```
pub fn record_header(micros: u64, len: usize) -> [u8; 16] {
    // The format counts seconds in 32 bits, until 2106.
    let words = [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, len as u32, len as u32];
    let mut header = [0; 16];
    for (place, word) in header.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    header
}

/// A device that records what passes through it.
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
///
/// use netdev::{Device, Transmitter, TxOffload, cable::cable, pcap::Tap};
///
/// let file: Rc<RefCell<Vec<u8>>> = Rc::default();
/// let (left, _right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// let append = { let file = file.clone(); move |bytes: &[u8]| file.borrow_mut().extend(bytes) };
/// let mut tap = Tap::new(left, (|| 5_000_000, append));
/// tap.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
/// assert_eq!(file.borrow().len(), 24 + 16 + 60);
/// ```
pub struct Tap<D, W> {
    shared: Shared<D, W>,
    rx: TapReceiver<D, W>,
    tx: TapTransmitter<D, W>,
}

type Shared<D, W> = Rc<RefCell<Inner<D, W>>>;

struct Inner<D, W> {
    device: D,
    sink: W,
}

/// The receiving half of a [`Tap`].
///
/// ```
/// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable, pcap::*};
/// # let (left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// # let mut written = 0;
/// let mut tap = Tap::new(left, (|| 0, |bytes: &[u8]| written += bytes.len()));
/// right.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
/// let rx: &mut TapReceiver<_, _> = tap.split().0;
/// assert_eq!(rx.receive(|frame, _| frame[0]), Some(7));
/// drop(tap);
/// assert_eq!(written, 24 + 16 + 60);
/// ```
pub struct TapReceiver<D, W> {
    shared: Shared<D, W>,
    /// The frame that is being read; kept for its allocation.
    frame: Vec<u8>,
    offload: RxOffload,
}

/// The transmitting half of a [`Tap`].
///
/// ```
/// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable, pcap::*};
/// # let (left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// # let mut written = 0;
/// let mut tap = Tap::new(left, (|| 0, |bytes: &[u8]| written += bytes.len()));
/// let tx: &mut TapTransmitter<_, _> = tap.split().1;
/// tx.transmit(60, TxOffload::default(), |frame| frame.fill(7));
/// assert_eq!(right.split().0.receive(|frame, _| frame[0]), Some(7));
/// drop(tap);
/// assert_eq!(written, 24 + 16 + 60);
/// ```
pub struct TapTransmitter<D, W>(Shared<D, W>);

impl<D: Device, W: Sink> Tap<D, W> {
    /// Taps `device`. The file's header is written at once.
    ///
    /// ```
    /// # use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable, pcap::*};
    /// # let (left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// # let mut written = 0;
    /// let tap = Tap::new(left, (|| 0, |bytes: &[u8]| written += bytes.len()));
    /// assert_eq!(tap.info().mac, [2, 0, 0, 0, 0, 1], "it is the device");
    /// drop(tap);
    /// assert_eq!(written, 24);
    /// ```
    pub fn new(device: D, mut sink: W) -> Self {
        sink.write(&file_header());
        let shared = Rc::new(RefCell::new(Inner { device, sink }));
        Tap {
            rx: TapReceiver {
                shared: shared.clone(),
                frame: Vec::new(),
                offload: RxOffload::default(),
            },
            tx: TapTransmitter(shared.clone()),
            shared,
        }
    }
}

fn record(sink: &mut impl Sink, frame: &[u8]) {
    let micros = sink.now_micros();
    sink.write(&record_header(micros, frame.len()));
    sink.write(frame);
}

impl<D: Device, W: Sink> Device for Tap<D, W> {
    type Rx = TapReceiver<D, W>;
    type Tx = TapTransmitter<D, W>;

    fn info(&self) -> DeviceInfo {
        self.shared.borrow().device.info()
    }

    fn split(&mut self) -> (&mut Self::Rx, &mut Self::Tx) {
        (&mut self.rx, &mut self.tx)
    }

    fn link_up(&self) -> bool {
        self.shared.borrow().device.link_up()
    }

    fn unmask_interrupts(&mut self) -> bool {
        self.shared.borrow_mut().device.unmask_interrupts()
    }

    fn mask_interrupts(&mut self) {
        self.shared.borrow_mut().device.mask_interrupts();
    }

    fn set_multicast_filter(&mut self, groups: &[MacAddress]) {
        self.shared.borrow_mut().device.set_multicast_filter(groups);
    }
}

impl<D: Device, W: Sink> TapReceiver<D, W> {
    /// Copies the oldest received frame.
    fn take(&mut self) -> Option<()> {
        let (buffer, kept) = (&mut self.frame, &mut self.offload);
        let Inner { device, sink } = &mut *self.shared.borrow_mut();
        device.split().0.receive(|frame, offload| {
            *kept = offload;
            record(sink, frame);
            buffer.clear();
            buffer.extend_from_slice(frame);
        })
    }
}

impl<D: Device, W: Sink> Receiver for TapReceiver<D, W> {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        self.take()?;
        Some(read(&mut self.frame, self.offload))
    }
}

impl<D: Device, W: Sink> Transmitter for TapTransmitter<D, W> {
    fn is_ready(&mut self) -> bool {
        self.0.borrow_mut().device.split().1.is_ready()
    }

    fn segmented_len_max(&mut self) -> usize {
        self.0.borrow_mut().device.split().1.segmented_len_max()
    }

    fn transmit<R>(
        &mut self,
        len: usize,
        offload: TxOffload,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let Inner { device, sink } = &mut *self.0.borrow_mut();
        device.split().1.transmit(len, offload, |frame| {
            let result = write(frame);
            record(sink, frame);
            result
        })
    }

    fn flush(&mut self) {
        self.0.borrow_mut().device.split().1.flush();
    }
}

impl<D: Device, W> fmt::Debug for Tap<D, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.shared.try_borrow().map(|inner| inner.device.info());
        f.debug_struct("Tap").field("info", &info).finish_non_exhaustive()
    }
}

impl<D, W> fmt::Debug for TapReceiver<D, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TapReceiver").finish_non_exhaustive()
    }
}

impl<D, W> fmt::Debug for TapTransmitter<D, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TapTransmitter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::cable::{CableEnd, cable};

    type File = Rc<RefCell<Vec<u8>>>;

    /// A tapped end, its peer, the clock and the file.
    fn tapped() -> (Tap<CableEnd, impl Sink>, CableEnd, Rc<Cell<u64>>, File) {
        let (left, right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
        let (clock, file) = (Rc::new(Cell::new(0)), File::default());
        let (now, out) = (clock.clone(), file.clone());
        let sink =
            (move || now.get(), move |bytes: &[u8]| out.borrow_mut().extend_from_slice(bytes));
        (Tap::new(left, sink), right, clock, file)
    }

    fn word(bytes: &[u8]) -> u32 {
        u32::from_le_bytes(bytes[..4].try_into().unwrap())
    }

    /// Times in microseconds and frames of a file.
    fn parse(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
        assert_eq!(word(file), 0xa1b2_c3d4);
        assert_eq!(file[4..8], [2, 0, 4, 0], "version 2.4");
        assert_eq!(file[8..16], [0; 8], "no time zone, no accuracy");
        assert_eq!((word(&file[16..]), word(&file[20..])), (262_144, 1));
        let (mut rest, mut frames) = (&file[24..], Vec::new());
        while !rest.is_empty() {
            let micros = u64::from(word(rest)) * 1_000_000 + u64::from(word(&rest[4..]));
            assert_eq!(word(&rest[8..]), word(&rest[12..]), "nothing is cut");
            let len = word(&rest[8..]) as usize;
            frames.push((micros, rest[16..16 + len].to_vec()));
            rest = &rest[16 + len..];
        }
        frames
    }

    #[test]
    fn both_directions_are_recorded_in_order_with_their_times() {
        let (mut tap, mut peer, clock, file) = tapped();
        assert_eq!(parse(&file.borrow()), []);

        clock.set(1_999_999);
        tap.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(1));
        peer.split().1.transmit(1514, TxOffload::default(), |frame| frame.fill(2));
        clock.set(5_000_001);
        tap.split().0.receive(|frame, _| frame[0] = 9);

        let expected = [(1_999_999, [1; 60].to_vec()), (5_000_001, [2; 1514].to_vec())];
        assert_eq!(parse(&file.borrow()), expected);
    }

    #[test]
    fn frames_pass_unchanged_and_an_answer_may_be_written_while_one_is_read() {
        let (mut tap, mut peer, _, file) = tapped();
        peer.split().1.transmit(64, TxOffload::default(), |frame| frame.fill(5));
        assert!(!tap.unmask_interrupts());
        let (rx, tx) = tap.split();
        let answered = rx.receive(|frame, _| {
            assert!(tx.is_ready());
            tx.transmit(frame.len(), TxOffload::default(), |answer| answer.copy_from_slice(frame));
            tx.flush();
            frame.len()
        });
        assert_eq!(answered, Some(64));
        assert_eq!(peer.split().0.receive(|frame, _| frame.to_vec()), Some([5; 64].to_vec()));
        assert_eq!(tap.split().0.receive(|frame, _| frame.len()), None);
        assert_eq!(tap.info().mac, [2, 0, 0, 0, 0, 1]);
        assert_eq!(parse(&file.borrow()).len(), 2);
    }
}
