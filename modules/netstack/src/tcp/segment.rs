//! Segments: parsed from received packets, written into those that are sent (RFC 9293 section 3.1).

use core::net::IpAddr;

use smoltcp::wire::{IpProtocol, TcpOption, TcpPacket};

use super::seq::Seq;
use crate::ip::{Checksum, pseudo_header_sum};

/// The header without options, in bytes.
pub(crate) const HEADER_LEN: usize = 20;
/// The longest header, with ten words of options, in bytes.
pub(crate) const HEADER_LEN_MAX: usize = 60;
/// Where the checksum is in the header, in bytes.
pub(crate) const CHECKSUM_AT: u16 = 16;
/// SACK blocks that one segment carries (RFC 2018 section 3).
pub(crate) const SACK_BLOCKS: usize = 3;
/// The largest window scale; what is beyond is taken for it (RFC 7323 section 2.3).
const WINDOW_SCALE_MAX: u8 = 14;

/// A range of sequence numbers: first, and the one behind the last.
pub(crate) type Block = (Seq, Seq);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) psh: bool,
}

impl Flags {
    /// As they stand in the header (RFC 9293 section 3.1).
    fn bits(self) -> u8 {
        let Flags { syn, fin, rst, psh } = self;
        u8::from(fin) | u8::from(syn) << 1 | u8::from(rst) << 2 | u8::from(psh) << 3
    }
}

/// The options that this stack knows (RFC 9293 section 3.2, RFC 7323, RFC 2018).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SegmentOptions {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) sack: [Option<Block>; SACK_BLOCKS],
}

impl SegmentOptions {
    /// Unknown options are skipped; behind one that is malformed nothing is believed.
    fn parse(mut bytes: &[u8]) -> Self {
        let mut options = SegmentOptions::default();
        while !bytes.is_empty() {
            let Ok((rest, option)) = TcpOption::parse(bytes) else {
                break;
            };
            match option {
                TcpOption::EndOfList => break,
                TcpOption::MaxSegmentSize(mss) => options.mss = Some(mss),
                TcpOption::WindowScale(scale) => {
                    options.window_scale = Some(scale.min(WINDOW_SCALE_MAX));
                }
                TcpOption::SackPermitted => options.sack_permitted = true,
                TcpOption::SackRange(blocks) => {
                    options.sack = blocks.map(|block| block.map(|(l, r)| (Seq(l), Seq(r))));
                }
                _ => {}
            }
            bytes = rest;
        }
        options
    }

    /// Length on the wire in bytes, padding included.
    pub(crate) fn len(&self) -> usize {
        let mut len = 0;
        len += if self.mss.is_some() { 4 } else { 0 };
        len += if self.window_scale.is_some() { 3 } else { 0 };
        len += if self.sack_permitted { 2 } else { 0 };
        let blocks = self.sack.iter().flatten().count();
        len += if blocks > 0 { 2 + 8 * blocks } else { 0 };
        len.next_multiple_of(4)
    }

    fn emit(&self, mut bytes: &mut [u8]) {
        if let Some(mss) = self.mss {
            bytes = TcpOption::MaxSegmentSize(mss).emit(bytes);
        }
        if let Some(scale) = self.window_scale {
            bytes = TcpOption::WindowScale(scale).emit(bytes);
        }
        if self.sack_permitted {
            bytes = TcpOption::SackPermitted.emit(bytes);
        }
        if self.sack[0].is_some() {
            let blocks = self.sack.map(|block| block.map(|(l, r)| (l.0, r.0)));
            bytes = TcpOption::SackRange(blocks).emit(bytes);
        }
        bytes.fill(0);
    }
}

/// A received segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: Seq,
    /// The acknowledgement number, if the ACK bit is set.
    pub(crate) ack: Option<Seq>,
    pub(crate) flags: Flags,
    /// As it stands in the header: not scaled.
    pub(crate) window: u16,
    pub(crate) options: SegmentOptions,
    pub(crate) payload: &'a [u8],
}

/// Why a segment is dropped before anybody looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Too short, a header longer than the segment, contradicting flags, a zero port.
    Malformed,
    Checksum,
}

impl<'a> Segment<'a> {
    /// Parses a packet's payload. The checksum is left out if the device has verified it.
    #[inline]
    pub(crate) fn parse(
        bytes: &'a [u8],
        source: IpAddr,
        destination: IpAddr,
        is_verified: bool,
    ) -> Result<Self, Defect> {
        let packet = TcpPacket::new_checked(bytes).map_err(|_| Defect::Malformed)?;
        if !is_verified && !packet.verify_checksum(&source.into(), &destination.into()) {
            return Err(Defect::Checksum);
        }
        let flags =
            Flags { syn: packet.syn(), fin: packet.fin(), rst: packet.rst(), psh: packet.psh() };
        let contradicts = flags.syn && (flags.fin || flags.rst);
        if contradicts || packet.src_port() == 0 || packet.dst_port() == 0 {
            return Err(Defect::Malformed);
        }
        let header_len = usize::from(packet.header_len());
        Ok(Segment {
            source_port: packet.src_port(),
            destination_port: packet.dst_port(),
            seq: Seq(packet.seq_number().0 as u32),
            ack: packet.ack().then(|| Seq(packet.ack_number().0 as u32)),
            flags,
            window: packet.window_len(),
            options: SegmentOptions::parse(&bytes[HEADER_LEN..header_len]),
            payload: &bytes[header_len..],
        })
    }

    /// Length in sequence space: payload, SYN and FIN.
    pub(crate) fn len(&self) -> u32 {
        // A payload is shorter than an IP packet.
        self.payload.len() as u32 + u32::from(self.flags.syn) + u32::from(self.flags.fin)
    }

    pub(crate) fn end(&self) -> Seq {
        self.seq + self.len()
    }
}

/// The header of a segment to be sent; its payload is written by whoever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: Seq,
    pub(crate) ack: Option<Seq>,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: SegmentOptions,
}

impl Header {
    /// Length on the wire in bytes.
    pub(crate) fn len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header in front of the payload, which `bytes` ends with, and the checksum over
    /// both or what the device needs to complete it.
    pub(crate) fn emit(
        &self,
        bytes: &mut [u8],
        source: IpAddr,
        destination: IpAddr,
        checksum: Checksum,
    ) {
        let len = bytes.len();
        let header_len = self.len();
        let (fixed, rest) = bytes.split_at_mut(HEADER_LEN);
        self.options.emit(&mut rest[..header_len - HEADER_LEN]);
        fixed[0..2].copy_from_slice(&self.source_port.to_be_bytes());
        fixed[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ack.unwrap_or_default().0.to_be_bytes());
        // At most 60 bytes: five words and what `SegmentOptions::len` allows.
        fixed[12] = (header_len as u8 / 4) << 4;
        fixed[13] = self.flags.bits() | u8::from(self.ack.is_some()) << 4;
        fixed[14..16].copy_from_slice(&self.window.to_be_bytes());
        // The urgent pointer has no meaning.
        fixed[18..20].fill(0);
        match checksum {
            Checksum::Whole => {
                TcpPacket::new_unchecked(bytes).fill_checksum(&source.into(), &destination.into())
            }
            Checksum::PseudoHeader => {
                let sum = pseudo_header_sum(source, destination, IpProtocol::Tcp, len);
                fixed[16..18].copy_from_slice(&sum.to_be_bytes());
            }
        }
    }
}
