//! What stands behind each path.

use alloc::{collections::VecDeque, format, vec, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axwire::{memory, net, time};

use crate::http::{Exchange, Failure, Method, Refusal, Status, TEXT, decimal};

/// The largest body that `/echo` keeps; it answers when it has all of it.
const ECHO_LEN_MAX: u64 = 64 << 20;
/// Memory that uploads leave to everybody else, beside [`SOCKETS_SHARE`]: what several hundred
/// connections take for a request and a response.
const RESERVE: usize = 4 << 20;
/// The part of the memory free at the start below which the stack takes on no more connections: the
/// eighth.
const SOCKETS_SHARE: usize = 8;
/// Memory without which no more connections are taken on. An allocation that fails ends the
/// machine, and those that are served still need some.
const ACCEPT_RESERVE: usize = 2 << 20;
/// A piece of a kept body. Small, so that free memory in many parts will do.
const PIECE_LEN: usize = 16 * 1024;

const NO_MEMORY: Refusal =
    Refusal::new(Status::ServiceUnavailable, "no memory is left for this body");
const TOO_LARGE: Refusal = Refusal::new(Status::ContentTooLarge, "/echo takes 64 MiB at most");

/// What `/bytes/N` repeats; a multiple of 256 long.
static PATTERN: [u8; 16 * 1024] = {
    let mut pattern = [0; 16 * 1024];
    let mut i = 0;
    while i < pattern.len() {
        pattern[i] = i as u8;
        i += 1;
    }
    pattern
};

/// Bytes promised to uploads and not yet allocated for them.
static RESERVED: AtomicUsize = AtomicUsize::new(0);

/// What was free before the first connection.
static FREE_AT_START: AtomicUsize = AtomicUsize::new(0);

/// Looks at the memory before it is used.
pub(crate) fn measure_memory() {
    FREE_AT_START.store(memory::free(), Relaxed);
}

/// Whether there is memory for another connection.
pub(crate) fn has_room() -> bool {
    memory::free() >= ACCEPT_RESERVE.saturating_add(RESERVED.load(Relaxed))
}

/// A part of [`RESERVED`].
#[derive(Debug, Default)]
struct Reservation(usize);

impl Reservation {
    /// Reserves `len` bytes more, or nothing.
    fn grow(&mut self, len: usize) -> Result<(), Refusal> {
        // Counted first: of two that look at the same time, none overlooks the other.
        let others = RESERVED.fetch_add(len, Relaxed);
        self.0 += len;
        let reserve = RESERVE + FREE_AT_START.load(Relaxed) / SOCKETS_SHARE;
        if len > 0 && memory::free() < others.saturating_add(len).saturating_add(reserve) {
            self.shrink(len);
            return Err(NO_MEMORY);
        }
        Ok(())
    }

    /// Gives up to `len` bytes back, because they have been allocated.
    fn shrink(&mut self, len: usize) {
        let len = len.min(self.0);
        RESERVED.fetch_sub(len, Relaxed);
        self.0 -= len;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.0);
    }
}

/// A part of the page that shows the counters and fetches them anew every second: its content type
/// and what it is.
pub(crate) fn part(path: &str) -> Option<(&'static str, &'static [u8])> {
    match path {
        "/" => Some(("text/html; charset=utf-8", include_bytes!("page/index.html"))),
        "/style.css" => Some(("text/css", include_bytes!("page/style.css"))),
        "/live.js" => Some(("text/javascript", include_bytes!("page/live.js"))),
        "/icon.svg" => Some(("image/svg+xml", include_bytes!("page/icon.svg"))),
        _ => None,
    }
}

/// Answers with a part of the page.
pub(crate) async fn page(
    exchange: &mut Exchange<'_>,
    (content_type, body): (&str, &[u8]),
) -> Result<(), Failure> {
    let fields = format!("Content-Type: {content_type}\r\n");
    exchange.respond(Status::Ok, &fields, body).await
}

/// Every counter of the stack as JSON.
pub(crate) async fn stats(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let uptime_ms = time::uptime().as_millis();
    let mut json = format!("{{\"uptime_ms\":{uptime_ms},\"memory_free\":{}", memory::free());
    for (name, value) in net::stats().iter() {
        json += &format!(",\"{name}\":{value}");
    }
    json += "}\n";
    exchange.respond(Status::Ok, "Content-Type: application/json\r\n", json.as_bytes()).await
}

/// The content type of bytes that are just bytes.
const BYTES: &str = "Content-Type: application/octet-stream\r\n";

/// A body of as many bytes as `number` says.
pub(crate) async fn bytes(exchange: &mut Exchange<'_>, number: &str) -> Result<(), Failure> {
    let Some(len) = decimal(number) else {
        let why = "/bytes/N wants N to be a number below 2^64";
        return exchange.fail(Status::BadRequest, why).await;
    };
    exchange.begin(Status::Ok, BYTES, len).await?;
    if exchange.request.method == Method::Head {
        return Ok(());
    }
    let mut left = len;
    while left > 0 {
        let len = left.min(PATTERN.len() as u64);
        exchange.write(&PATTERN[..len as usize]).await?;
        left -= len;
    }
    Ok(())
}

/// The request's body. It is kept until it is complete, because many a client does not read before
/// it has sent everything.
pub(crate) async fn echo(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let (mut pieces, len) = keep(exchange).await?;
    exchange.begin(Status::Ok, BYTES, len).await?;
    while let Some(piece) = pieces.pop_front() {
        exchange.write(&piece).await?;
    }
    Ok(())
}

/// Keeps the request's body. One whose length is known is refused at the start or not at all.
async fn keep(exchange: &mut Exchange<'_>) -> Result<(VecDeque<Vec<u8>>, u64), Failure> {
    let announced = exchange.announced_len();
    if announced.is_some_and(|len| len > ECHO_LEN_MAX) {
        return Err(TOO_LARGE.into());
    }
    let mut reservation = Reservation::default();
    reservation.grow(announced.unwrap_or(0) as usize)?;
    let (mut pieces, mut len) = (VecDeque::new(), 0);
    loop {
        let piece = read_piece(exchange, &mut reservation).await?;
        if piece.is_empty() {
            return Ok((pieces, len));
        }
        len += piece.len() as u64;
        if len > ECHO_LEN_MAX {
            return Err(TOO_LARGE.into());
        }
        pieces.push_back(piece);
    }
}

/// Reads until a piece is full or the body ends.
async fn read_piece(
    exchange: &mut Exchange<'_>,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, Failure> {
    let piece_len = match exchange.announced_len() {
        Some(left) => left.min(PIECE_LEN as u64) as usize,
        None => {
            reservation.grow(PIECE_LEN)?;
            PIECE_LEN
        }
    };
    let mut piece = vec![0; piece_len];
    reservation.shrink(piece_len);
    let mut len = 0;
    while len < piece_len {
        match exchange.read(&mut piece[len..]).await? {
            0 => break,
            read => len += read,
        }
    }
    piece.truncate(len);
    Ok(piece)
}

/// Says which methods the path has.
pub(crate) async fn only(exchange: &mut Exchange<'_>, methods: &str) -> Result<(), Failure> {
    let fields = format!("Allow: {methods}\r\n{TEXT}");
    exchange.respond(Status::MethodNotAllowed, &fields, b"wrong method\n").await
}
