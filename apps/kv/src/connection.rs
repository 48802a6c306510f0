//! One client from its first byte to its last: reads requests, carries out all that are complete,
//! answers them together.

use alloc::{sync::Arc, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use axwire::{
    io::{AxError, AxResult},
    memory,
    net::{Shutdown, TcpStream},
    random,
    time::{Duration, timeout, uptime},
};
use spin::Mutex;

use crate::{
    commands::{self, Present, Session},
    resp::{Parser, Replies},
    store::Store,
};

/// How often a silent client is asked whether it is still there; after five of these it is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long a client may leave its replies unread. It is four retransmissions of a lossy path.
const STALL: Duration = Duration::from_secs(60);
/// How long a client may take to close its end after we have closed ours.
const LINGER: Duration = Duration::from_secs(2);
/// Connections at once: Redis's limit.
const CLIENTS_MAX: usize = 10_000;
/// What is read at first, and kept by a connection that rests: a few commands.
const BUFFER_LEN_MIN: usize = 2 * 1024;
/// What is read at once from a client that sends much.
const BUFFER_LEN: usize = 64 * 1024;
/// Replies are sent when they are as long as this, though there are more commands.
const REPLIES_LEN: usize = 64 * 1024;
/// The part of the memory free at the start that keys and values may take: the quarter. The stack
/// takes up to the half.
const STORE_SHARE: usize = 4;
/// The part that keys and values leave to everything else: the eighth. What is long and does not
/// stay leaves a [`STORE_SHARE`] as well: that may be free in parts that are too small.
const RESERVE_SHARE: usize = 8;
/// Keys that are removed in one turn: about a millisecond's work, in which nobody is served.
const SWEEP_COUNT: usize = 1000;

/// What was free at the start.
static FREE_AT_START: AtomicUsize = AtomicUsize::new(0);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    store: Mutex<Store>,
    clients: AtomicUsize,
    last_id: AtomicU64,
}

impl Server {
    /// To be called before the first connection: it looks at how much memory there is.
    pub(crate) fn new() -> Self {
        let mut seed = [0; 16];
        random::fill(&mut seed);
        let free = memory::free();
        FREE_AT_START.store(free, Relaxed);
        Server {
            store: Mutex::new(Store::new(seed, free / STORE_SHARE, has_room_to_stay)),
            clients: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
        }
    }

    /// Removes keys that have ended.
    pub(crate) fn sweep(&self) {
        self.store.lock().sweep(now_ms(), SWEEP_COUNT);
    }

    fn present(&self) -> Present {
        Present { now_ms: now_ms(), clients: self.clients.load(Relaxed) }
    }
}

/// Counts a client as long as it lives.
struct Counted<'s>(&'s Server);

impl<'s> Counted<'s> {
    /// Whether there was a place comes with it.
    fn new(server: &'s Server) -> (Self, bool) {
        let others = server.clients.fetch_add(1, Relaxed);
        (Counted(server), others < CLIENTS_MAX && has_room_to_stay(BUFFER_LEN))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Relaxed);
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(server: Arc<Server>, stream: TcpStream) {
    let (_counted, has_place) = Counted::new(&server);
    stream.set_keep_alive(Some(KEEP_ALIVE));
    // Replies are gathered already.
    stream.set_nodelay(true);
    if !has_place {
        let _ = stream.write(b"-ERR max number of clients reached\r\n").await;
        return;
    }
    let session = Session::new(server.last_id.fetch_add(1, Relaxed) + 1);
    let mut connection = Connection {
        server: &server,
        stream,
        session,
        parser: Parser::default(),
        input: Input::default(),
        replies: Replies::new(has_room),
    };
    // A connection that breaks is its client's affair.
    if connection.run().await.is_ok() {
        connection.close().await;
    }
}

struct Connection<'s> {
    server: &'s Server,
    stream: TcpStream,
    session: Session,
    parser: Parser,
    input: Input,
    replies: Replies,
}

impl Connection<'_> {
    /// Until the client has gone or said that it goes, or what it says makes no sense.
    async fn run(&mut self) -> AxResult<()> {
        loop {
            let wants_more = self.carry_out();
            self.answer().await?;
            if self.session.has_quit {
                return Ok(());
            }
            if !wants_more {
                continue;
            }
            if !self.input.make_room(self.parser.needed()) {
                self.fail(format_args!("OOM the request needs more memory than there is"));
            } else if self.input.read(&self.stream).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Says why the connection ends.
    fn fail(&mut self, message: fmt::Arguments<'_>) {
        self.replies.error(message);
        self.replies.end();
        self.session.has_quit = true;
    }

    /// Carries out the commands that are there, until the replies are long enough to be sent. Returns
    /// whether no complete command is left.
    fn carry_out(&mut self) -> bool {
        let present = self.server.present();
        let mut store = self.server.store.lock();
        while !self.session.has_quit && self.replies.len() < REPLIES_LEN {
            let unread = self.input.unread();
            match self.parser.parse(unread) {
                Ok(Some(len)) => {
                    let args = self.parser.args(unread);
                    if !args.is_empty() {
                        let session = &mut self.session;
                        commands::execute(args, present, &mut store, session, &mut self.replies);
                    }
                    self.input.consume(len);
                }
                Ok(None) => return true,
                Err(error) => self.fail(format_args!("ERR {error}")),
            }
        }
        false
    }

    async fn answer(&mut self) -> AxResult<()> {
        for mut rest in self.replies.pieces() {
            while !rest.is_empty() {
                let written = timeout(STALL, self.stream.write(rest)).await;
                let Ok(len) = written else {
                    // Nobody waits for the rest, which would keep its memory.
                    self.stream.abort();
                    return Err(AxError::TimedOut);
                };
                rest = &rest[len?..];
            }
        }
        self.replies.clear();
        Ok(())
    }

    /// Closing with unread input resets the connection, and the reset may overtake the last reply.
    async fn close(self) {
        self.stream.shutdown(Shutdown::Write);
        let mut rest = [0; 512];
        let drained = async { while let Ok(1..) = self.stream.read(&mut rest).await {} };
        let _ = timeout(LINGER, drained).await;
    }
}

/// What has been read: a buffer that is as long as it needs to be, and what of it is in use.
#[derive(Debug, Default)]
struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled it.
    was_filled: bool,
}

impl Input {
    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
    }

    /// Reads more. Zero is the end.
    async fn read(&mut self, stream: &TcpStream) -> AxResult<usize> {
        let len = stream.read(&mut self.buffer[self.end..]).await?;
        self.end += len;
        self.was_filled = self.end == self.buffer.len();
        Ok(len)
    }

    /// Makes room to read more of a request that has at least the length `needed`. Whether there is
    /// memory for it.
    fn make_room(&mut self, needed: usize) -> bool {
        if self.start == self.end && self.buffer.len() > BUFFER_LEN {
            *self = Input::default();
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let old = self.buffer.len();
        let is_short = self.end == old || self.was_filled && old < BUFFER_LEN;
        let len = if is_short { old * 2 } else { old }.max(BUFFER_LEN_MIN).max(needed);
        if len > old {
            // The first few bytes everybody may have.
            if len > BUFFER_LEN_MIN && !has_room(len) {
                return false;
            }
            self.buffer.reserve_exact(len - old);
            self.buffer.resize(len, 0);
        }
        true
    }
}

/// Whether a client may have so many bytes for a request or a reply. An allocation that fails ends
/// the machine.
fn has_room(len: usize) -> bool {
    let free_at_start = FREE_AT_START.load(Relaxed);
    let reserve = free_at_start / RESERVE_SHARE + free_at_start / STORE_SHARE;
    memory::free() >= len.saturating_add(reserve)
}

/// Whether there are so many bytes for keys and values.
fn has_room_to_stay(len: usize) -> bool {
    memory::free() >= len.saturating_add(FREE_AT_START.load(Relaxed) / RESERVE_SHARE)
}

fn now_ms() -> u64 {
    uptime().as_millis() as u64
}
