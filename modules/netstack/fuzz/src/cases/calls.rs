//! Calls of two hosts' applications while frames between them are lost, repeated and damaged.
//!
//! Whatever is called in whatever order: nobody panics or spins, what is read is what was written,
//! a task that waits is woken, everything is given back, and the hosts work afterwards.

mod datagrams;
mod hosts;
mod stream;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netstack::{Config, ListenOptions, Stack, TcpListener, TcpStream};

use self::{
    datagrams::Datagrams,
    stream::{Stream, Task, options},
};
use super::input::{Input, card};
use crate::harness::{
    Host, Net,
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
    let mut world = World::new(bytes);
    while !input.is_empty() {
        world.step(&mut input);
    }
    world.end();
}

struct World {
    net: Net,
    streams: Vec<Stream>,
    listeners: Vec<(TcpListener, Option<Task>)>,
    datagrams: Datagrams,
}

impl World {
    fn new(input: &[u8]) -> Self {
        let scarce = |last| Config { memory_limit: MEMORY, ..config(last) };
        let mut net = Net::new(Link::perfect());
        net.hosts = [1, 2].map(|last| Host::with_card(&scarce(last), card(last, input)));
        for host in &mut net.hosts {
            host.fruitless_max = FRUITLESS_TURNS_PER_SECOND_MAX;
        }
        World { net, streams: Vec::new(), listeners: Vec::new(), datagrams: Datagrams::default() }
    }

    fn stack(&self, input: &mut Input<'_>) -> (usize, Stack) {
        let host = input.below(2);
        (host, self.net.hosts[host].stack.clone())
    }

    /// An address of a host, with one of a few ports.
    fn address(&self, host: usize, input: &mut Input<'_>) -> SocketAddr {
        let port = input.choose(&[80, 81, 82, 49_152]);
        let own = Ipv4Addr::new(10, 0, 0, host as u8 + 1);
        match input.below(16) {
            0 | 1 => (self.net.hosts[host].ip6(), port).into(),
            2 => (Ipv4Addr::UNSPECIFIED, port).into(),
            3 => (Ipv6Addr::UNSPECIFIED, port).into(),
            4 => (Ipv4Addr::LOCALHOST, port).into(),
            5 => (Ipv6Addr::LOCALHOST, port).into(),
            6 => (own.to_ipv6_mapped(), port).into(),
            7 => (hosts::second_address(host), port).into(),
            8 => at(7, port),
            9 => (hosts::BEHIND_A_ROUTE, port).into(),
            _ => (own, port).into(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 16 {
            0 => self.listen(input),
            1 | 2 => self.connect(input),
            3 | 4 => self.accept(input),
            5 => self.datagram(input),
            6 if input.bool() => self.weather(input),
            6 => hosts::change(&self.stack(input).1, input),
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
        let options = ListenOptions {
            reuse_address: input.bool(),
            reuse_port: input.bool(),
            only_v6: input.bool(),
            connection: options(input),
        };
        let listener = TcpListener::bind_with(&stack, local, input.below(5), &options);
        self.listeners.extend(listener.map(|listener| (listener, None)));
    }

    fn connect(&mut self, input: &mut Input<'_>) {
        if self.streams.len() == SOCKETS_MAX {
            return;
        }
        let (host, stack) = self.stack(input);
        let remote = self.address(input.choose(&[1 - host, host]), input);
        let local = input.bool().then(|| self.address(host, input));
        let stream = TcpStream::connect_with(&stack, local, remote, &options(input));
        self.streams.extend(stream.map(Stream::new));
    }

    fn accept(&mut self, input: &mut Input<'_>) {
        if self.listeners.is_empty() || self.streams.len() == SOCKETS_MAX {
            return;
        }
        let index = input.below(self.listeners.len());
        let (listener, task) = &mut self.listeners[index];
        let deregister = |registration| listener.deregister(registration);
        let new = Task::new(|waker| listener.register(waker), deregister);
        let is_ready = listener.is_ready();
        let accepted = accepted(listener);
        assert_eq!(is_ready, accepted.is_some());
        let old = match accepted {
            Some(stream) => {
                self.streams.push(Stream::new(stream));
                Some(new)
            }
            None => task.replace(new),
        };
        if let Some(old) = old {
            old.give_up(deregister);
        }
    }

    fn datagram(&mut self, input: &mut Input<'_>) {
        let (host, stack) = self.stack(input);
        let [local, remote] = [host, input.below(2)].map(|host| self.address(host, input));
        self.datagrams.call(&stack, [local, remote], input);
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
        if !self.streams[index].call(input) {
            drop(self.streams.swap_remove(index));
        }
    }

    /// Everybody lets go, the weather clears; then the hosts hold nothing and work.
    fn end(mut self) {
        self.net.link = Link::perfect();
        self.net.run_for(Duration::from_secs(1));
        self.check();
        self.streams.clear();
        self.listeners.clear();
        self.datagrams = Datagrams::default();
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
