//! What a card with offloads does to frames: it completes checksums, cuts and joins segments of TCP,
//! and verifies, all of it as Linux does in software.
//!
//! It asserts what a driver's device would take on trust: that a request is well-formed.

use std::{collections::VecDeque, ops::Range};

use netdev::{
    ETHERNET_HEADER_LEN, FRAME_LEN_MAX, PartialChecksum, RxOffload, Segmentation, TxOffload,
};

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const TCP_HEADER_LEN: usize = 20;
const UDP_HEADER_LEN: usize = 8;

/// IP's numbers of protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where fields are in an IPv4 header (RFC 791 section 3.1).
const IPV4_LEN: usize = 2;
const IPV4_IDENT: usize = 4;
const IPV4_CHECKSUM: usize = 10;
/// And in an IPv6 header (RFC 8200 section 3).
const IPV6_LEN: usize = 4;
/// And in a TCP header (RFC 9293 section 3.1).
const TCP_SEQ: usize = 4;
const TCP_HEADER_WORDS: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
/// And in a UDP header (RFC 768).
const UDP_CHECKSUM: usize = 6;

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Asserts that what a frame leaves to the card makes sense, and that what it does not leave to it is
/// done.
///
/// # Panics
/// When it does not, or is not.
pub(crate) fn check(frame: &[u8], offload: &TxOffload, mtu: usize) {
    let layout = Layout::of(frame);
    let Some(checksum) = offload.checksum else {
        assert_eq!(offload.segmentation, None, "a cut frame needs a checksum");
        assert!(layout.is_none_or(|layout| layout.is_sound(frame)), "a wrong checksum");
        return;
    };
    let layout = layout.expect("a checksum of a whole TCP segment or UDP datagram");
    assert_eq!(checksum, layout.checksum(), "the transport's checksum");
    let pseudo_header = fold(layout.pseudo_header_sum(frame));
    assert_eq!(read(frame, layout.field()), pseudo_header, "the pseudo-header's sum");
    if let Some(cut) = offload.segmentation {
        check_cut(frame, &layout, cut, mtu);
    }
}

fn check_cut(frame: &[u8], layout: &Layout, cut: Segmentation, mtu: usize) {
    assert_eq!(layout.protocol, TCP, "only TCP is cut");
    assert_eq!(cut.is_ipv4, layout.is_ipv4, "the version");
    assert_eq!(usize::from(cut.header_len), layout.text(frame).start, "the headers' length");
    let packet_len = usize::from(cut.header_len + cut.payload_len) - ETHERNET_HEADER_LEN;
    assert!(cut.payload_len > 0 && packet_len <= mtu, "segments of {packet_len} bytes");
    let text_len = layout.text(frame).len();
    assert!(text_len > usize::from(cut.payload_len), "{text_len} bytes need not be cut");
    let flags = frame[layout.start + TCP_FLAGS];
    assert_eq!(flags & !(FIN | PSH), ACK, "flags {flags:#x} in every segment");
}

/// How many frames on the wire a frame of so many bytes is.
pub(crate) fn frames(len: usize, offload: &TxOffload) -> u64 {
    let segments = |cut: Segmentation| {
        let text_len = len - usize::from(cut.header_len);
        text_len.div_ceil(cut.payload_len.into()) as u64
    };
    offload.segmentation.map_or(1, segments)
}

/// What goes on the wire of a frame that [`check`] has been content with.
pub(crate) fn transmitted(mut frame: Vec<u8>, offload: &TxOffload) -> Vec<Vec<u8>> {
    match (offload.segmentation, offload.checksum) {
        (Some(segmentation), Some(checksum)) => cut(&frame, segmentation, checksum),
        (None, Some(checksum)) => {
            complete(&mut frame, checksum);
            vec![frame]
        }
        (_, None) => vec![frame],
    }
}

/// As Linux's `tcp_gso_segment` and `inet_gso_segment` do.
fn cut(frame: &[u8], cut: Segmentation, checksum: PartialChecksum) -> Vec<Vec<u8>> {
    let layout = Layout::of(frame).expect("it has been checked");
    let (header, text) = frame.split_at(cut.header_len.into());
    let count = text.len().div_ceil(cut.payload_len.into());
    let segment = |(index, text): (usize, &[u8])| {
        let mut segment = [header, text].concat();
        let seq = layout.seq(frame).wrapping_add(index as u32 * u32::from(cut.payload_len));
        write_u32(&mut segment, layout.start + TCP_SEQ, seq);
        if index + 1 < count {
            segment[layout.start + TCP_FLAGS] &= !(FIN | PSH);
        }
        // The pseudo-header has the segment's length in it.
        let (old, new) = (frame.len() - layout.start, segment.len() - layout.start);
        let sum = u32::from(read(header, layout.field())) + u32::from(!(old as u16)) + new as u32;
        write(&mut segment, layout.field(), fold(sum));
        complete(&mut segment, checksum);
        layout.set_len(&mut segment, index as u16);
        segment
    };
    text.chunks(cut.payload_len.into()).enumerate().map(segment).collect()
}

/// Puts a checksum where the sum of what is not in the frame stands.
fn complete(frame: &mut [u8], checksum: PartialChecksum) {
    let start = usize::from(checksum.start);
    let value = match !fold(sum(&frame[start..])) {
        // To UDP zero means that there is none (RFC 768).
        0 => 0xffff,
        value => value,
    };
    write(frame, start + usize::from(checksum.offset), value);
}

/// Whether a card would say that the frame's checksum is right.
pub(crate) fn is_verified(frame: &[u8]) -> bool {
    Layout::of(frame).is_some_and(|layout| layout.is_sound(frame))
}

/// The oldest of the frames that wait, and those that follow it, as one.
pub(crate) fn take_joined(waiting: &mut VecDeque<Vec<u8>>) -> Option<(Vec<u8>, RxOffload)> {
    let mut frame = waiting.pop_front()?;
    let is_verified = is_verified(&frame);
    if let Some(layout) = Layout::of(&frame).filter(|layout| is_verified && layout.protocol == TCP)
    {
        let segment_len = layout.text(&frame).len();
        let mut is_joined = false;
        while let Some(next) = waiting.front()
            && layout.follows(&frame, next, segment_len)
        {
            layout.append(&mut frame, next);
            waiting.pop_front();
            is_joined = true;
        }
        if is_joined {
            layout.spoil_checksum(&mut frame);
        }
    }
    Some((frame, RxOffload { is_verified }))
}

/// A frame with a whole TCP segment or UDP datagram behind an IP header without options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    is_ipv4: bool,
    protocol: u8,
    /// Where the transport's header begins.
    start: usize,
}

impl Layout {
    /// Nothing if the frame is anything else, is damaged or is padded.
    fn of(frame: &[u8]) -> Option<Self> {
        let layout = match frame.get(12..14)? {
            [0x08, 0x00] => Self::of_ipv4(frame)?,
            [0x86, 0xdd] => Self::of_ipv6(frame)?,
            _ => return None,
        };
        let header_len = match layout.protocol {
            TCP => {
                let words = frame.get(layout.start + TCP_HEADER_WORDS)? >> 4;
                (4 * usize::from(words)).max(TCP_HEADER_LEN)
            }
            UDP => UDP_HEADER_LEN,
            _ => return None,
        };
        (frame.len() >= layout.start + header_len).then_some(layout)
    }

    fn of_ipv4(frame: &[u8]) -> Option<Self> {
        const VERSION_AND_WORDS: u8 = 0x45;
        const MORE_AND_OFFSET: u16 = 0x3fff;
        let header = frame.get(ETHERNET_HEADER_LEN..ETHERNET_HEADER_LEN + IPV4_HEADER_LEN)?;
        let is_whole = read(header, 6) & MORE_AND_OFFSET == 0;
        let len = usize::from(read(header, IPV4_LEN));
        let is_it = header[0] == VERSION_AND_WORDS
            && is_whole
            && frame.len() == ETHERNET_HEADER_LEN + len
            && fold(sum(header)) == 0xffff;
        let start = ETHERNET_HEADER_LEN + IPV4_HEADER_LEN;
        is_it.then(|| Layout { is_ipv4: true, protocol: header[9], start })
    }

    fn of_ipv6(frame: &[u8]) -> Option<Self> {
        let header = frame.get(ETHERNET_HEADER_LEN..ETHERNET_HEADER_LEN + IPV6_HEADER_LEN)?;
        let start = ETHERNET_HEADER_LEN + IPV6_HEADER_LEN;
        let is_it =
            header[0] >> 4 == 6 && frame.len() == start + usize::from(read(header, IPV6_LEN));
        is_it.then(|| Layout { is_ipv4: false, protocol: header[6], start })
    }

    /// What a card is told to complete the checksum.
    fn checksum(&self) -> PartialChecksum {
        let offset = if self.protocol == TCP { TCP_CHECKSUM } else { UDP_CHECKSUM };
        PartialChecksum { start: self.start as u16, offset: offset as u16 }
    }

    /// Where the checksum is.
    fn field(&self) -> usize {
        self.start + usize::from(self.checksum().offset)
    }

    /// RFC 9293 section 3.1, RFC 8200 section 8.1; not folded.
    fn pseudo_header_sum(&self, frame: &[u8]) -> u32 {
        let addresses_len = if self.is_ipv4 { 8 } else { 32 };
        let addresses = sum(&frame[self.start - addresses_len..self.start]);
        addresses + u32::from(self.protocol) + (frame.len() - self.start) as u32
    }

    fn is_sound(&self, frame: &[u8]) -> bool {
        let total = self.pseudo_header_sum(frame) + sum(&frame[self.start..]);
        // UDP may do without over IPv4; then nothing has been verified.
        let has_checksum = self.protocol == TCP || read(frame, self.field()) != 0;
        has_checksum && fold(total) == 0xffff
    }

    /// Where a segment's text is.
    fn text(&self, frame: &[u8]) -> Range<usize> {
        let words = usize::from(frame[self.start + TCP_HEADER_WORDS] >> 4);
        self.start + 4 * words..frame.len()
    }

    fn seq(&self, frame: &[u8]) -> u32 {
        let seq = &frame[self.start + TCP_SEQ..][..4];
        u32::from_be_bytes(seq.try_into().expect("four bytes"))
    }

    /// Brings the IP header up to date with the frame's length, and adds to IPv4's identification.
    fn set_len(&self, frame: &mut [u8], ident_step: u16) {
        let packet = &mut frame[ETHERNET_HEADER_LEN..];
        let len = packet.len();
        if !self.is_ipv4 {
            return write(packet, IPV6_LEN, (len - IPV6_HEADER_LEN) as u16);
        }
        write(packet, IPV4_LEN, len as u16);
        write(packet, IPV4_IDENT, read(packet, IPV4_IDENT).wrapping_add(ident_step));
        write(packet, IPV4_CHECKSUM, 0);
        write(packet, IPV4_CHECKSUM, !fold(sum(&packet[..IPV4_HEADER_LEN])));
    }

    /// Whether the next frame is of the same flow and goes on where this one ends, as Linux's
    /// `tcp_gro_receive` asks; one that is shorter than the first, or is pushed, is the last.
    fn follows(&self, frame: &[u8], next: &[u8], segment_len: usize) -> bool {
        if Layout::of(next) != Some(*self) || !self.is_sound(next) {
            return false;
        }
        let (text, more) = (self.text(frame), self.text(next));
        let ends = text.is_empty() || !text.len().is_multiple_of(segment_len);
        let flags = |frame: &[u8]| frame[self.start + TCP_FLAGS];
        !ends
            && (1..=segment_len).contains(&more.len())
            && frame.len() + more.len() <= FRAME_LEN_MAX
            && flags(frame) == ACK
            && flags(next) & !(FIN | PSH) == ACK
            && self.seq(next) == self.seq(frame).wrapping_add(text.len() as u32)
            && self.constant_headers(frame) == self.constant_headers(next)
    }

    /// The headers without what differs from segment to segment.
    fn constant_headers(&self, frame: &[u8]) -> Vec<u8> {
        let mut headers = frame[..self.text(frame).start].to_vec();
        let len = ETHERNET_HEADER_LEN + if self.is_ipv4 { IPV4_LEN } else { IPV6_LEN };
        write(&mut headers, len, 0);
        if self.is_ipv4 {
            write(&mut headers, ETHERNET_HEADER_LEN + IPV4_IDENT, 0);
            write(&mut headers, ETHERNET_HEADER_LEN + IPV4_CHECKSUM, 0);
        }
        write_u32(&mut headers, self.start + TCP_SEQ, 0);
        headers[self.start + TCP_FLAGS] = 0;
        write(&mut headers, self.field(), 0);
        headers
    }

    fn append(&self, frame: &mut Vec<u8>, next: &[u8]) {
        frame.extend_from_slice(&next[self.text(next)]);
        frame[self.start + TCP_FLAGS] |= next[self.start + TCP_FLAGS];
        self.set_len(frame, 0);
    }

    /// Whoever looks at it all the same must be found out.
    fn spoil_checksum(&self, frame: &mut [u8]) {
        write(frame, self.field(), 0);
        let right = !fold(self.pseudo_header_sum(frame) + sum(&frame[self.start..]));
        write(frame, self.field(), right ^ 0x5a5a);
    }
}

fn read(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn write(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn write_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// The Internet checksum's sum (RFC 1071) of at most a packet, not folded.
fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    bytes.chunks(2).map(word).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests;
