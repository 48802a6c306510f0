//! Datagrams, echo requests and raw packets. Networks with faults may lose and double them; in
//! those without, each comes once.

use std::{sync::Arc, time::Duration};

use axerrno::AxResult;
use netasync::{IcmpSocket, RawSocket, UdpSocket, ping, sleep, timeout};

use crate::{
    peers::{ECHO, PROTOCOL, server},
    probe::Probe,
};

/// Datagrams of an exchange; numbered from zero.
pub(crate) const COUNT: u8 = 5;
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// As the network may lose some.
pub(crate) const SENT_MAX: u8 = 100;
/// More than fits a socket's buffer in one turn.
const BATCH: u8 = 12;

/// Has a task send numbered datagrams by the call given.
macro_rules! send_numbered {
    ($probe:ident, $socket:ident, $number:ident => $send:expr) => {
        let (sender, is_faulty) = ($socket.clone(), $probe.is_faulty());
        let sending = $probe.tasks.spawn(async move {
            let $socket = sender;
            let count = if is_faulty { $crate::datagrams::SENT_MAX } else { COUNT };
            for $number in 0..count {
                // It is an error to be refused, and then the exchange fails elsewhere.
                let _sent = $send.await;
                netasync::sleep($crate::datagrams::PAUSE).await;
            }
        });
        // The task holds the socket.
        let _sending = $crate::datagrams::Abort(sending.abort_handle());
    };
}

/// Takes numbered datagrams by the call given, which tells the number.
macro_rules! receive_numbered {
    ($probe:ident, $receive:expr) => {
        let mut numbers = vec![];
        while numbers.len() < usize::from(COUNT) {
            numbers.extend($probe.attempt($receive).await);
        }
        if !$probe.is_faulty() {
            assert_eq!(numbers, [0, 1, 2, 3, 4], "each comes once");
            let late = timeout(Duration::from_millis(100), $receive).await;
            assert!(late.is_err(), "one comes twice");
        }
    };
}

pub(crate) use {receive_numbered, send_numbered};

/// Stops a task at the end of a scope.
pub(crate) struct Abort(pub(crate) netasync::AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The number of a datagram, which fills it.
pub(crate) fn number_of(datagram: &[u8]) -> u8 {
    assert!(!datagram.is_empty() && datagram.iter().all(|byte| *byte == datagram[0]));
    datagram[0]
}

pub(crate) async fn socket() -> Arc<UdpSocket> {
    Arc::new(UdpSocket::bind("10.0.0.2:0").await.expect("a port is free"))
}

pub(crate) async fn connected() -> Arc<UdpSocket> {
    let socket = socket().await;
    socket.connect(ECHO).await.expect("an address");
    socket
}

pub(crate) async fn recv_from(probe: Probe) {
    let socket = socket().await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    receive_numbered!(probe, async {
        let mut buffer = [0; 200];
        let (len, from) = socket.recv_from(&mut buffer).await.expect("nobody refuses");
        assert_eq!(from, ECHO.parse().unwrap());
        number_of(&buffer[..len])
    });
}

pub(crate) async fn recv(probe: Probe) {
    let socket = connected().await;
    send_numbered!(probe, socket, number => socket.send(&[number; 100]));
    receive_numbered!(probe, async {
        let mut buffer = [0; 200];
        let len = socket.recv(&mut buffer).await.expect("nobody refuses");
        number_of(&buffer[..len])
    });
}

pub(crate) async fn recv_msg(probe: Probe) {
    let socket = socket().await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    receive_numbered!(probe, async {
        let mut buffer = [0; 10];
        let received = socket.recv_msg(&mut buffer).await.expect("nobody refuses");
        assert_eq!((received.len, received.full_len), (10, 100));
        number_of(&buffer)
    });
}

pub(crate) async fn peek_from(probe: Probe) {
    let socket = socket().await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    receive_numbered!(probe, async {
        let (mut seen, mut buffer) = ([0; 200], [0; 200]);
        let (len, _) = socket.peek_from(&mut seen).await.expect("nobody refuses");
        // It is still the next.
        let (again, _) = socket.recv_from(&mut buffer).await.expect("nobody refuses");
        assert_eq!(seen[..len], buffer[..again]);
        number_of(&buffer[..again])
    });
}

/// Others wait for datagrams as well.
pub(crate) async fn recv_beside_other_tasks(probe: Probe) {
    let socket = socket().await;
    let others = [1, 2].map(|_| {
        let socket = socket.clone();
        probe.tasks.spawn(async move { socket.recv(&mut [0; 200]).await })
    });
    sleep(PAUSE).await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    while probe.attempt(socket.recv(&mut [0; 200])).await.is_none() {}
    for other in others {
        assert_eq!(other.await, Ok(Ok(100)));
    }
}

/// Sends a batch by the call given: what was given up has not been sent, so that each is answered
/// once.
macro_rules! send_batch {
    ($probe:ident, $socket:ident, $number:ident => $send:expr, $receive:expr) => {
        let receiver = $socket.clone();
        let answers = $probe.tasks.spawn(async move {
            let ($socket, mut numbers) = (receiver, vec![]);
            while let Ok(number) = timeout(Duration::from_secs(1), $receive(&$socket)).await {
                numbers.push(number);
            }
            numbers
        });
        for $number in 0..BATCH {
            while $probe.attempt($send).await.is_none() {}
        }
        let numbers = answers.await.expect("nobody aborts it");
        if !$probe.is_faulty() {
            assert!(numbers.iter().copied().eq(0..BATCH), "each is sent once: {numbers:?}");
        }
    };
}

/// The number of the next datagram.
async fn next(socket: &UdpSocket) -> u8 {
    let mut buffer = [0; 2000];
    let len = socket.recv(&mut buffer).await.expect("nobody refuses");
    number_of(&buffer[..len])
}

pub(crate) async fn send_to(probe: Probe) {
    let socket = socket().await;
    socket.set_send_buffer_size(2048).expect("it is allowed");
    send_batch!(probe, socket, number => socket.send_to(&[number; 1000], ECHO), next);
}

pub(crate) async fn send_to_a_name(probe: Probe) {
    let socket = socket().await;
    send_batch!(probe, socket, number => socket.send_to(&[number; 1000], "server.test:7"), next);
}

pub(crate) async fn send(probe: Probe) {
    let socket = connected().await;
    socket.set_send_buffer_size(2048).expect("it is allowed");
    send_batch!(probe, socket, number => socket.send(&[number; 1000]), next);
}

async fn icmp_number(socket: &IcmpSocket) -> u8 {
    let mut buffer = [0; 9000];
    let echo = socket.recv(&mut buffer).await.expect("it waits");
    assert_eq!(echo.error, None);
    assert_eq!(u16::from(buffer[0]), echo.sequence);
    number_of(&buffer[..echo.received.len])
}

fn icmp() -> Arc<IcmpSocket> {
    Arc::new(IcmpSocket::towards(server()).expect("there is memory"))
}

pub(crate) async fn icmp_recv(probe: Probe) {
    let socket = icmp();
    send_numbered!(probe, socket, n => socket.send_to(n.into(), &[n; 100], server()));
    receive_numbered!(probe, icmp_number(&socket));
}

/// Longer packets than for UDP, because the buffer is larger.
pub(crate) async fn icmp_send_to(probe: Probe) {
    let socket = icmp();
    send_batch!(probe, socket, n => socket.send_to(n.into(), &[n; 9000], server()), icmp_number);
}

pub(crate) async fn ping_of_a_host(probe: Probe) {
    let second = Duration::from_secs(1);
    let pings: AxResult<Duration> = loop {
        let pinged = probe.again(|| ping(server(), second)).await;
        if pinged.is_ok() || !probe.is_faulty() {
            break pinged;
        }
    };
    // Both directions; before that, the question for the neighbour.
    assert!(pings.expect("it answers") >= Duration::from_millis(2));
}

async fn raw_number(socket: &RawSocket) -> u8 {
    let mut buffer = [0; 9000];
    let received = socket.recv(&mut buffer).await.expect("it waits");
    number_of(&buffer[..received.len])
}

fn raw() -> Arc<RawSocket> {
    Arc::new(RawSocket::towards(server(), PROTOCOL).expect("there is memory"))
}

pub(crate) async fn raw_recv(probe: Probe) {
    let socket = raw();
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], server()));
    receive_numbered!(probe, raw_number(&socket));
}

pub(crate) async fn raw_send_to(probe: Probe) {
    let socket = raw();
    send_batch!(probe, socket, n => socket.send_to(&[n; 9000], server()), raw_number);
}
