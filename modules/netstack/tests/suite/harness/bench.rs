//! One host, and a test that plays everybody else on its link.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use netdev::RxOffload;
use netstack::{Config, Instant, Stack, Stats};
use smoltcp::wire::{ArpOperation, TcpControl};

use super::{
    Host, at,
    card::{Card, PLAIN},
    config, mac,
    wire::{self, Addresses, Segment},
};

/// The host 10.0.0.1 alone with the test, which has the hardware address `mac(2)` and, if it wants,
/// every other IP address.
pub(crate) struct Bench {
    pub(crate) now: Instant,
    pub(crate) host: Host,
    /// Whether questions for hardware addresses are answered.
    pub(crate) answers_arp: bool,
    /// What the host has sent, without ARP that was answered.
    pub(crate) sent: Vec<Vec<u8>>,
}

/// From the test to the host.
pub(crate) const INWARD: Addresses = (mac_of(2), mac_of(1));

const fn mac_of(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_config(&config(1))
    }

    pub(crate) fn with_config(config: &Config) -> Self {
        Self::with_card(config, Card::new(mac(1), PLAIN))
    }

    pub(crate) fn with_card(config: &Config, card: Card) -> Self {
        let host = Host::with_card(config, card);
        let mut bench = Bench { host, answers_arp: true, ..Self::silent(config) };
        // As every peer has done before its first packet arrives.
        let (peer, host) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1));
        bench.inject(&wire::arp((mac(2), [0xff; 6]), ArpOperation::Request, peer, host));
        bench.run_for(Duration::from_millis(1));
        bench.sent.clear();
        bench
    }

    /// A link on which nobody has spoken yet.
    pub(crate) fn silent(config: &Config) -> Self {
        let host = Host::new(config, 1);
        Bench { now: Instant::ZERO, host, answers_arp: false, sent: Vec::new() }
    }

    pub(crate) fn stack(&self) -> Stack {
        self.host.stack.clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.host.stats()
    }

    pub(crate) fn inject(&mut self, frame: &[u8]) {
        assert!(self.host.deliver(frame), "more frames than the card holds");
    }

    /// A frame about whose checksum the card says that it need not be looked at.
    pub(crate) fn inject_verified(&mut self, frame: &[u8]) {
        let offload = RxOffload { is_verified: true };
        assert!(self.host.card.deliver(frame, offload), "more frames than the card holds");
    }

    pub(crate) fn segment(&mut self, segment: Segment<'_>) {
        self.inject(&segment.frame(INWARD));
    }

    fn take(&mut self, frame: Vec<u8>) {
        match wire::arp_target(&frame) {
            Some(wanted) if self.answers_arp => return self.answer_arp(wanted),
            _ => {}
        }
        match wire::solicited(&frame) {
            // Whoever asks from nowhere wants no answer (RFC 4862 section 5.4.3).
            Some((wanted, asker)) if self.answers_arp && !asker.is_unspecified() => {
                self.inject(&wire::advertisement(INWARD, wanted, asker, 0x60));
            }
            _ => self.sent.push(frame),
        }
    }

    pub(crate) fn answer_arp(&mut self, wanted: Ipv4Addr) {
        let us = Ipv4Addr::new(10, 0, 0, 1);
        self.inject(&wire::arp((mac(2), mac(1)), ArpOperation::Reply, wanted, us));
    }

    /// Polls for as long as something is to be done at this instant.
    pub(crate) fn settle(&mut self) {
        while let Some(frames) = self.host.turn(self.now) {
            frames.into_iter().for_each(|frame| self.take(frame));
        }
    }

    /// Runs for a time.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        while let Some(at) = self.host.deadline().filter(|at| *at <= end) {
            self.now = at;
            self.settle();
        }
        self.now = end;
    }

    /// What has been sent since the last look.
    pub(crate) fn take_sent(&mut self) -> Vec<Vec<u8>> {
        self.settle();
        std::mem::take(&mut self.sent)
    }

    /// The last TCP segment sent since the last look: its control bits, sequence and acknowledgement
    /// numbers.
    pub(crate) fn answer(&mut self) -> Option<(TcpControl, i32, Option<i32>)> {
        let sent = self.take_sent();
        let segment = sent.iter().rev().find_map(|frame| wire::tcp(frame))?;
        Some((segment.control, segment.seq, segment.ack))
    }

    /// Opens a connection from 10.0.0.2:`port` to 10.0.0.1:`to`. Its next sequence number is 1.
    pub(crate) fn open(&mut self, port: u16, to: u16) -> Peer {
        let (from, to) = (at(2, port), at(1, to));
        self.segment(Segment::new(from, to, TcpControl::Syn, 0));
        let (control, seq, ack) = self.answer().expect("the SYN is answered");
        assert_eq!((control, ack), (TcpControl::Syn, Some(1)));
        let peer = Peer { from, to, seq: 1, ack: seq.wrapping_add(1) };
        self.segment(peer.send(TcpControl::None));
        self.settle();
        peer
    }
}

/// The test's end of a connection, as far as it keeps account of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) seq: i32,
    pub(crate) ack: i32,
}

impl Peer {
    pub(crate) fn send(&self, control: TcpControl) -> Segment<'static> {
        Segment::new(self.from, self.to, control, self.seq).ack(self.ack)
    }
}
