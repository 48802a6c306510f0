//! An input, read as a program: every byte string is one.

use std::time::Duration;

use netstack::KeepAlive;

use crate::harness::{
    card::{CUTTING, Card, PLAIN, SUMMING},
    mac,
};

/// A host's card, and with how little memory. It hangs on an input's last byte, which is a part of the
/// program as well, so that inputs need no place for it.
pub(super) fn card(host: u8, input: &[u8]) -> Card {
    let last = input.last().copied().unwrap_or(0).wrapping_add(host);
    let offloads = [PLAIN, SUMMING, CUTTING, CUTTING][usize::from(last % 4)];
    let mut card = Card::new(mac(host), offloads);
    match last >> 6 {
        0 => card.shrink(1600),
        1 => card.shrink(10_000),
        _ => {}
    }
    card
}

/// What has not been read yet. Behind its end there are only zeros.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `len` bytes, or as many as there are.
    pub(super) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// A number below `end`, which is at most 256.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.u8()) % end
    }

    pub(super) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// From a microsecond to 16 seconds.
    pub(super) fn duration(&mut self) -> Duration {
        Duration::from_micros(1 << self.below(25))
    }

    /// None, or what Linux takes: whole seconds.
    pub(super) fn keep_alive(&mut self) -> Option<KeepAlive> {
        self.bool().then(|| {
            let interval = Duration::from_secs(1 + u64::from(self.u8()));
            KeepAlive { idle: interval, interval, count: 4 }
        })
    }

    /// Nothing mostly, a little often, anything sometimes.
    pub(super) fn offset(&mut self) -> u32 {
        match self.u8() {
            0..128 => 0,
            little @ 128..224 => (i32::from(little) - 176) as u32,
            224..240 => i32::from(self.u16() as i16) as u32,
            _ => self.u32(),
        }
    }
}
