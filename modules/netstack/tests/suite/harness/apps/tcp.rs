//! What tests do with TCP sockets.

use std::net::SocketAddr;

use netstack::{ReadError, Shutdown, Stack, TcpListener, TcpStream, WriteError};

use super::{BACKLOG, SOON};
use crate::harness::{CLIENT, Net, SERVER, at};

pub(crate) fn listen(stack: &Stack, addr: SocketAddr) -> TcpListener {
    TcpListener::bind(stack, addr, BACKLOG).unwrap()
}

pub(crate) fn dial(stack: &Stack, addr: SocketAddr) -> TcpStream {
    TcpStream::connect(stack, None, addr).unwrap()
}

/// The next connection, if there is one.
pub(crate) fn accepted(listener: &TcpListener) -> Option<TcpStream> {
    listener.try_accept().ok()
}

/// A connection to port 80 of 10.0.0.1: its ends at the server and at the client.
pub(crate) fn pair(net: &mut Net) -> (TcpStream, TcpStream) {
    let listener = listen(&net.hosts[SERVER].stack, at(1, 80));
    let client = dial(&net.hosts[CLIENT].stack, at(1, 80));
    let mut server = None;
    net.run_until(SOON, || {
        server = server.take().or_else(|| accepted(&listener));
        server.is_some() && client.try_connected().is_ok()
    });
    (server.unwrap(), client)
}

/// What happened to the reading half of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    EndOfStream,
    Reset,
    TimedOut,
    Unreachable,
}

/// Reads what there is. Returns how the stream has ended, once it has.
pub(crate) fn drain(stream: &TcpStream, into: &mut Vec<u8>) -> Option<Outcome> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.try_read(&mut buffer) {
            Ok(0) => return Some(Outcome::EndOfStream),
            Ok(len) => into.extend_from_slice(&buffer[..len]),
            Err(ReadError::WouldBlock) => return None,
            Err(ReadError::Reset) => return Some(Outcome::Reset),
            Err(ReadError::TimedOut) => return Some(Outcome::TimedOut),
            Err(ReadError::Unreachable) => return Some(Outcome::Unreachable),
        }
    }
}

/// Writes as much of `data` as there is room for and takes it off.
pub(crate) fn pour(stream: &TcpStream, data: &mut &[u8]) {
    while !data.is_empty() {
        match stream.try_write(data) {
            Ok(len) => *data = &data[len..],
            Err(WriteError::WouldBlock) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// One end of a transfer: writes `data`, shuts down, reads until the end.
pub(crate) struct Transfer<'a> {
    stream: &'a TcpStream,
    data: &'a [u8],
    is_shut: bool,
    pub(crate) received: Vec<u8>,
    pub(crate) outcome: Option<Outcome>,
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(stream: &'a TcpStream, data: &'a [u8]) -> Self {
        Transfer { stream, data, is_shut: false, received: Vec::new(), outcome: None }
    }

    /// Does what can be done now. Returns whether everything is.
    pub(crate) fn advance(&mut self) -> bool {
        pour(self.stream, &mut self.data);
        if self.data.is_empty() && !self.is_shut {
            self.stream.shutdown(Shutdown::Write);
            self.is_shut = true;
        }
        if self.outcome.is_none() {
            self.outcome = drain(self.stream, &mut self.received);
        }
        self.outcome.is_some()
    }
}
