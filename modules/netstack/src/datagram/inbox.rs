//! Datagrams that a socket has received.

use alloc::{collections::VecDeque, vec::Vec};
use core::net::SocketAddr;

use crate::{
    error::BufferError,
    ip::{ErrorKind, InterfaceId},
};

/// Bytes that a socket buffers by default, as Linux does: three of the longest datagrams.
const LIMIT_DEFAULT: usize = 208 * 1024;
/// One datagram of the usual MTU.
pub(crate) const LIMIT_MIN: usize = 2 * 1024;
/// A tenth of a second at 400 Mbit/s.
pub(crate) const LIMIT_MAX: usize = 4 * 1024 * 1024;

/// What a datagram takes beside its data.
const OVERHEAD: usize = size_of::<(Arrived, Vec<u8>)>() + 16;

/// What a datagram takes of the memory budget, in bytes.
pub(crate) const fn memory(len: usize) -> usize {
    OVERHEAD + len
}

/// What came, for sockets that get more than one kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    Plain,
    EchoReply { sequence: u16 },
    Error { sequence: u16, kind: ErrorKind },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) interface: InterfaceId,
    pub(crate) hop_limit: u8,
    pub(crate) note: Note,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    queue: VecDeque<(Arrived, Vec<u8>)>,
    /// Bytes in it, overhead included, so that empty datagrams are limited as well.
    len: usize,
    limit: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { queue: VecDeque::new(), len: 0, limit: LIMIT_DEFAULT }
    }
}

impl Inbox {
    /// One datagram has room whatever the limit.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.queue.is_empty() || self.len + memory(len) <= self.limit
    }

    pub(crate) fn push(&mut self, arrived: Arrived, data: &[u8]) {
        self.len += memory(data.len());
        self.queue.push_back((arrived, data.into()));
    }

    pub(crate) fn first(&self) -> Option<(&Arrived, &[u8])> {
        self.queue.front().map(|(arrived, data)| (arrived, data.as_slice()))
    }

    pub(crate) fn pop(&mut self) {
        if let Some((_, data)) = self.queue.pop_front() {
            self.len -= memory(data.len());
        }
    }

    /// Returns what was freed, in bytes.
    pub(crate) fn clear(&mut self) -> usize {
        self.queue = VecDeque::new();
        core::mem::take(&mut self.len)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: usize) -> Result<(), BufferError> {
        if limit < LIMIT_MIN {
            return Err(BufferError::TooSmall);
        }
        if limit > LIMIT_MAX {
            return Err(BufferError::TooLarge);
        }
        self.limit = limit;
        Ok(())
    }
}
