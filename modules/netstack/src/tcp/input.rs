//! Segments that arrive, to the connection, handshake or listener that they are for.

use core::net::{IpAddr, SocketAddr};

use netdev::Transmitter;
use smoltcp::wire::IpProtocol;

use super::{
    Phase, TcpFlow,
    connection::{End, Reaction, State},
    mss,
    segment::{Defect, Flags, Header, Segment, SegmentOptions},
    seq::Seq,
    time_wait::Judgement,
};
use crate::{
    engine::Engine,
    flow::{Flow, FlowId, Kind, Tuple},
    ip::{Cast, Checksum, Demux, ErrorKind, HOP_LIMIT_DEFAULT, IcmpError, Packet},
    stats::{Reason, Verdict},
};

impl Engine {
    /// A segment to an address of ours.
    pub(crate) fn tcp_segment(
        &mut self,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        // RFC 1122 section 4.2.3.10.
        if packet.cast != Cast::Unicast {
            return Verdict::Dropped(Reason::TcpNotUnicast);
        }
        let (source, destination) = (packet.source, packet.destination);
        let segment = match Segment::parse(packet.payload, source, destination, packet.is_verified)
        {
            Ok(segment) => segment,
            Err(Defect::Malformed) => return Verdict::Dropped(Reason::MalformedTcp),
            Err(Defect::Checksum) => return Verdict::Dropped(Reason::TcpChecksum),
        };
        let tuple = Tuple {
            local: SocketAddr::new(destination, segment.destination_port),
            remote: SocketAddr::new(source, segment.source_port),
        };
        let flow = match packet.connection {
            Demux::Flow(id) => Some(id),
            Demux::NoFlow => None,
            Demux::Unknown => self.tcp.flow(&tuple),
        };
        if let Some(id) = flow {
            return self.deliver(id, &segment, packet, tx);
        }
        if let Some(verdict) = self.continue_handshake(tuple, &segment, packet, tx) {
            return verdict;
        }
        let above = match self.tcp.time_wait.judge(&tuple, &segment) {
            Judgement::Unknown => None,
            Judgement::Reuse { above } => Some(above),
            Judgement::Acknowledge { seq, ack } => {
                let header = reply_header(&segment, seq, Some(ack), Flags::default());
                self.answer(&header, HOP_LIMIT_DEFAULT, packet, tx);
                return Verdict::Answered;
            }
            Judgement::Drop => return Verdict::Dropped(Reason::TimeWait),
        };
        match segment.flags.syn && segment.ack.is_none() {
            true => self.syn(tuple, &segment, above, packet, tx),
            false => self.refuse(&segment, packet, tx),
        }
    }

    pub(super) fn deliver(
        &mut self,
        id: FlowId,
        segment: &Segment<'_>,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let Engine { flows, budget, now, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return Verdict::Dropped(Reason::NoConnection);
        };
        let reaction = flow.connection.on_segment(segment, *now, budget);
        // RFC 1122 section 4.2.2.13: what nobody will read is not taken, once nothing of ours is
        // left to deliver.
        let is_unwanted = flow.phase == Phase::Orphan && !segment.payload.is_empty();
        if is_unwanted && flow.connection.state() == State::FinWait2 {
            flow.connection.abort();
        }
        match self.wakes_reader(id) {
            true => self.mark_for_later(id),
            false => self.mark_dirty(id),
        }
        match reaction {
            Reaction::Nothing => Verdict::Delivered,
            Reaction::Reset => self.refuse(segment, packet, tx),
        }
    }

    /// Wakes who reads, if that is all that is to be done: what the reader writes will carry the
    /// acknowledgement, and the flow has one turn for both.
    fn wakes_reader(&mut self, id: FlowId) -> bool {
        let Engine { flows, woken, .. } = self;
        let Flow { kind: Kind::Tcp(flow), readers, .. } = &mut flows[id] else {
            return false;
        };
        let connection = &flow.connection;
        let is_awaited = flow.phase == Phase::Open
            && connection.end().is_none()
            && connection.readable_len() > 0;
        is_awaited && !connection.wants_to_send() && readers.drain_into(woken)
    }

    /// Answers a segment for nobody with a reset (RFC 9293 section 3.10.7.1).
    pub(super) fn refuse(
        &mut self,
        segment: &Segment<'_>,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        if segment.flags.rst {
            return Verdict::Dropped(Reason::NoConnection);
        }
        let flags = Flags { rst: true, ..Flags::default() };
        let header = match segment.ack {
            Some(ack) => reply_header(segment, ack, None, flags),
            None => reply_header(segment, Seq(0), Some(segment.end()), flags),
        };
        self.answer(&header, HOP_LIMIT_DEFAULT, packet, tx);
        Verdict::Answered
    }

    /// Sends a segment without text back to where a packet came from.
    pub(super) fn answer(
        &mut self,
        header: &Header,
        hop_limit: u8,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) {
        let (ours, theirs) = (packet.destination, packet.source);
        self.ip.reply(packet, (IpProtocol::Tcp, hop_limit), header.len(), tx, |bytes| {
            header.emit(bytes, ours, theirs, Checksum::Whole);
        });
    }

    /// An ICMP error about a segment that was sent from `tuple.local` with `quoted_seq`. Returns
    /// whether it was believed: RFC 5927 section 4.1 wants a number that is in flight.
    pub(crate) fn tcp_icmp_error(
        &mut self,
        tuple: Tuple,
        quoted_seq: u32,
        error: IcmpError,
    ) -> bool {
        let Some(id) = self.tcp.flow(&tuple) else {
            return false;
        };
        let Some(flow) = self.flows[id].tcp() else {
            return false;
        };
        if !flow.connection.is_in_flight(Seq(quoted_seq)) {
            return false;
        }
        take_error(flow, error.kind, tuple.remote.ip());
        self.mark_dirty(id);
        true
    }
}

/// Only a connection that is being made ends by an ICMP error (RFC 5927 section 5.2): nobody but the
/// peer, who acknowledges, can end one that works.
fn take_error(flow: &mut TcpFlow, kind: ErrorKind, remote: IpAddr) {
    let connection = &mut flow.connection;
    match kind {
        ErrorKind::TooBig(mtu) => connection.lower_path_mss(mss(mtu, remote)),
        _ if !connection.is_connecting() => {}
        ErrorKind::PortUnreachable | ErrorKind::ProtocolUnreachable => {
            connection.fail(End::Refused);
        }
        ErrorKind::HostUnreachable | ErrorKind::Prohibited => connection.fail(End::Unreachable),
        ErrorKind::TimeExceeded | ErrorKind::ParameterProblem => {}
    }
}

fn reply_header(segment: &Segment<'_>, seq: Seq, ack: Option<Seq>, flags: Flags) -> Header {
    Header {
        source_port: segment.destination_port,
        destination_port: segment.source_port,
        seq,
        ack,
        flags,
        window: 0,
        options: SegmentOptions::default(),
    }
}
