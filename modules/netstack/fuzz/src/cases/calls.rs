//! Calls of two hosts' applications while frames between them are lost, repeated and damaged.
//!
//! Whatever is called in whatever order: nobody panics or spins, what is read is what was written,
//! a task that waits is woken, everything is given back, and the hosts work afterwards.

use std::{net::SocketAddr, sync::Arc, task::Waker, time::Duration};

use netstack::{Config, Interest, Shutdown, Stack, TcpListener, TcpStream, UdpSocket};

use super::input::Input;
use crate::harness::{
    Bell, Net,
    apps::{SOON, accepted, drain, pair, pour},
    at, config,
    link::{Faults, Link},
};

/// A few connections with large buffers, a few more with small ones.
const MEMORY: usize = 1 << 20;
/// Sockets of each kind at most.
const SOCKETS_MAX: usize = 12;
/// Longer than an orphan may live, and than a connection waits for a peer that has gone.
const AFTERMATH: Duration = Duration::from_secs(400);
/// A dozen sockets' timers.
const FRUITLESS_TURNS_PER_SECOND_MAX: u64 = 400;

/// Runs an input.
///
/// # Panics
/// When the stack breaks a promise.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new();
    while !input.is_empty() {
        world.step(&mut input);
    }
    world.end();
}

/// A task that waits for a socket.
struct Task {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let (bell, waker) = Bell::new();
        Task { bell, waker }
    }

    /// Whether it has been woken.
    fn is_awake(&self) -> bool {
        self.bell.rings() > 0
    }
}

struct Stream {
    stream: TcpStream,
    read: usize,
    written: usize,
    reader: Option<Task>,
    writer: Option<Task>,
}

/// The byte at a place in what is written from a port.
fn letter(port: u16, place: usize) -> u8 {
    (place ^ (place >> 8)) as u8 ^ port as u8
}

fn text(port: u16, place: usize, len: usize) -> Vec<u8> {
    (place..place + len).map(|place| letter(port, place)).collect()
}

impl Stream {
    fn new(stream: TcpStream) -> Self {
        Stream { stream, read: 0, written: 0, reader: None, writer: None }
    }

    /// Returns whether there was anything.
    fn read(&mut self, len: usize) -> bool {
        let mut buffer = vec![0; len];
        let Ok(len) = self.stream.try_read(&mut buffer) else {
            return !matches!(self.stream.try_read(&mut [0]), Err(netstack::ReadError::WouldBlock));
        };
        let wanted = text(self.stream.peer_addr().port(), self.read, len);
        assert!(buffer[..len] == wanted, "not what was written");
        self.read += len;
        true
    }

    /// Returns whether there was room.
    fn write(&mut self, len: usize) -> bool {
        let data = text(self.stream.local_addr().port(), self.written, len);
        let result = self.stream.try_write(&data);
        self.written += result.unwrap_or(0);
        result != Err(netstack::WriteError::WouldBlock)
    }

    /// Puts a task to sleep that finds nothing to do.
    fn wait(&mut self, interest: Interest) {
        let task = Task::new();
        self.stream.register(interest, &task.waker);
        match interest {
            Interest::Read => self.reader = (!self.read(1)).then_some(task),
            Interest::Write => self.writer = (!self.write(1)).then_some(task),
        }
    }

    /// Finds tasks that sleep though they have something to do.
    fn check(&mut self) {
        if let Some(task) = self.reader.take() {
            match task.is_awake() {
                true => {}
                false => {
                    assert!(!self.read(1), "a reader was not woken");
                    self.reader = Some(task);
                }
            }
        }
        if let Some(task) = self.writer.take() {
            match task.is_awake() {
                true => {}
                false => {
                    assert!(!self.write(1), "a writer was not woken");
                    self.writer = Some(task);
                }
            }
        }
    }
}

struct World {
    net: Net,
    streams: Vec<Stream>,
    listeners: Vec<(TcpListener, Option<Task>)>,
    sockets: Vec<UdpSocket>,
}

impl World {
    fn new() -> Self {
        let scarce = |last| Config { memory_limit: MEMORY, ..config(last) };
        let mut net = Net::with_configs(&scarce(1), &scarce(2), Link::perfect());
        for host in &mut net.hosts {
            host.fruitless_max = FRUITLESS_TURNS_PER_SECOND_MAX;
        }
        World { net, streams: Vec::new(), listeners: Vec::new(), sockets: Vec::new() }
    }

    fn stack(&self, input: &mut Input<'_>) -> (usize, Stack) {
        let host = input.below(2);
        (host, self.net.hosts[host].stack.clone())
    }

    /// An address of a host, with one of a few ports.
    fn address(&self, host: usize, input: &mut Input<'_>) -> SocketAddr {
        let port = input.choose(&[80, 81, 82, 49_152]);
        match input.below(8) {
            0 => (self.net.hosts[host].ip6(), port).into(),
            1 => ([0, 0, 0, 0], port).into(),
            2 => at(7, port),
            _ => at(host as u8 + 1, port),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 16 {
            0 => self.listen(input),
            1 | 2 => self.connect(input),
            3 | 4 => self.accept(input),
            5 => self.datagram(input),
            6 => self.weather(input),
            7 | 8 => self.pass(input.duration()),
            _ if self.streams.is_empty() => self.pass(Duration::from_millis(1)),
            _ => self.stream(input),
        }
        self.net.run_for(Duration::ZERO);
        self.check();
    }

    fn pass(&mut self, duration: Duration) {
        self.net.run_for(duration);
        self.check();
    }

    fn check(&mut self) {
        self.streams.iter_mut().for_each(Stream::check);
        for (listener, task) in &mut self.listeners {
            if task.take_if(|task| task.is_awake()).is_none() && task.is_some() {
                assert!(accepted(listener).is_none(), "an acceptor was not woken");
            }
        }
    }

    fn listen(&mut self, input: &mut Input<'_>) {
        if self.listeners.len() == SOCKETS_MAX || input.below(4) == 0 {
            self.listeners.pop();
            return;
        }
        let (host, stack) = self.stack(input);
        let local = self.address(host, input);
        let listener = TcpListener::bind(&stack, local, input.below(5));
        self.listeners.extend(listener.map(|listener| (listener, None)));
    }

    fn connect(&mut self, input: &mut Input<'_>) {
        if self.streams.len() == SOCKETS_MAX {
            return;
        }
        let (host, stack) = self.stack(input);
        let remote = self.address(1 - host, input);
        let local = input.bool().then(|| self.address(host, input));
        let stream = TcpStream::connect(&stack, local, remote);
        self.streams.extend(stream.map(Stream::new));
    }

    fn accept(&mut self, input: &mut Input<'_>) {
        if self.listeners.is_empty() || self.streams.len() == SOCKETS_MAX {
            return;
        }
        let index = input.below(self.listeners.len());
        let (listener, task) = &mut self.listeners[index];
        let new = Task::new();
        listener.register(&new.waker);
        match accepted(listener) {
            Some(stream) => self.streams.push(Stream::new(stream)),
            None => *task = Some(new),
        }
    }

    fn datagram(&mut self, input: &mut Input<'_>) {
        let (host, stack) = self.stack(input);
        match input.below(8) {
            0 => drop(self.sockets.pop()),
            1 | 2 if self.sockets.len() < SOCKETS_MAX => {
                let local = self.address(host, input);
                self.sockets.extend(UdpSocket::bind(&stack, local));
            }
            3..5 => {
                let mut buffer = vec![0; usize::from(input.u16())];
                let received = |socket: &UdpSocket| socket.try_recv_from(&mut buffer).is_ok();
                self.sockets.iter().map(received).for_each(drop);
            }
            _ => {
                let to = self.address(host, input);
                let data = vec![1; usize::from(input.u16()) + input.below(8)];
                if let Some(socket) = self.sockets.last() {
                    let _ = socket.try_send_to(&data, to);
                }
            }
        }
    }

    fn weather(&mut self, input: &mut Input<'_>) {
        let per_mille = |input: &mut Input<'_>| input.choose(&[0, 0, 50, 500, 1000]);
        let faults = Faults {
            lost: per_mille(input),
            duplicated: per_mille(input),
            delayed: per_mille(input),
            corrupted: per_mille(input),
        };
        self.net.link = Link::faulty(faults, u64::from(input.u8()));
    }

    fn stream(&mut self, input: &mut Input<'_>) {
        let index = input.below(self.streams.len());
        let stream = &mut self.streams[index];
        match input.u8() % 16 {
            0..3 => drop(stream.read(usize::from(input.u16()))),
            3..6 => drop(stream.write(usize::from(input.u16()))),
            6 => stream.wait(Interest::Read),
            7 => stream.wait(Interest::Write),
            8 => {
                let how = input.choose(&[Shutdown::Read, Shutdown::Write, Shutdown::Both]);
                stream.stream.shutdown(how);
            }
            9 => stream.stream.abort(),
            10 => stream.stream.set_nodelay(input.bool()),
            11 => stream.stream.set_keep_alive(input.keep_alive()),
            12 => drop(stream.stream.try_connected()),
            13 => drop(stream.stream.unacknowledged()),
            _ => drop(self.streams.swap_remove(index)),
        }
    }

    /// Everybody lets go, the weather clears; then the hosts hold nothing and work.
    fn end(mut self) {
        self.net.link = Link::perfect();
        self.net.run_for(Duration::from_secs(1));
        self.check();
        self.streams.clear();
        self.listeners.clear();
        self.sockets.clear();
        self.net.run_for(AFTERMATH);
        for host in &self.net.hosts {
            assert_nothing_held(&host.stack);
        }
        let (server, client) = pair(&mut self.net);
        let mut heard = Vec::new();
        pour(&client, &mut &b"alive"[..]);
        self.net.run_until(SOON, || {
            drain(&server, &mut heard);
            heard == b"alive"
        });
    }
}

/// A stack whose sockets have all gone some time ago holds nothing.
pub(super) fn assert_nothing_held(stack: &Stack) {
    let stats = stack.stats();
    let held = [
        stats.tcp_open,
        stats.tcp_backlog,
        stats.tcp_half_open,
        stats.tcp_orphans,
        stats.tcp_time_wait,
        stats.tcp_listeners,
        stats.udp_sockets,
        stats.memory_used,
    ];
    assert_eq!(held, [0; 8], "{stats:?}");
}
