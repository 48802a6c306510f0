//! How a client and its server talk over TCP: a header says what follows.

use std::time::Duration;

use axerrno::{AxError, AxResult};
use netasync::{TcpStream, sleep};

use super::{
    content::{Content, mix},
    ledger::{Ledger, StreamId},
};
use crate::rng::Rng;

/// What the server sends when it has read the header. From then on the connection must not break.
pub(crate) const HELLO: u8 = 0xa5;

/// The longest write.
const WRITE_LEN_MAX: u64 = 4096;

/// What the server does behind the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Mode {
    /// Sends and receives at the same time.
    Duplex = 1,
    /// Receives to the end, then sends.
    Answer,
    /// Sends back what it receives.
    Echo,
    /// Receives until the connection ends in whatever way.
    Sink,
    /// Sends, then aborts.
    Abort,
    /// Sends the wrong bytes.
    Lie,
    /// Says nothing, for ever.
    Mute,
}

impl Mode {
    const ALL: [Mode; 7] =
        [Mode::Duplex, Mode::Answer, Mode::Echo, Mode::Sink, Mode::Abort, Mode::Lie, Mode::Mute];
}

/// A connection's first bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) connection: u64,
    pub(crate) mode: Mode,
    /// Bytes to the client.
    pub(crate) down: u64,
    /// How long the server rests between reads.
    pub(crate) pause: Duration,
}

impl Header {
    pub(crate) const LEN: usize = 40;

    /// The client's bytes.
    pub(crate) fn up(&self) -> StreamId {
        self.connection * 2
    }

    /// The server's bytes.
    pub(crate) fn down(&self) -> StreamId {
        self.connection * 2 + 1
    }

    pub(crate) fn emit(&self) -> [u8; Self::LEN] {
        seal([self.connection, self.mode as u64, self.down, self.pause.as_micros() as u64])
    }

    /// `None` if not every bit is what it was.
    pub(crate) fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let [connection, mode, down, pause] = open(bytes)?;
        let mode = Mode::ALL.into_iter().find(|known| *known as u64 == mode)?;
        Some(Header { connection, mode, down, pause: Duration::from_micros(pause) })
    }
}

/// Words, and a check word.
pub(crate) fn seal(words: [u64; 4]) -> [u8; 40] {
    let mut bytes = [0; 40];
    let check = words.into_iter().fold(0, |check, word| mix(check ^ word));
    for (place, word) in bytes.chunks_exact_mut(8).zip(words.into_iter().chain([check])) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The words, if they are what was sealed.
pub(crate) fn open(bytes: &[u8; 40]) -> Option<[u64; 4]> {
    let mut words = [0; 4];
    for (word, place) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(place.try_into().expect("chunks of eight"));
    }
    (seal(words) == *bytes).then_some(words)
}

/// Sends `len` bytes of a stream, in pieces of any size.
pub(crate) async fn send(
    stream: &TcpStream,
    ledger: &Ledger,
    id: StreamId,
    len: u64,
) -> AxResult<()> {
    let mut rng = Rng::new(id, 0);
    let mut content = Content::new(id);
    let mut buffer = [0; WRITE_LEN_MAX as usize];
    let mut left = len;
    while left > 0 {
        let len = rng.between(1, left.min(WRITE_LEN_MAX));
        let piece = &mut buffer[..len as usize];
        content.fill(piece);
        stream.write_all(piece).await?;
        left -= len;
    }
    ledger.sent(id, content.digest());
    Ok(())
}

/// Reads a stream to its end, resting between reads.
pub(crate) async fn receive(
    stream: &TcpStream,
    ledger: &Ledger,
    id: StreamId,
    pause: Duration,
) -> AxResult<()> {
    let mut content = Content::new(id);
    let mut buffer = [0; 8192];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            break;
        }
        check(&mut content, &buffer[..len], ledger, id)?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    ledger.received(id, content.digest());
    Ok(())
}

/// Compares what was received with what must have been sent.
pub(crate) fn check(
    content: &mut Content,
    received: &[u8],
    ledger: &Ledger,
    id: StreamId,
) -> AxResult<()> {
    let offset = content.digest().len;
    if content.check(received) {
        return Ok(());
    }
    let len = received.len();
    ledger.violation(format!("stream {id:x}: wrong bytes in {len} from {offset} on"));
    Err(AxError::InvalidData)
}
