//! Segments as text, as packetdrill and tcpdump have it: `FP. 1:1001(1000) ack 1 win 512 <sack 5:9>`.
//!
//! Flags (`F`, `S`, `R`, `P`, and `.` for ACK), the first sequence number and the one behind the last
//! byte of text, its length, then what else there is. Numbers are relative to the initial ones of
//! whoever counts with them. `1:3001(3*1000)` is a burst of three, of which the last has the flags
//! and the others only their ACK.

use std::{fmt, net::SocketAddr};

use smoltcp::wire::{TcpOption, TcpPacket, TcpSeqNumber};

const HEADER_LEN: usize = 20;

/// Byte `position` of either stream.
pub(super) fn byte(position: usize) -> u8 {
    (position as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

/// A piece of either stream.
pub(super) fn text(position: usize, len: usize) -> Vec<u8> {
    (position..position + len).map(byte).collect()
}

/// Who sends, who receives, and where their numbers began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) from_isn: u32,
    pub(super) to_isn: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) flags: String,
    pub(super) seq: i32,
    pub(super) len: usize,
    pub(super) ack: Option<i32>,
    /// As in the header. Left out, it is what it was in the segment before.
    pub(super) window: Option<u16>,
    pub(super) options: Vec<String>,
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.trim().parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// The two numbers around a colon.
fn range(text: &str) -> (i32, i32) {
    let (low, high) = text.split_once(':').unwrap_or_else(|| panic!("not a range: {text}"));
    (number(low), number(high))
}

impl Segment {
    /// Reads one line, which may be a burst.
    pub(super) fn parse(line: &str) -> Vec<Segment> {
        let (line, options) = match line.split_once('<') {
            Some((line, options)) => (line, options.trim_end().trim_end_matches('>')),
            None => (line, ""),
        };
        let mut words = line.split_whitespace();
        let flags = words.next().expect("flags").to_owned();
        let place = words.next().expect("sequence numbers");
        let (numbers, len) = place.trim_end_matches(')').split_once('(').expect("a length");
        let (seq, end) = range(numbers);
        let (count, len): (usize, usize) = match len.split_once('*') {
            Some((count, len)) => (number(count), number(len)),
            None => (1, number(len)),
        };
        assert_eq!(seq + (count * len) as i32, end, "{line}");
        let (mut ack, mut window) = (None, None);
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_else(|| panic!("{word} of what?"));
            match word {
                "ack" => ack = Some(number(value)),
                "win" => window = Some(number(value)),
                _ => panic!("{word}?"),
            }
        }
        let options = options.split(',').map(|one| one.trim().to_owned());
        let options: Vec<_> = options.filter(|one| !one.is_empty()).collect();
        let one = |index: usize| Segment {
            flags: if index + 1 == count { flags.clone() } else { ".".to_owned() },
            seq: seq + (index * len) as i32,
            len,
            ack,
            window,
            options: options.clone(),
        };
        (0..count).map(one).collect()
    }

    /// The segment on the wire.
    pub(super) fn emit(&self, ends: &Ends) -> Vec<u8> {
        let options = self.emit_options(ends);
        let header_len = HEADER_LEN + options.len();
        let mut bytes = vec![0; header_len];
        bytes[HEADER_LEN..].copy_from_slice(&options);
        bytes.extend(text(self.seq.wrapping_sub(1) as usize, self.len));
        let mut packet = TcpPacket::new_unchecked(&mut bytes[..]);
        packet.set_src_port(ends.from.port());
        packet.set_dst_port(ends.to.port());
        packet.set_seq_number(absolute(self.seq, ends.from_isn));
        packet.set_ack_number(absolute(self.ack.unwrap_or(0), ends.to_isn));
        packet.clear_flags();
        packet.set_header_len(header_len as u8);
        packet.set_fin(self.flags.contains('F'));
        packet.set_syn(self.flags.contains('S'));
        packet.set_rst(self.flags.contains('R'));
        packet.set_psh(self.flags.contains('P'));
        packet.set_ack(self.flags.contains('.'));
        packet.set_window_len(self.window.expect("filled in"));
        packet.fill_checksum(&ends.from.ip().into(), &ends.to.ip().into());
        bytes
    }

    fn emit_options(&self, ends: &Ends) -> Vec<u8> {
        let mut bytes = Vec::new();
        for option in &self.options {
            let (kind, value) = option.split_once(' ').unwrap_or((option, ""));
            let option = match kind {
                "mss" => TcpOption::MaxSegmentSize(number(value)),
                "ws" => TcpOption::WindowScale(number(value)),
                "sackOK" => TcpOption::SackPermitted,
                "sack" => TcpOption::SackRange(blocks(value, ends.to_isn)),
                "nop" => TcpOption::NoOperation,
                _ => panic!("{kind}?"),
            };
            let mut one = vec![0; option.buffer_len()];
            option.emit(&mut one);
            bytes.extend(one);
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// What a segment on the wire says. Its text must be that of the stream.
    pub(super) fn read(bytes: &[u8], ends: &Ends) -> Segment {
        let packet = TcpPacket::new_checked(bytes).expect("a sound header");
        let (from, to) = (ends.from.ip().into(), ends.to.ip().into());
        assert!(packet.verify_checksum(&from, &to), "a wrong checksum");
        let flags = [
            (packet.fin(), 'F'),
            (packet.syn(), 'S'),
            (packet.rst(), 'R'),
            (packet.psh(), 'P'),
            (packet.ack(), '.'),
        ];
        let header_len = usize::from(packet.header_len());
        let seq = relative(packet.seq_number().0 as u32, ends.from_isn);
        let payload = &bytes[header_len..];
        assert!(payload == text(seq.wrapping_sub(1) as usize, payload.len()), "other text");
        Segment {
            flags: flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect(),
            seq,
            len: payload.len(),
            ack: packet.ack().then(|| relative(packet.ack_number().0 as u32, ends.to_isn)),
            window: Some(packet.window_len()),
            options: read_options(&bytes[HEADER_LEN..header_len], ends.to_isn),
        }
    }
}

fn absolute(number: i32, isn: u32) -> TcpSeqNumber {
    TcpSeqNumber(number.wrapping_add(isn as i32))
}

fn relative(number: u32, isn: u32) -> i32 {
    number.wrapping_sub(isn) as i32
}

fn blocks(text: &str, isn: u32) -> [Option<(u32, u32)>; 3] {
    let mut blocks = [None; 3];
    for (block, text) in blocks.iter_mut().zip(text.split_whitespace()) {
        let (low, high) = range(text);
        *block = Some((absolute(low, isn).0 as u32, absolute(high, isn).0 as u32));
    }
    blocks
}

fn read_options(mut bytes: &[u8], isn: u32) -> Vec<String> {
    let mut options = Vec::new();
    while !bytes.is_empty() {
        let (rest, option) = TcpOption::parse(bytes).expect("a sound option");
        match option {
            TcpOption::EndOfList => break,
            TcpOption::NoOperation => {}
            TcpOption::MaxSegmentSize(mss) => options.push(format!("mss {mss}")),
            TcpOption::WindowScale(scale) => options.push(format!("ws {scale}")),
            TcpOption::SackPermitted => options.push("sackOK".to_owned()),
            TcpOption::SackRange(blocks) => {
                let name = |(low, high)| format!("{}:{}", relative(low, isn), relative(high, isn));
                let blocks: Vec<_> = blocks.into_iter().flatten().map(name).collect();
                options.push(format!("sack {}", blocks.join(" ")));
            }
            other => options.push(format!("{other:?}")),
        }
        bytes = rest;
    }
    options
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Segment { flags, seq, len, .. } = self;
        write!(f, "{flags} {seq}:{}({len})", seq.wrapping_add(*len as i32))?;
        self.ack.iter().try_for_each(|ack| write!(f, " ack {ack}"))?;
        self.window.iter().try_for_each(|window| write!(f, " win {window}"))?;
        match self.options.is_empty() {
            true => Ok(()),
            false => write!(f, " <{}>", self.options.join(",")),
        }
    }
}
