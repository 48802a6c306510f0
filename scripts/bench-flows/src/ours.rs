//! netstack at both ends.

use std::net::SocketAddr;

use netstack::{Addressing, Config, Instant, Ipv4Config, Next, Stack, TcpListener, TcpStream};

use crate::{
    link::{End, link},
    world::{ECHO_LEN, ECHO_TIME, PAUSE, SERVER_PORT, World, client_port},
};

/// Frames each way in one turn, as `axnet` has it.
const BUDGET: usize = 64;
const BACKLOG: usize = 16;

/// A server and a client.
pub(crate) struct Ours {
    now: Instant,
    server: Stack,
    client: Stack,
    server_end: End,
    client_end: End,
    listener: TcpListener,
    /// The client's and the server's end of each connection.
    streams: Vec<(TcpStream, TcpStream)>,
}

fn address(last: u8, port: u16) -> SocketAddr {
    ([10, 0, 0, last], port).into()
}

/// Room for everything if most buffers are small: netstack makes them so as soon as half of its
/// budget is used. With 64 KiB each way, 40,000 connections would take 10 GiB at both ends.
const BUDGET_PER_FLOW: usize = 40 * 1024;
/// With few connections all buffers are large.
const BUDGET_MIN: usize = 64 << 20;

fn config(last: u8, flows: usize) -> Config {
    Config {
        addressing: Addressing::Static(Ipv4Config {
            address: [10, 0, 0, last].into(),
            prefix_len: 24,
            gateway: None,
            dns: vec![],
        }),
        seed: [last; 32],
        memory_limit: BUDGET_MIN.max(flows * BUDGET_PER_FLOW),
    }
}

impl Ours {
    /// Two hosts with room for `flows` connections.
    pub(crate) fn new(flows: usize) -> Self {
        let (server_end, client_end) = link();
        let server = Stack::new(&config(1, flows), &server_end);
        let client = Stack::new(&config(2, flows), &client_end);
        let listener = TcpListener::bind(&server, address(1, SERVER_PORT), BACKLOG)
            .expect("a fresh stack has the address and the port");
        let streams = Vec::with_capacity(flows);
        Ours { now: Instant::ZERO, server, client, server_end, client_end, listener, streams }
    }

    fn connect(&mut self, flow: usize) {
        let local = address(2, client_port(flow));
        let remote = address(1, SERVER_PORT);
        let client = TcpStream::connect(&self.client, Some(local), remote)
            .expect("the port is free and there is room");
        let server = loop {
            self.client.poll(self.now, &mut self.client_end, BUDGET);
            self.server.poll(self.now, &mut self.server_end, BUDGET);
            if let Ok(server) = self.listener.try_accept() {
                break server;
            }
        };
        self.streams.push((client, server));
        self.echo(flow);
    }

    /// Lets time pass until nothing is owed any more.
    fn pause(&mut self) {
        self.now = self.now + PAUSE;
        loop {
            let client = self.client.poll(self.now, &mut self.client_end, BUDGET);
            let server = self.server.poll(self.now, &mut self.server_end, BUDGET);
            if client != Next::Now && server != Next::Now && !self.client_end.has_frames() {
                break;
            }
        }
    }
}

impl World for Ours {
    fn open(&mut self, flows: usize) {
        (0..flows).for_each(|flow| self.connect(flow));
        self.pause();
    }

    fn send(&mut self, flow: usize, data: &[u8; ECHO_LEN]) {
        self.now = self.now + ECHO_TIME;
        let sent = self.streams[flow].0.try_write(data);
        assert_eq!(sent, Ok(ECHO_LEN));
    }

    fn turn(&mut self, flow: usize, answer: &mut [u8; ECHO_LEN]) -> bool {
        let (client, server) = &self.streams[flow];
        self.client.poll(self.now, &mut self.client_end, BUDGET);
        self.server.poll(self.now, &mut self.server_end, BUDGET);
        let mut data = [0; ECHO_LEN];
        if let Ok(len) = server.try_read(&mut data) {
            assert_eq!(server.try_write(&data[..len]), Ok(len));
        }
        self.server.poll(self.now, &mut self.server_end, BUDGET);
        self.client.poll(self.now, &mut self.client_end, BUDGET);
        client.try_read(answer).is_ok()
    }

    fn frames(&self) -> usize {
        self.client_end.frames()
    }
}
