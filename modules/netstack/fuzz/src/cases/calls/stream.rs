//! A connection under fuzz: every byte that is read is checked, and every task that sleeps.

use std::{sync::Arc, task::Waker, time::Duration};

use netstack::{Interest, ReadError, Registration, Shutdown, TcpOptions, TcpStream, WriteError};

use super::super::input::Input;
use crate::harness::Bell;

/// A task that waits for a socket.
pub(super) struct Task {
    bell: Arc<Bell>,
    waker: Waker,
    registration: Registration,
}

impl Task {
    /// A task that waits for two reasons and has given one of them up.
    pub(super) fn new(
        register: impl Fn(&Waker) -> Registration,
        deregister: impl Fn(Registration),
    ) -> Self {
        let (bell, waker) = Bell::new();
        let (given_up, registration) = (register(&waker), register(&waker));
        deregister(given_up);
        Task { bell, waker, registration }
    }

    /// Gives the other one up as well: nothing is left of it.
    pub(super) fn give_up(self, deregister: impl Fn(Registration)) {
        deregister(self.registration);
        drop(self.waker);
        assert_eq!(Arc::strong_count(&self.bell), 1, "a waker is kept that nobody needs");
    }

    /// Whether it has been woken.
    pub(super) fn is_awake(&self) -> bool {
        self.bell.rings() > 0
    }
}

pub(super) struct Stream {
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
    pub(super) fn new(stream: TcpStream) -> Self {
        Stream { stream, read: 0, written: 0, reader: None, writer: None }
    }

    /// Returns whether there was anything.
    fn read(&mut self, len: usize) -> bool {
        let mut buffer = vec![0; len];
        let is_ready = self.stream.is_ready(Interest::Read);
        let result = self.stream.try_read(&mut buffer);
        assert_eq!(is_ready || len == 0, result != Err(ReadError::WouldBlock));
        let Ok(len) = result else {
            return is_ready;
        };
        let wanted = text(self.stream.peer_addr().port(), self.read, len);
        assert!(buffer[..len] == wanted, "not what was written");
        self.read += len;
        true
    }

    /// What will be read next, without taking it.
    fn peek(&self, len: usize) {
        let mut buffer = vec![0; len];
        if let Ok(len) = self.stream.try_peek(&mut buffer) {
            let wanted = text(self.stream.peer_addr().port(), self.read, len);
            assert!(buffer[..len] == wanted, "not what was written");
        }
    }

    /// Returns whether there was room.
    fn write(&mut self, len: usize) -> bool {
        let data = text(self.stream.local_addr().port(), self.written, len);
        let is_ready = self.stream.is_ready(Interest::Write);
        let result = self.stream.try_write(&data);
        let would_block = result == Err(WriteError::WouldBlock);
        assert!(len == 0 || is_ready != would_block, "{is_ready}, and {result:?}");
        self.written += result.unwrap_or(0);
        !would_block
    }

    /// Puts a task to sleep that finds nothing to do.
    fn wait(&mut self, interest: Interest) {
        self.give_up(interest);
        let register = |waker: &Waker| self.stream.register(interest, waker);
        let task = Task::new(register, |registration| self.stream.deregister(registration));
        match interest {
            Interest::Read if !self.read(1) => self.reader = Some(task),
            Interest::Write if !self.write(1) => self.writer = Some(task),
            _ => task.give_up(|registration| self.stream.deregister(registration)),
        }
    }

    /// Has a task not wait any longer.
    fn give_up(&mut self, interest: Interest) {
        let task = match interest {
            Interest::Read => self.reader.take(),
            Interest::Write => self.writer.take(),
        };
        if let Some(task) = task {
            task.give_up(|registration| self.stream.deregister(registration));
        }
    }

    /// Finds tasks that sleep though they have something to do.
    pub(super) fn check(&mut self) {
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

    /// Calls what the input says. The stream is to be dropped when this returns false.
    pub(super) fn call(&mut self, input: &mut Input<'_>) -> bool {
        match input.u8() % 16 {
            0..3 => drop(self.read(usize::from(input.u16()))),
            3..6 => drop(self.write(usize::from(input.u16()))),
            6 => self.wait(Interest::Read),
            7 => self.wait(Interest::Write),
            8 => {
                let how = input.choose(&[Shutdown::Read, Shutdown::Write, Shutdown::Both]);
                self.stream.shutdown(how);
            }
            9 => self.stream.abort(),
            10 => self.stream.set_nodelay(input.bool()),
            11 => self.stream.set_options(options(input)),
            12 => {
                let _ = self.stream.try_connected();
                self.give_up(Interest::Write);
            }
            13 => self.peek(usize::from(input.u8())),
            14 => {
                self.check_info();
                self.give_up(Interest::Read);
            }
            _ => return false,
        }
        true
    }

    /// What is told of a connection is consistent.
    fn check_info(&self) {
        let info = self.stream.info();
        assert_eq!(info.send_queue, self.stream.unacknowledged());
        assert!(u64::from(info.retransmissions) <= info.segments_sent);
        assert!(info.bytes_retransmitted <= info.bytes_sent);
    }
}

/// Options of any kind, absurd ones included.
pub(super) fn options(input: &mut Input<'_>) -> TcpOptions {
    let lens = [256 << 10, 0, 512, 3000, usize::MAX];
    TcpOptions {
        nodelay: input.bool(),
        keep_alive: input.keep_alive(),
        linger: input.bool().then(|| input.duration()),
        user_timeout: input.choose(&[120, 0, 1, 30]) * Duration::from_secs(1),
        hop_limit: input.choose(&[64, 0, 1, 255]),
        send_buffer_len: input.choose(&lens),
        receive_buffer_len: input.choose(&lens),
    }
}
