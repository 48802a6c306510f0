//! Timelines: one host, and tables of the segments that it must take and send, to the microsecond.
//!
//! A script is in the spirit of packetdrill's; `notation` tells how a segment is written. Each line
//! has a time in milliseconds since the line before (`+10`; none is the same instant) and an event:
//!
//! | event | what it means |
//! |---|---|
//! | `< segment` | the peer sends it |
//! | `> segment` | the host has sent it, at exactly this time and nothing before it |
//! | `< icmp port\|host\|mtu 900 seq 1` | an ICMP error about the host's segment with that number |
//! | `listen`, `connect`, `accept` | the application's call |
//! | `write 10`, `read 10` | the application writes or reads so many bytes of the stream |
//! | `shutdown`, `shutdown read`, `drop`, `abort` | the same |
//! | `hears nothing\|eof\|reset\|timeout` | what reading comes to |
//! | `is connecting\|connected\|refused\|unreachable\|timeout` | how the handshake goes |
//! | `handed 3000/1000 500` | the frames that the card got since the last such line, or the first: \
//!   their text's length and, if they are to be cut, a segment's; `whole` if it is left no checksum |
//! | `peer 7` | what follows is about the peer's port 7 |
//! | `quiet` | nothing at all |
//!
//! What the host sends and no line expects is an error, when time goes on or the script ends.

mod closing;
mod congestion;
mod flow_control;
mod handshake;
mod icmp;
mod listening;
mod notation;
mod receiving;
mod recovery;
mod resets;
mod retransmission;
mod silence;
mod time_wait;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netdev::Offloads;
use netstack::{
    ConnectError, Instant, ListenOptions, ReadError, Shutdown, TcpListener, TcpOptions, TcpStream,
};
use smoltcp::wire::IpProtocol;

use self::notation::{Ends, Segment, text};
use crate::harness::{
    apps::BACKLOG,
    at,
    bench::{Bench, INWARD},
    card::{CUTTING, Card, PLAIN, Request},
    config, mac, wire,
};

/// The host's port, whoever connects.
const PORT: u16 = 80;
/// The peer's, unless a script says otherwise.
const PEER_PORT: u16 = 1000;
/// Lines of a script that a failure shows: about what fits a screen.
const LINES_SHOWN: usize = 50;
/// When scripts begin. Round, because some of the stack's deadlines are.
const BEGIN: Instant = Instant::from_micros(10_000_000);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// The peer connects, with everything: a round trip takes 10 ms, segments are of 1000 bytes, and
/// windows in units of 128.
pub(crate) const ACCEPTED: &str = "
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < . 1:1(0) ack 1 win 512
        accept
";

/// The same without selective acknowledgements.
const ACCEPTED_WITHOUT_SACK: &str = "
        listen
        < S 0:0(0) win 65535 <mss 1000,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3>
    +10 < . 1:1(0) ack 1 win 512
        accept
";

/// The host connects to the peer of [`ACCEPTED`].
pub(crate) const CONNECTED: &str = "
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
    +10 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
        is connected
";

/// What the host's connections have unless a script says otherwise: a receive buffer of 256 KiB, whose
/// window is in units of eight.
pub(crate) fn defaults() -> TcpOptions {
    TcpOptions { receive_buffer_len: 256 << 10, ..TcpOptions::default() }
}

/// Plays scripts one after the other, over IPv4 and over IPv6, on cards that do nothing and that cut:
/// on the wire it is the same.
fn play(scripts: &[&str]) {
    play_with(defaults(), scripts);
}

/// The same with options for the host's connections.
fn play_with(options: TcpOptions, scripts: &[&str]) {
    [PLAIN, CUTTING].into_iter().for_each(|offloads| play_on(offloads, options, scripts));
}

/// The same on one card.
pub(crate) fn play_on(offloads: Offloads, options: TcpOptions, scripts: &[&str]) {
    for is_ipv4 in [true, false] {
        let mut timeline = Timeline::new(is_ipv4, offloads);
        timeline.options = options;
        scripts.iter().for_each(|script| timeline.play(script));
    }
}

/// What is known of a peer's connection.
#[derive(Default)]
struct Peer {
    /// The initial numbers: the peer's, which the test chooses, and the host's.
    irs: u32,
    iss: u32,
    /// The windows last said, each way.
    said: u16,
    heard: u16,
    stream: Option<TcpStream>,
    written: usize,
    read: usize,
}

pub(crate) struct Timeline {
    pub(crate) bench: Bench,
    pub(crate) options: TcpOptions,
    backlog: usize,
    is_ipv4: bool,
    offloads: Offloads,
    listener: Option<TcpListener>,
    peers: BTreeMap<u16, Peer>,
    /// Whose turn it is.
    port: u16,
    /// When the last line was.
    at: Instant,
    /// What the host has sent and no line has expected: when, to which port, what.
    unexpected: VecDeque<(Instant, u16, Vec<u8>)>,
    /// What has happened, for whoever must find out why a script fails.
    log: Vec<String>,
}

impl Timeline {
    pub(crate) fn new(is_ipv4: bool, offloads: Offloads) -> Self {
        let mut bench = Bench::with_card(&config(1), Card::new(mac(1), offloads));
        // Until the host is sure of its addresses.
        bench.run_for(BEGIN - bench.now);
        bench.take_sent();
        Timeline {
            at: bench.now,
            bench,
            options: defaults(),
            backlog: BACKLOG,
            is_ipv4,
            offloads,
            listener: None,
            peers: BTreeMap::new(),
            port: PEER_PORT,
            unexpected: VecDeque::new(),
            log: Vec::new(),
        }
    }

    fn both(mut test: impl FnMut(Timeline)) {
        for offloads in [PLAIN, CUTTING] {
            [true, false].into_iter().for_each(|is_ipv4| test(Timeline::new(is_ipv4, offloads)));
        }
    }

    /// Plays a script. Afterwards the host has sent nothing else.
    pub(crate) fn play(&mut self, script: &str) {
        let mss = if self.is_ipv4 { "mss 1460" } else { "mss 1440" };
        for line in script.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            if !line.is_empty() {
                self.line(&line.replace("mss max", mss));
            }
        }
        self.expect_silence();
    }

    fn line(&mut self, line: &str) {
        let (wait, event) = match line.strip_prefix('+') {
            Some(rest) => rest.split_once(char::is_whitespace).expect("an event"),
            None => ("0", line),
        };
        let wait: f64 = wait.parse().expect("a time");
        if wait > 0.0 {
            self.expect_silence();
        }
        self.at = self.at + Duration::from_micros((wait * 1000.0).round() as u64);
        self.run();
        let event = event.trim();
        self.log.push(format!("{:>8} ms  {event}", self.millis(self.at)));
        match event.split_once(' ').unwrap_or((event, "")) {
            (">", segment) => self.expect(segment),
            (direction, rest) => {
                self.expect_silence();
                match (direction, rest.split_once(' ')) {
                    ("<", Some(("icmp", error))) => self.icmp(error),
                    ("<", _) => self.inject(rest),
                    _ => self.call(direction, rest),
                }
                self.run();
            }
        }
    }

    /// Runs the host up to the present line and notes what it sends.
    fn run(&mut self) {
        loop {
            let sent = self.bench.take_sent();
            sent.iter().for_each(|frame| self.note(frame));
            match self.bench.host.deadline() {
                Some(due) if due <= self.at => self.bench.now = due,
                _ => break,
            }
        }
        self.bench.now = self.at;
    }

    fn note(&mut self, frame: &[u8]) {
        if let Some((IpProtocol::Tcp, _, _, segment)) = wire::ip_payload(frame) {
            let port = u16::from_be_bytes([segment[2], segment[3]]);
            let is_syn = segment[13] & 2 != 0;
            if is_syn {
                let iss = segment[4..8].try_into().map(u32::from_be_bytes);
                self.peers.entry(port).or_default().iss = iss.expect("four bytes");
            }
            self.unexpected.push_back((self.bench.now, port, segment.to_vec()));
        }
    }

    fn millis(&self, at: Instant) -> f64 {
        (at - BEGIN).as_micros() as f64 / 1000.0
    }

    fn fail(&self, what: &str) -> ! {
        let version = if self.is_ipv4 { "IPv4" } else { "IPv6" };
        let latest = &self.log[self.log.len().saturating_sub(LINES_SHOWN)..];
        let offloads = self.offloads;
        panic!("over {version}, {offloads:?}:\n{}\n{what}", latest.join("\n"));
    }

    fn expect_silence(&self) {
        if let Some((at, port, segment)) = self.unexpected.front() {
            let got = Segment::read(segment, &self.ends(*port).0);
            self.fail(&format!("not expected at {} ms, port {port}: {got}", self.millis(*at)));
        }
    }

    fn expect(&mut self, line: &str) {
        for mut wanted in Segment::parse(line) {
            let Some((at, port, segment)) = self.unexpected.pop_front() else {
                self.fail(&format!("nothing was sent; expected: {wanted}"));
            };
            let got = Segment::read(&segment, &self.ends(port).0);
            let peer = self.peers.entry(port).or_default();
            wanted.window = wanted.window.or(Some(peer.heard));
            peer.heard = got.window.unwrap_or_default();
            let is_it = (at, port) == (self.at, self.port) && got == wanted;
            if !is_it {
                let at = self.millis(at);
                self.fail(&format!("expected: {wanted}\nbut at {at} ms, port {port}: {got}"));
            }
        }
    }

    fn inject(&mut self, line: &str) {
        let ends = self.ends(self.port).1;
        for mut segment in Segment::parse(line) {
            let peer = self.peers.entry(self.port).or_default();
            peer.said = segment.window.unwrap_or(peer.said);
            segment.window = Some(peer.said);
            let bytes = segment.emit(&ends);
            let (from, to) = (ends.from.ip(), ends.to.ip());
            self.bench.inject(&wire::ip(INWARD, from, to, IpProtocol::Tcp, &bytes));
            self.run();
        }
    }

    /// An ICMP error from the peer: `port seq 1`, `host seq 1`, `mtu 900 seq 1`.
    fn icmp(&mut self, error: &str) {
        let words: Vec<_> = error.split_whitespace().collect();
        let seq: i32 = words[words.len() - 1].parse().expect("a sequence number");
        let (four, six) = match words[0] {
            "port" => ([3, 3], [1, 4]),
            "host" => ([3, 1], [1, 3]),
            "mtu" => ([3, 4], [2, 0]),
            other => panic!("{other}?"),
        };
        let mtu: u32 = if words[0] == "mtu" { words[1].parse().expect("an MTU") } else { 0 };
        let (outward, inward) = self.ends(self.port);
        let mut quoted = vec![0; 20];
        quoted[..2].copy_from_slice(&outward.from.port().to_be_bytes());
        quoted[2..4].copy_from_slice(&outward.to.port().to_be_bytes());
        let seq = outward.from_isn.wrapping_add(seq as u32);
        quoted[4..8].copy_from_slice(&seq.to_be_bytes());
        let (ours, theirs) = (outward.from.ip(), outward.to.ip());
        let quoted = wire::ip(INWARD, ours, theirs, IpProtocol::Tcp, &quoted);
        let kind = if self.is_ipv4 { four } else { six };
        let message = [&kind[..], &[0, 0], &mtu.to_be_bytes(), &quoted[14..]].concat();
        self.bench.inject(&match (inward.from.ip(), inward.to.ip()) {
            (IpAddr::V6(from), IpAddr::V6(to)) => wire::icmpv6(INWARD, [from, to], 64, &message),
            (from, to) => wire::icmpv4(INWARD, from, to, &message),
        });
    }

    /// From the host to a peer, and back.
    fn ends(&self, port: u16) -> (Ends, Ends) {
        let (ours, theirs) = match self.is_ipv4 {
            true => (at(1, PORT), at(2, port)),
            false => (SocketAddr::new(self.bench.host.ip6(), PORT), (PEER_V6, port).into()),
        };
        let (iss, irs) = self.peers.get(&port).map_or((0, 0), |peer| (peer.iss, peer.irs));
        let outward = Ends { from: ours, to: theirs, from_isn: iss, to_isn: irs };
        let inward = Ends { from: theirs, to: ours, from_isn: irs, to_isn: iss };
        (outward, inward)
    }

    fn peer(&mut self) -> &mut Peer {
        self.peers.entry(self.port).or_default()
    }

    fn stream(&self) -> &TcpStream {
        let stream = self.peers.get(&self.port).and_then(|peer| peer.stream.as_ref());
        stream.unwrap_or_else(|| self.fail("no stream"))
    }

    /// What the application does.
    fn call(&mut self, verb: &str, argument: &str) {
        match (verb, argument) {
            ("quiet", _) => {}
            ("peer", port) => self.port = port.parse().expect("a port"),
            ("listen", _) => self.listener = Some(self.listen()),
            ("connect", _) => self.connect(),
            ("accept", _) => self.accept(),
            ("write", len) => self.write(len),
            ("read", len) => self.read(len.parse().expect("a length")),
            ("shutdown", "") => self.stream().shutdown(Shutdown::Write),
            ("shutdown", "read") => self.stream().shutdown(Shutdown::Read),
            ("drop", _) => self.peer().stream = None,
            ("abort", _) => self.stream().abort(),
            ("handed", frames) => self.handed(frames),
            ("hears", what) => self.hears(what),
            ("is", what) => self.is(what),
            _ => panic!("{verb} {argument}?"),
        }
    }

    fn listen(&self) -> TcpListener {
        let local = self.ends(self.port).0.from;
        let options = ListenOptions { connection: self.options, ..ListenOptions::default() };
        let stack = self.bench.stack();
        TcpListener::bind_with(&stack, local, self.backlog, &options).expect("a free port")
    }

    fn connect(&mut self) {
        let ends = self.ends(self.port).0;
        let stack = self.bench.stack();
        let stream = TcpStream::connect_with(&stack, Some(ends.from), ends.to, &self.options);
        self.adopt(stream.unwrap_or_else(|error| self.fail(&error.to_string())));
    }

    fn accept(&mut self) {
        let listener = self.listener.as_ref().expect("a listener");
        let stream = listener.try_accept().unwrap_or_else(|error| self.fail(&error.to_string()));
        assert_eq!(stream.peer_addr(), self.ends(self.port).0.to);
        self.adopt(stream);
    }

    /// The streams' text begins with the connection.
    fn adopt(&mut self, stream: TcpStream) {
        let peer = self.peer();
        (peer.stream, peer.written, peer.read) = (Some(stream), 0, 0);
    }

    /// `10`, or `10 of 20` if there is room for no more.
    fn write(&mut self, argument: &str) {
        let (len, offered) = argument.split_once(" of ").unwrap_or((argument, argument));
        let (len, offered): (usize, usize) = (len.parse().unwrap(), offered.parse().unwrap());
        let written = self.peer().written;
        let result = self.stream().try_write(&text(written, offered));
        if result != Ok(len) {
            self.fail(&format!("writing came to {result:?}"));
        }
        self.peer().written += len;
    }

    fn read(&mut self, len: usize) {
        let position = self.peer().read;
        let mut buffer = vec![0; len];
        let result = self.stream().try_read(&mut buffer);
        if result != Ok(len) {
            self.fail(&format!("reading came to {result:?}"));
        }
        assert!(buffer == text(position, len), "other text");
        self.peer().read += len;
    }

    fn handed(&mut self, wanted: &str) {
        let handed = self.bench.host.take_handed();
        let frames: Vec<_> = handed.iter().filter_map(describe).collect();
        if !wanted.is_empty() && frames.join(" ") != wanted {
            self.fail(&format!("handed {}", frames.join(" ")));
        }
    }

    fn hears(&self, what: &str) {
        let wanted = match what {
            "nothing" => Err(ReadError::WouldBlock),
            "eof" => Ok(0),
            "reset" => Err(ReadError::Reset),
            "timeout" => Err(ReadError::TimedOut),
            _ => panic!("{what}?"),
        };
        let heard = self.stream().try_read(&mut [0]);
        if heard != wanted {
            self.fail(&format!("reading came to {heard:?}"));
        }
    }

    fn is(&self, what: &str) {
        let wanted = match what {
            "connecting" => Err(ConnectError::WouldBlock),
            "connected" => Ok(()),
            "refused" => Err(ConnectError::Refused),
            "unreachable" => Err(ConnectError::Unreachable),
            "timeout" => Err(ConnectError::TimedOut),
            _ => panic!("{what}?"),
        };
        let state = self.stream().try_connected();
        if state != wanted {
            self.fail(&format!("connecting came to {state:?}"));
        }
    }
}

/// How the card got a segment, or several of them at once.
fn describe(request: &Request) -> Option<String> {
    let (protocol, _, _, segment) = wire::ip_payload(&request.frame)?;
    let text_len = segment.len() - 4 * usize::from(segment[12] >> 4);
    let cut = request.offload.segmentation.map(|cut| format!("/{}", cut.payload_len));
    let whole = request.offload.checksum.is_none().then(|| "whole".to_owned());
    (protocol == IpProtocol::Tcp)
        .then(|| format!("{text_len}{}", cut.or(whole).unwrap_or_default()))
}
