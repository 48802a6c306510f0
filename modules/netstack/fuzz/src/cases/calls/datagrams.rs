//! Sockets without connections: UDP, ICMP, raw IP; and names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netstack::{
    IcmpSocket, Interest, Lookup, RawSocket, RecvError, SendError, Stack, UdpSocket, Want,
};

use super::{super::input::Input, SOCKETS_MAX};

/// A protocol without a meaning (RFC 3692 section 2.1).
const PROTOCOL: u8 = 253;

#[derive(Default)]
pub(super) struct Datagrams {
    udp: Vec<UdpSocket>,
    icmp: Vec<IcmpSocket>,
    raw: Vec<RawSocket>,
    lookups: Vec<Lookup>,
}

impl Datagrams {
    /// Calls what the input says, with a local and a remote address.
    pub(super) fn call(&mut self, stack: &Stack, ends: [SocketAddr; 2], input: &mut Input<'_>) {
        match input.below(16) {
            0 => self.close(),
            1..4 if self.udp.len() < SOCKETS_MAX => {
                self.udp.extend(UdpSocket::bind(stack, ends[0]))
            }
            4 if self.icmp.len() < SOCKETS_MAX => {
                self.icmp.extend(IcmpSocket::new(stack, ends[1].is_ipv4(), None));
            }
            5 if self.raw.len() < SOCKETS_MAX => {
                self.raw.extend(RawSocket::new(stack, ends[1].is_ipv4(), PROTOCOL));
            }
            6 if self.lookups.len() < SOCKETS_MAX => {
                let name = input.choose(&["localhost", "10.0.0.7", "a.example", "..", ""]);
                self.lookups.extend(stack.resolve(name, Want::Any));
            }
            7 => self.set_options(input),
            8..10 => self.receive(input),
            _ => self.send(ends[1], input),
        }
    }

    fn close(&mut self) {
        self.udp.pop();
        self.icmp.pop();
        self.raw.pop();
        self.lookups.pop();
    }

    fn set_options(&self, input: &mut Input<'_>) {
        let Some(socket) = self.udp.last() else {
            return;
        };
        let groups: [IpAddr; 3] = [
            Ipv4Addr::new(239, 1, 2, 3).into(),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x77).into(),
            Ipv4Addr::new(10, 0, 0, 2).into(),
        ];
        match input.below(5) {
            0 | 1 => drop(socket.join(input.choose(&groups), None)),
            2 => drop(socket.leave(input.choose(&groups), None)),
            3 => drop(socket.set_receive_buffer(usize::from(input.u16()))),
            _ => drop(socket.set_send_buffer(usize::from(input.u16()))),
        }
    }

    fn receive(&self, input: &mut Input<'_>) {
        let mut buffer = vec![0; usize::from(input.u16())];
        for socket in &self.udp {
            let is_ready = socket.is_ready(Interest::Read);
            let peeked = socket.try_peek_from(&mut buffer);
            assert_eq!(is_ready, peeked != Err(RecvError::WouldBlock));
            let received = socket.try_recv_from(&mut buffer);
            // An error is told once, whoever looks first.
            assert!(peeked.is_err() || peeked == received, "a peek tells what comes");
        }
        all(&self.icmp, |socket| socket.try_receive(&mut buffer));
        all(&self.raw, |socket| socket.try_receive(&mut buffer));
        all(&self.lookups, Lookup::try_result);
    }

    fn send(&self, to: SocketAddr, input: &mut Input<'_>) {
        let data = vec![1; usize::from(input.u16()) + input.below(8)];
        let everybody =
            [SocketAddr::from(([255; 4], to.port())), ([239, 1, 2, 3], to.port()).into()];
        match input.below(8) {
            0 => all(&self.icmp, |socket| socket.try_send_to(1, &data, to)),
            1 => all(&self.raw, |socket| socket.try_send_to(&data, to)),
            2 => all(&self.udp, |socket| socket.connect(to)),
            3 => self.udp.iter().for_each(|socket| send_to_peer(socket, &data)),
            4 => {
                let to = input.choose(&everybody);
                all(&self.udp, |socket| socket.try_send_to(&data, to));
            }
            _ => all(&self.udp, |socket| socket.try_send_to(&data, to)),
        }
    }
}

/// Sends to the peer, if there is one, who decides whether there is room.
fn send_to_peer(socket: &UdpSocket, data: &[u8]) {
    let (is_ready, has_peer) = (socket.is_ready(Interest::Write), socket.peer_addr().is_some());
    match socket.try_send(data) {
        Err(SendError::WouldBlock) => assert!(!is_ready),
        Err(SendError::Refused) => assert!(is_ready, "there was an error to tell"),
        Err(_) => {}
        Ok(()) => assert!(is_ready && has_peer),
    }
}

/// Calls something of every socket, whatever it answers.
fn all<S, R>(sockets: &[S], call: impl FnMut(&S) -> R) {
    sockets.iter().map(call).for_each(|_| ());
}
