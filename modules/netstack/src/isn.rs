//! Initial sequence numbers that nobody outside can predict (RFC 6528).
//!
//! smoltcp draws its own from a linear generator, whose state a few of them give away. So a flow's
//! numbers on the wire differ from smoltcp's by an offset that makes the first one what the RFC asks
//! for: a clock plus a secret hash of the flow's addresses. Numbers of the same two ends then grow
//! with time, by which a new connection is told from an old one in TIME-WAIT.

use core::hash::BuildHasher;

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket,
    TcpSeqNumber,
};

use crate::{frame::Tuple, hash::Keyed, time::Instant};

/// The clock ticks every 4 microseconds, as RFC 9293 section 3.4.1 has it.
const TICK_MICROS: u64 = 4;

/// Makes initial sequence numbers.
#[derive(Debug)]
pub(crate) struct IsnSource(Keyed);

impl IsnSource {
    /// `secret` must differ from the keys of tables: the order of a table may be observed.
    pub(crate) fn new(secret: Keyed) -> Self {
        IsnSource(secret)
    }

    pub(crate) fn isn(&self, tuple: &Tuple, now: Instant) -> u32 {
        let hash = self.0.hash_one(tuple) as u32;
        let clock = (now.micros() / TICK_MICROS) as u32;
        hash.wrapping_add(clock)
    }

    pub(crate) fn numbering(&self, tuple: &Tuple, now: Instant) -> Numbering {
        Numbering::beginning_at(self.isn(tuple, now))
    }
}

/// How one flow's sequence numbers on the wire differ from smoltcp's.
#[derive(Debug)]
pub(crate) struct Numbering {
    isn: u32,
    /// Known as soon as smoltcp has sent its SYN.
    offset: Option<u32>,
    /// The highest sequence number sent, on the wire: SND.NXT of RFC 9293.
    send_next: TcpSeqNumber,
    /// The end of the peer's window, on the wire, as far as it has ever reached.
    window_end: Option<TcpSeqNumber>,
    /// The peer's window scale.
    window_scale: u8,
}

impl Numbering {
    pub(crate) fn beginning_at(isn: u32) -> Self {
        let send_next = TcpSeqNumber(isn as i32);
        Numbering { isn, offset: None, send_next, window_end: None, window_scale: 0 }
    }

    /// Whether our SYN is out.
    pub(crate) fn has_begun(&self) -> bool {
        self.offset.is_some()
    }

    /// Turns a frame that smoltcp wrote into one for the wire.
    pub(crate) fn outgoing(&mut self, frame: &mut [u8]) {
        let Some(mut segment) = segment(frame) else {
            return;
        };
        let seq = segment.seq_number().0 as u32;
        if segment.syn() {
            self.offset.get_or_insert(self.isn.wrapping_sub(seq));
        }
        if let Some(offset) = self.offset {
            let number = self.acceptable(&segment, seq.wrapping_add(offset));
            segment.set_seq_number(number);
            adjust_checksum(&mut segment, seq, number.0 as u32);
        }
    }

    /// Keeps the furthest end of the window: what an older segment says is no news, and a window that
    /// moves back is against RFC 9293 section 3.8.6.
    fn note_window(&mut self, segment: &TcpPacket<&mut [u8]>) {
        let ack = segment.ack_number();
        if ack > self.send_next {
            return;
        }
        let scale = if segment.syn() { 0 } else { self.window_scale };
        let end = ack + (usize::from(segment.window_len()) << scale);
        self.window_end = Some(self.window_end.map_or(end, |known| known.max(end)));
    }

    /// The number that a segment goes out with.
    ///
    /// After a retransmission timeout smoltcp sends acknowledgements and resets with the number that
    /// it retransmits from. A peer that has received more than that does not accept them (RFC 9293
    /// section 3.10.7.4), and when both ends do so neither ever hears what the other has received. What
    /// occupies no sequence space goes out with SND.NXT, as section 3.4 has it, but not beyond the
    /// window: a probe of a closed one lies outside, and so would all that follows it.
    fn acceptable(&mut self, segment: &TcpPacket<&mut [u8]>, number: u32) -> TcpSeqNumber {
        let number = TcpSeqNumber(number as i32);
        let end = number + segment.segment_len();
        if end > self.send_next {
            self.send_next = end;
        }
        match (segment.segment_len(), self.window_end) {
            (0, Some(window_end)) if segment.ack() => self.send_next.min(window_end).max(number),
            _ => number,
        }
    }

    /// Turns a frame from the wire into one for smoltcp.
    pub(crate) fn incoming(&mut self, frame: &mut [u8]) {
        let Some(mut segment) = segment(frame) else {
            return;
        };
        if segment.syn() {
            self.window_scale = window_scale(&mut segment);
        }
        if let Some(offset) = self.offset
            && segment.ack()
        {
            self.note_window(&segment);
            let ack = segment.ack_number().0 as u32;
            let number = ack.wrapping_sub(offset);
            segment.set_ack_number(TcpSeqNumber(number as i32));
            adjust_checksum(&mut segment, ack, number);
        }
    }
}

/// The window scale option of a SYN (RFC 7323 section 2.2), at most 14.
fn window_scale(segment: &mut TcpPacket<&mut [u8]>) -> u8 {
    const SCALE_MAX: u8 = 14;
    let mut options: &[u8] = segment.options_mut();
    while let Ok((rest, option)) = TcpOption::parse(options) {
        match option {
            TcpOption::WindowScale(scale) => return scale.min(SCALE_MAX),
            TcpOption::EndOfList => break,
            _ => options = rest,
        }
    }
    0
}

/// The segment in a frame, if the frame has the beginning of one.
fn segment(frame: &mut [u8]) -> Option<TcpPacket<&mut [u8]>> {
    let ethertype = EthernetFrame::new_checked(&*frame).ok()?.ethertype();
    let packet = EthernetFrame::new_unchecked(frame).into_inner();
    let packet = &mut packet[EthernetFrame::<&[u8]>::header_len()..];
    let header_len = match ethertype {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(&*packet).ok()?;
            let is_tcp = ip.next_header() == IpProtocol::Tcp && ip.frag_offset() == 0;
            is_tcp.then(|| usize::from(ip.header_len()))?
        }
        EthernetProtocol::Ipv6 => {
            let ip = Ipv6Packet::new_checked(&*packet).ok()?;
            (ip.next_header() == IpProtocol::Tcp).then(|| ip.header_len())?
        }
        _ => return None,
    };
    let segment = TcpPacket::new_unchecked(&mut packet[header_len..]);
    segment.check_len().is_ok().then_some(segment)
}

/// Accounts for a 32-bit field that changed (RFC 1624 equation 3). A checksum that was wrong stays
/// wrong by as much.
fn adjust_checksum(segment: &mut TcpPacket<&mut [u8]>, before: u32, after: u32) {
    let halves = |value: u32| (value >> 16) + (value & 0xffff);
    let mut sum = u32::from(!segment.checksum()) + halves(!before) + halves(after);
    while sum > 0xffff {
        sum = halves(sum);
    }
    segment.set_checksum(!(sum as u16));
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};
    use core::net::SocketAddr;

    use smoltcp::{
        phy::ChecksumCapabilities,
        wire::{IpRepr, TcpControl, TcpRepr},
    };

    use super::*;

    const LEN: usize = 14 + 20 + 20 + DATA.len();
    const DATA: &[u8] = b"hello";

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: SocketAddr::from(([10, 0, 0, 1], 80)),
            remote: SocketAddr::from(([10, 0, 0, 2], port)),
        }
    }

    fn frame(control: TcpControl, seq: i32, ack: Option<i32>) -> Vec<u8> {
        frame_with(control, seq, ack, DATA)
    }

    fn frame_with(control: TcpControl, seq: i32, ack: Option<i32>, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (tuple(1).local.ip().into(), tuple(1).remote.ip().into());
        let tcp = TcpRepr {
            src_port: 80,
            dst_port: 1,
            control,
            seq_number: TcpSeqNumber(seq),
            ack_number: ack.map(TcpSeqNumber),
            window_len: 100,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let mut frame = vec![0; 14 + ip.buffer_len()];
        let checksums = ChecksumCapabilities::default();
        EthernetFrame::new_unchecked(&mut frame[..]).set_ethertype(EthernetProtocol::Ipv4);
        ip.emit(&mut frame[14..], &checksums);
        tcp.emit(&mut TcpPacket::new_unchecked(&mut frame[34..]), &from, &to, &checksums);
        frame
    }

    fn read(frame: &mut [u8]) -> (u32, u32) {
        let segment = segment(frame).unwrap();
        let (from, to) = (tuple(1).local.ip().into(), tuple(1).remote.ip().into());
        assert!(segment.verify_checksum(&from, &to), "the checksum is wrong");
        (segment.seq_number().0 as u32, segment.ack_number().0 as u32)
    }

    #[test]
    fn numbers_are_shifted_out_and_back_with_right_checksums() {
        let source = IsnSource::new(Keyed::new([3, 4]));
        for (port, seq) in (1..2000).zip((0_i64..).step_by(1_234_567)) {
            let seq: i32 = seq as i32;
            let mut numbering = source.numbering(&tuple(port), Instant::ZERO);
            let isn = numbering.isn;
            let mut syn = frame(TcpControl::Syn, seq, None);
            numbering.outgoing(&mut syn);
            assert_eq!(read(&mut syn).0, isn);
            let mut data = frame(TcpControl::None, seq.wrapping_add(1), Some(7));
            numbering.outgoing(&mut data);
            assert_eq!(read(&mut data), (isn.wrapping_add(1), 7));
            let mut ack = frame(TcpControl::None, 9, Some(isn.wrapping_add(6) as i32));
            numbering.incoming(&mut ack);
            assert_eq!(read(&mut ack), (9, (seq as u32).wrapping_add(6)));
        }
    }

    #[test]
    fn a_wrong_checksum_stays_wrong() {
        let mut numbering = IsnSource::new(Keyed::new([3, 4])).numbering(&tuple(1), Instant::ZERO);
        numbering.outgoing(&mut frame(TcpControl::Syn, 5, None));
        let mut ack = frame(TcpControl::None, 9, Some(77));
        ack[LEN - 1] ^= 1;
        numbering.incoming(&mut ack);
        let (from, to) = (tuple(1).local.ip().into(), tuple(1).remote.ip().into());
        assert!(!segment(&mut ack).unwrap().verify_checksum(&from, &to));
    }

    #[test]
    fn numbers_of_one_flow_grow_and_those_of_others_differ() {
        let source = IsnSource::new(Keyed::new([3, 4]));
        let isn = |port, micros| source.isn(&tuple(port), Instant::from_micros(micros));
        assert_eq!(isn(1, 4_000).wrapping_sub(isn(1, 0)), 1_000);
        assert_ne!(isn(1, 0), isn(2, 0));
        let other = IsnSource::new(Keyed::new([3, 5]));
        assert_ne!(isn(1, 0), other.isn(&tuple(1), Instant::ZERO), "another boot");
    }

    #[test]
    fn an_acknowledgement_goes_out_with_the_highest_number_sent() {
        let mut numbering = IsnSource::new(Keyed::new([3, 4])).numbering(&tuple(1), Instant::ZERO);
        let send = |numbering: &mut Numbering, control, seq, payload| {
            let mut frame = frame_with(control, seq, Some(9), payload);
            numbering.outgoing(&mut frame);
            read(&mut frame).0
        };
        let isn = send(&mut numbering, TcpControl::Syn, 100, b"");
        let after = |count: u32| isn.wrapping_add(1 + count);
        // It opens a window of 100 bytes.
        numbering.incoming(&mut frame(TcpControl::None, 9, Some(after(0) as i32)));
        let mut send = |control, seq, payload| send(&mut numbering, control, seq, payload);
        assert_eq!(send(TcpControl::None, 101, &[1; 90]), after(0));
        // The timer has run out: smoltcp begins again at 101.
        assert_eq!(send(TcpControl::None, 101, b""), after(90));
        assert_eq!(send(TcpControl::Rst, 101, b""), after(90));
        assert_eq!(send(TcpControl::None, 101, &[1; 20]), after(0), "a retransmission");
        assert_eq!(send(TcpControl::None, 191, &[1; 10]), after(90));
        assert_eq!(send(TcpControl::None, 201, b"?"), after(100), "a probe of the closed window");
        assert_eq!(send(TcpControl::None, 201, b""), after(100), "does not count");
    }

    #[test]
    fn what_is_no_segment_is_left_alone() {
        let mut numbering = IsnSource::new(Keyed::new([3, 4])).numbering(&tuple(1), Instant::ZERO);
        let whole = frame(TcpControl::Syn, 5, None);
        for len in 0..LEN - 5 {
            let mut cut = Vec::from(&whole[..len]);
            numbering.outgoing(&mut cut);
            numbering.incoming(&mut cut);
            assert_eq!(cut, whole[..len]);
        }
    }
}
