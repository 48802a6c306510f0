//! Who waits for a socket: a wait that is given up leaves nothing, and asking takes nothing.

use std::{
    sync::{Arc, Mutex},
    task::{Wake, Waker},
};

use netstack::{
    IcmpSocket, Interest, RawSocket, ReadError, RecvError, Registration, SendError, Stack,
    UdpSocket, Want, WriteError,
};

use crate::harness::{
    Bell, Net,
    apps::{SOON, accepted, dial, drain, listen, pair, pour},
    at,
    link::Link,
};

/// More waits than any socket has tasks.
const MANY: usize = 10_000;

/// Registers many tasks, and gives up all in an order of its own.
fn wait_in_vain(
    register: impl Fn(&Waker) -> Registration,
    deregister: impl Fn(Registration),
) -> Arc<Bell> {
    let (bell, waker) = Bell::new();
    let mut registrations: Vec<_> = (0..MANY).map(|_| register(&waker)).collect();
    assert_eq!(Arc::strong_count(&bell), 2 + MANY);
    let later = registrations.split_off(MANY / 3);
    registrations.into_iter().chain(later.into_iter().rev()).for_each(deregister);
    drop(waker);
    bell
}

#[test]
fn waits_that_are_given_up_leave_nothing() {
    let mut net = Net::new(Link::perfect());
    let (stack, remote) = (net.client(), at(1, 80));
    let (_server, stream) = pair(&mut net);
    let listener = listen(&stack, at(2, 81));
    let datagrams = UdpSocket::bind(&stack, at(2, 9)).unwrap();
    let echoes = IcmpSocket::new(&stack, true, None).unwrap();
    let packets = RawSocket::new(&stack, true, 253).unwrap();
    let lookup = stack.resolve("server.example", Want::Any).unwrap();
    let bells = [
        wait_in_vain(|waker| stream.register(Interest::Read, waker), |one| stream.deregister(one)),
        wait_in_vain(|waker| stream.register(Interest::Write, waker), |one| stream.deregister(one)),
        wait_in_vain(|waker| listener.register(waker), |one| listener.deregister(one)),
        wait_in_vain(
            |waker| datagrams.register(Interest::Read, waker),
            |one| datagrams.deregister(one),
        ),
        wait_in_vain(|waker| echoes.register(Interest::Read, waker), |one| echoes.deregister(one)),
        wait_in_vain(
            |waker| packets.register(Interest::Write, waker),
            |one| packets.deregister(one),
        ),
        wait_in_vain(|waker| lookup.register(waker), |one| lookup.deregister(one)),
        wait_in_vain(|waker| stack.register_config(waker), |one| stack.deregister_config(one)),
    ];
    assert_eq!(bells.each_ref().map(Arc::strong_count), [1; 8]);
    drop((listener, datagrams, echoes, packets, lookup));
    stream.abort();
    let _new = UdpSocket::bind(&stack, at(2, 10)).unwrap().connect(remote);
    net.run_briefly();
    assert!(bells.iter().all(|bell| bell.rings() == 0), "nobody is woken");
}

/// As when one of two futures that a task polls by turns is dropped.
#[test]
fn giving_up_one_of_two_waits_of_a_task_leaves_the_other() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let (bell, waker) = Bell::new();
    for is_first_dropped in [true, false] {
        let first = server.register(Interest::Read, &waker);
        let second = server.register(Interest::Read, &waker);
        server.deregister(if is_first_dropped { first } else { second });
        pour(&client, &mut &b"!"[..]);
        net.run_until(SOON, || bell.rings() == 1);
        drain(&server, &mut Vec::new());
    }
}

#[test]
fn a_registration_that_was_woken_takes_nothing_from_later_ones() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let (bell, waker) = Bell::new();
    let stale = server.register(Interest::Read, &waker);
    pour(&client, &mut &b"!"[..]);
    net.run_until(SOON, || bell.rings() == 1);
    drain(&server, &mut Vec::new());
    server.register(Interest::Read, &waker);
    server.deregister(stale);
    pour(&client, &mut &b"!"[..]);
    net.run_until(SOON, || bell.rings() == 1);
}

/// A task whose destructor calls the stack, as that of one that owns sockets does.
struct Owner(Stack, Arc<Mutex<u64>>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Owner {
    fn drop(&mut self) {
        *self.1.lock().unwrap() += 1 + self.0.stats().raw_sockets;
    }
}

#[test]
fn the_last_reference_to_a_task_may_be_a_waker_that_is_taken_back() {
    let net = Net::new(Link::perfect());
    let stack = net.client();
    let destroyed = Arc::new(Mutex::new(0));
    let owner = || Waker::from(Arc::new(Owner(stack.clone(), destroyed.clone())));
    let (listener, datagrams) = (listen(&stack, at(2, 80)), UdpSocket::unbound(&stack, true));
    let datagrams = datagrams.unwrap();
    let stream = dial(&stack, at(1, 80));
    let lookup = stack.resolve("server.example", Want::Any).unwrap();
    stream.deregister(stream.register(Interest::Read, &owner()));
    listener.deregister(listener.register(&owner()));
    datagrams.deregister(datagrams.register(Interest::Write, &owner()));
    lookup.deregister(lookup.register(&owner()));
    stack.deregister_config(stack.register_config(&owner()));
    assert_eq!(*destroyed.lock().unwrap(), 5);
    stack.set_poller(&owner());
    stack.set_poller(Waker::noop());
    assert_eq!(*destroyed.lock().unwrap(), 6);
}

#[test]
fn a_stream_is_ready_when_a_call_would_not_block() {
    let mut net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let client = dial(&net.client(), at(1, 80));
    let ready = |stream: &netstack::TcpStream| {
        [Interest::Read, Interest::Write].map(|interest| stream.is_ready(interest))
    };
    assert_eq!(ready(&client), [false, false], "it is being connected");
    net.run_until(SOON, || listener.is_ready());
    assert_eq!(net.server().stats().tcp_backlog, 1);
    assert!(listener.is_ready(), "asking takes nothing");
    let server = accepted(&listener).unwrap();
    assert!(!listener.is_ready());
    assert_eq!(ready(&client), [false, true]);
    while client.try_write(&[0; 9000]) != Err(WriteError::WouldBlock) {}
    assert_eq!(ready(&client), [false, false], "the buffer is full");
    net.run_briefly();
    assert_eq!(ready(&server), [true, true]);
    server.abort();
    net.run_briefly();
    assert_eq!(ready(&client), [true, true], "there is an error to tell");
    assert_eq!(client.try_read(&mut [0]), Err(ReadError::Reset));
}

#[test]
fn a_datagram_socket_is_ready_when_a_call_would_not_block() {
    let mut net = Net::new(Link::perfect());
    let socket = UdpSocket::bind(&net.client(), at(2, 9)).unwrap();
    let server = UdpSocket::bind(&net.server(), at(1, 7)).unwrap();
    socket.connect(at(1, 7)).unwrap();
    let ready =
        |socket: &UdpSocket| [Interest::Read, Interest::Write].map(|one| socket.is_ready(one));
    assert_eq!(ready(&socket), [false, true]);
    let mut sent = 0;
    while socket.is_ready(Interest::Write) {
        assert_eq!(socket.try_send(&[0; 1000]), Ok(()), "it was said to be ready");
        sent += 1;
    }
    assert_eq!((sent, socket.try_send(&[])), (66, Err(SendError::WouldBlock)));
    net.run_briefly();
    assert_eq!((ready(&socket), ready(&server)), ([false, true], [true, true]));
    server.try_send_to(b"!", at(2, 9)).unwrap();
    net.run_briefly();
    assert_eq!(ready(&socket), [true, true]);
    assert_eq!(socket.try_recv(&mut [0; 8]), Ok(1));
    assert_eq!(ready(&socket), [false, true]);
}

/// An error is told once, and not to who only asks.
#[test]
fn asking_takes_no_error() {
    let mut net = Net::new(Link::perfect());
    let socket = UdpSocket::bind(&net.client(), at(2, 9)).unwrap();
    socket.connect(at(1, 7)).unwrap();
    socket.try_send(b"is anybody there?").unwrap();
    net.run_until(SOON, || socket.is_ready(Interest::Read));
    assert!(socket.is_ready(Interest::Read) && socket.is_ready(Interest::Write));
    assert_eq!(socket.try_recv(&mut [0; 8]), Err(RecvError::Refused));
    assert!(!socket.is_ready(Interest::Read));
}

/// Who waits for a neighbour's answer need not keep others from sending.
#[test]
fn a_socket_without_a_peer_is_ready_when_somebody_has_room() {
    let mut net = Net::new(Link::perfect());
    let socket = UdpSocket::bind(&net.client(), at(2, 9)).unwrap();
    let absent = at(77, 7);
    while socket.try_send_to(&[0; 1000], absent).is_ok() {}
    assert!(!socket.is_ready(Interest::Write));
    // Now they wait for the neighbour, and can be dropped.
    net.run_briefly();
    assert!(socket.is_ready(Interest::Write));
    assert_eq!(socket.try_send_to(&[0; 1000], absent), Err(SendError::WouldBlock));
    assert_eq!(socket.try_send_to(&[0; 1000], at(1, 7)), Ok(()));
    socket.connect(absent).unwrap();
    assert!(!socket.is_ready(Interest::Write));
    assert_eq!(socket.try_send(&[0; 1000]), Err(SendError::WouldBlock));
    net.run_briefly();
    assert!(socket.is_ready(Interest::Write), "what was for somebody else has gone");
    assert_eq!(socket.try_send(&[0; 1000]), Ok(()));
}
