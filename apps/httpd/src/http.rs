//! HTTP/1.x as a server speaks it: heads of requests, framing of bodies, responses (RFC 9112).
//!
//! [`parse`] and [`Body`] know bytes alone. [`Exchange`] feeds them from a connection, under limits
//! of length and of time.

mod status;

use alloc::{format, vec::Vec};
use core::mem::MaybeUninit;

use axwire::{
    io::{BufRead, BufStream, Error as IoError, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, timeout},
};
use futures_util::FutureExt;
use httparse::Header;
use smol_str::SmolStr;

pub(crate) use self::status::Status;

/// How long a connection may rest between requests. Long, because QEMU's user networking passes on
/// only a few new connections per second to a client that opens hundreds.
const IDLE: Duration = Duration::from_secs(180);
/// How long buffers are kept between requests: longer than a client takes that goes on.
const REST: Duration = Duration::from_secs(1);
/// How long a head may take from its first byte to its last: it is a packet or two.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long a body or a response may stand still. It is four retransmissions of a lossy path.
const STALL: Duration = Duration::from_secs(60);
/// How long a client may take to close its end after we have closed ours.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that the head of a request may have: what other servers take, too.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// Fields that a head may have. More than browsers and proxies send.
const HEADERS_MAX: usize = 64;
/// Bytes that a chunk's extensions, or all trailers, may have. Nobody here reads them.
const CHUNK_EXTRA_LEN_MAX: usize = 8 * 1024;
/// What is left of a body that nobody wanted and is still read, to save the connection: less than
/// what a new one would cost.
const DRAIN_LEN_MAX: u64 = 64 * 1024;

pub(crate) type Stream = BufStream<TcpStream>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    /// One that we know and that no path here has.
    Other,
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Without the query.
    pub(crate) path: SmolStr,
    body: Body,
    is_http_1_0: bool,
    keep_alive: bool,
    expects_continue: bool,
}

/// What is answered before the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    pub(crate) why: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: Status, why: &'static str) -> Self {
        Refusal { status, why }
    }
}

/// Why a connection ends before its client wants it to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No response has begun, and this is to be it.
    Refused(Refusal),
    /// The client has gone.
    Lost,
    /// The client does not go on.
    Stalled,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

const TOO_LARGE: Refusal =
    Refusal::new(Status::HeaderFieldsTooLarge, "a head has at most 8 KiB and 64 fields");
const BAD_HEAD: Refusal = Refusal::new(Status::BadRequest, "the head of the request is malformed");
const BAD_VERSION: Refusal =
    Refusal::new(Status::VersionNotSupported, "this server speaks HTTP/1.1 and HTTP/1.0");
const BAD_CHUNK: Refusal = Refusal::new(Status::BadRequest, "the chunked body is malformed");

/// Parses the head of a request, which is `bytes` as far as they have come. Returns its length,
/// too; `None` if it goes on.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let parsed = match head.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(len)) => Some((request(&head)?, len)),
        Ok(httparse::Status::Partial) => None,
        Err(httparse::Error::Version) if version_goes_on(bytes)? => None,
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(BAD_HEAD),
    };
    match parsed {
        None if bytes.len() >= HEAD_LEN_MAX => Err(TOO_LARGE),
        parsed => Ok(parsed),
    }
}

/// Whether a version that is none so far may become one.
fn version_goes_on(bytes: &[u8]) -> Result<bool, Refusal> {
    let mut lines = bytes.trim_ascii_start().splitn(2, |byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let version = line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
    match version.trim_ascii_end() {
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(BAD_VERSION),
        version if version.len() < "HTTP/1.1".len() && lines.next().is_none() => Ok(true),
        _ => Err(Refusal::new(Status::BadRequest, "the request line is malformed")),
    }
}

fn request(head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    let is_http_1_0 = head.version == Some(0);
    let headers = &*head.headers;
    check_host(headers, is_http_1_0)?;
    let path = path(head.path.unwrap_or_default())
        .ok_or(Refusal::new(Status::BadRequest, "the target is neither a path nor an http URL"))?;
    let expects_continue =
        values(headers, "expect").any(|it| it.eq_ignore_ascii_case(b"100-continue"));
    Ok(Request {
        method: method(head.method.unwrap_or_default())?,
        path: path.into(),
        body: framing(headers, is_http_1_0)?,
        is_http_1_0,
        keep_alive: keep_alive(headers, is_http_1_0),
        // RFC 9110 section 10.1.1: not for HTTP/1.0.
        expects_continue: expects_continue && !is_http_1_0,
    })
}

/// The values of a field, line by line.
fn values<'h>(headers: &'h [Header<'_>], name: &str) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    lines.map(|header| header.value.trim_ascii())
}

/// RFC 9110 section 9.1: methods are case-sensitive.
fn method(name: &str) -> Result<Method, Refusal> {
    match name {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "POST" => Ok(Method::Post),
        "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "TRACE" => Ok(Method::Other),
        _ => Err(Refusal::new(Status::NotImplemented, "the method is not known here")),
    }
}

/// What a byte of a target or a host may be; a table, because every request has some of both.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        let ends_host = matches!(byte, b'/' | b'?' | b'#' | b'@' | b'\\');
        if byte.is_ascii_graphic() && !ends_host {
            classes[byte as usize] |= IN_HOST;
        }
        if matches!(byte, b'?' | b'#') {
            classes[byte as usize] |= ENDS_PATH;
        }
        byte += 1;
    }
    classes
};
const IN_HOST: u8 = 1;
const ENDS_PATH: u8 = 2;

fn is_class(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// RFC 9112 section 3.2: one host, and in HTTP/1.0 perhaps none.
fn check_host(headers: &[Header<'_>], is_http_1_0: bool) -> Result<(), Refusal> {
    let mut hosts = values(headers, "host");
    let is_valid = match hosts.next() {
        Some(host) => host.iter().all(|byte| is_class(*byte, IN_HOST)),
        None => is_http_1_0,
    };
    if is_valid && hosts.next().is_none() {
        return Ok(());
    }
    Err(Refusal::new(Status::BadRequest, "a request has one valid Host"))
}

/// The path of a target in origin or absolute form (RFC 9112 section 3.2), or the asterisk.
fn path(target: &str) -> Option<&str> {
    let path = match target.as_bytes() {
        [b'/', ..] | b"*" => target,
        _ => match target.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                rest.find(['/', '?']).map_or("/", |at| &rest[at..])
            }
            _ => return None,
        },
    };
    let end = path.bytes().position(|byte| is_class(byte, ENDS_PATH)).unwrap_or(path.len());
    Some(if end == 0 { "/" } else { &path[..end] })
}

/// RFC 9112 section 6.3, with every doubt an error: two servers that differ about where a body ends
/// let requests be smuggled.
fn framing(headers: &[Header<'_>], is_http_1_0: bool) -> Result<Body, Refusal> {
    let mut codings = values(headers, "transfer-encoding");
    let mut lengths = values(headers, "content-length");
    let length = lengths.next();
    let Some(coding) = codings.next() else {
        let Some(length) = length else {
            return Ok(Body::Length(0));
        };
        let len = str::from_utf8(length).ok().and_then(decimal);
        return match len {
            Some(len) if lengths.all(|other| other == length) => Ok(Body::Length(len)),
            _ => Err(Refusal::new(Status::BadRequest, "Content-Length is not one number")),
        };
    };
    if length.is_some() || is_http_1_0 {
        return Err(Refusal::new(Status::BadRequest, "Transfer-Encoding has no place here"));
    }
    if !coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(Refusal::new(Status::NotImplemented, "the only transfer coding is chunked"));
    }
    Ok(Body::Chunked(Chunks::default()))
}

/// A number of nothing but digits.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    // Rust's own takes a leading plus.
    let value = text.bytes().try_fold(0, |value: u64, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        value.checked_mul(10)?.checked_add(digit.into())
    });
    value.filter(|_| !text.is_empty())
}

/// RFC 9112 section 9.3.
fn keep_alive(headers: &[Header<'_>], is_http_1_0: bool) -> bool {
    let has = |wanted: &[u8]| {
        values(headers, "connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    !has(b"close") && (!is_http_1_0 || has(b"keep-alive"))
}

/// What is still to come of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Chunks),
}

impl Body {
    /// Bytes of the body that come next, with nothing in between. If there are none, the body has
    /// ended or [`feed`](Self::feed) wants bytes.
    fn run_len(&self) -> u64 {
        match self {
            Body::Length(left) => *left,
            Body::Chunked(chunks) if chunks.state == ChunkState::Data => chunks.size,
            Body::Chunked(_) => 0,
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => chunks.state == ChunkState::End,
        }
    }

    /// Takes notice of bytes of the body, no more than [`run_len`](Self::run_len).
    fn advance(&mut self, len: u64) {
        match self {
            Body::Length(left) => *left -= len,
            Body::Chunked(chunks) => {
                chunks.size -= len;
                if chunks.size == 0 {
                    chunks.state = ChunkState::DataCr;
                }
            }
        }
    }

    /// Takes what is not body from the start of `input`. Returns how much that is.
    fn feed(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let Body::Chunked(chunks) = self else {
            return Ok(0);
        };
        for (at, byte) in input.iter().enumerate() {
            if matches!(chunks.state, ChunkState::Data | ChunkState::End) {
                return Ok(at);
            }
            chunks.feed(*byte)?;
        }
        Ok(input.len())
    }
}

/// The chunked coding (RFC 9112 section 7.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunks {
    state: ChunkState,
    /// Of the chunk: what has been read of the number, then what is left of the data.
    size: u64,
    digits: usize,
    /// Bytes of this chunk's extensions, or of the trailers.
    extra_len: usize,
}

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// A trailer, or the empty line behind all of them.
    TrailerOrEnd,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

impl Chunks {
    /// One byte that is not data.
    fn feed(&mut self, byte: u8) -> Result<(), Refusal> {
        use ChunkState::{
            DataCr, DataLf, EndLf, Extension, Size, SizeLf, Trailer, TrailerLf, TrailerOrEnd,
        };
        self.state = match (self.state, byte) {
            (Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (Size, b'\r') if self.digits > 0 => SizeLf,
            (Size, b';' | b' ' | b'\t') if self.digits > 0 => self.extra(Extension)?,
            (Extension, b'\r') => SizeLf,
            (SizeLf, b'\n') => self.data(),
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size,
            (TrailerOrEnd, b'\r') => EndLf,
            (Trailer, b'\r') => TrailerLf,
            (TrailerLf, b'\n') => TrailerOrEnd,
            (EndLf, b'\n') => ChunkState::End,
            // A lone line feed is no end of a line here: others may not take it for one.
            (Extension, 0x20.. | b'\t') => self.extra(Extension)?,
            (TrailerOrEnd | Trailer, 0x20.. | b'\t') => self.extra(Trailer)?,
            _ => return Err(BAD_CHUNK),
        };
        Ok(())
    }

    fn digit(&mut self, digit: u8) -> Result<ChunkState, Refusal> {
        let value = (digit as char).to_digit(16).ok_or(BAD_CHUNK)?;
        // Sixteen digits fill the number.
        if self.digits == 16 {
            return Err(BAD_CHUNK);
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(value);
        Ok(ChunkState::Size)
    }

    fn extra(&mut self, state: ChunkState) -> Result<ChunkState, Refusal> {
        self.extra_len += 1;
        if self.extra_len > CHUNK_EXTRA_LEN_MAX {
            return Err(BAD_CHUNK);
        }
        Ok(state)
    }

    fn data(&mut self) -> ChunkState {
        (self.digits, self.extra_len) = (0, 0);
        if self.size > 0 { ChunkState::Data } else { ChunkState::TrailerOrEnd }
    }
}

/// A request and its response.
pub(crate) struct Exchange<'s> {
    stream: &'s mut Stream,
    pub(crate) request: Request,
}

impl<'s> Exchange<'s> {
    /// Waits for a request.
    pub(crate) async fn receive(stream: &'s mut Stream) -> Result<Self, Failure> {
        loop {
            // A read that has to wait sends what has been written first.
            match timeout(REST, skip_empty_lines(stream)).await {
                Ok(skipped) => break skipped?,
                Err(_) => rest(stream).await?,
            }
        }
        // Most heads have come as a whole: no clock is needed.
        if let Some((request, len)) = parse(stream.buffer())? {
            stream.consume(len);
            return Ok(Exchange { stream, request });
        }
        let request = timeout(HEAD_TIME, read_head(stream)).await;
        Ok(Exchange { request: request.map_err(|_| Failure::Stalled)??, stream })
    }

    /// The length of the body that is still to come, if the client has said it.
    pub(crate) fn announced_len(&self) -> Option<u64> {
        match self.request.body {
            Body::Length(len) => Some(len),
            Body::Chunked(_) => None,
        }
    }

    /// Reads from the body. Zero is its end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let is_due = core::mem::take(&mut self.request.expects_continue);
        if is_due && !self.request.body.is_complete() {
            write_all(self.stream, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let len = self.run_len().await?.min(buffer.len() as u64);
        if len == 0 {
            return Ok(0);
        }
        match within(STALL, self.stream.read(&mut buffer[..len as usize])).await? {
            0 => Err(Failure::Lost),
            len => {
                self.request.body.advance(len as u64);
                Ok(len)
            }
        }
    }

    /// Reads as far as the next bytes of the body. Returns how many are known to come.
    async fn run_len(&mut self) -> Result<u64, Failure> {
        let body = &mut self.request.body;
        while body.run_len() == 0 && !body.is_complete() {
            let input = within(STALL, self.stream.fill_buf()).await?;
            if input.is_empty() {
                return Err(Failure::Lost);
            }
            let len = body.feed(input)?;
            self.stream.consume(len);
        }
        Ok(body.run_len())
    }

    /// Answers with a body that is at hand.
    pub(crate) async fn respond(
        &mut self,
        status: Status,
        fields: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        self.begin(status, fields, body.len() as u64).await?;
        self.write(body).await
    }

    /// An error with a line that says why.
    pub(crate) async fn fail(&mut self, status: Status, why: &str) -> Result<(), Failure> {
        self.respond(status, TEXT, format!("{why}\n").as_bytes()).await
    }

    /// Sends the head of a response. `fields` are whole lines.
    pub(crate) async fn begin(
        &mut self,
        status: Status,
        fields: &str,
        len: u64,
    ) -> Result<(), Failure> {
        self.request.keep_alive &= self.can_go_on();
        let end = match (self.request.keep_alive, self.request.is_http_1_0) {
            (false, _) => "\r\nConnection: close\r\n\r\n",
            (true, true) => "\r\nConnection: keep-alive\r\n\r\n",
            (true, false) => "\r\n\r\n",
        };
        write_head(self.stream, status, fields, len, end).await
    }

    /// Sends a piece of the response's body.
    pub(crate) async fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        match self.request.method {
            Method::Head => Ok(()),
            _ if self.stream.try_buffer(data) => Ok(()),
            _ => write_all(self.stream, data).await,
        }
    }

    /// Whether the next request can be found: behind the body, if it is read.
    fn can_go_on(&self) -> bool {
        // RFC 9110 section 10.1.1: a client that was not told to continue may leave the body out.
        let is_certain = !self.request.expects_continue;
        let is_short = self.announced_len().is_none_or(|len| len <= DRAIN_LEN_MAX);
        self.request.body.is_complete() || is_certain && is_short
    }

    /// Whether all of the request has been read.
    pub(crate) fn is_read(&self) -> bool {
        self.request.body.is_complete()
    }

    /// Reads what is left of the request. Returns whether that was little enough.
    pub(crate) async fn skip(&mut self) -> bool {
        matches!(timeout(STALL, self.drain()).await, Ok(Ok(true)))
    }

    /// Whether the connection may carry another request, once this one has been read.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.request.keep_alive
    }

    /// As [`skip`](Self::skip), without a clock.
    async fn drain(&mut self) -> Result<bool, Failure> {
        let mut drained = 0;
        loop {
            let len = self.run_len().await?;
            if len == 0 || drained > DRAIN_LEN_MAX {
                return Ok(len == 0);
            }
            let input = within(STALL, self.stream.fill_buf()).await?;
            if input.is_empty() {
                return Err(Failure::Lost);
            }
            let len = len.min(input.len() as u64);
            self.stream.consume(len as usize);
            self.request.body.advance(len);
            drained += len;
        }
    }
}

/// Ends a connection, for a reason or because its client wanted that.
pub(crate) async fn close(mut stream: Stream, end: Result<(), Failure>) {
    let written = match end {
        Ok(()) => Ok(()),
        Err(Failure::Refused(refusal)) => refuse(&mut stream, refusal).await,
        Err(failure) => Err(failure),
    };
    let flushed = match written {
        Ok(()) => within(STALL, stream.flush()).await,
        Err(failure) => Err(failure),
    };
    match flushed {
        Ok(()) => linger(stream).await,
        // Nobody waits for the rest, which would keep its memory.
        Err(Failure::Stalled) => stream.get_ref().abort(),
        Err(_) => {}
    }
}

/// RFC 9112 section 9.6: closing with unread input resets the connection, and the reset may
/// overtake the last answer.
async fn linger(mut stream: Stream) {
    stream.get_ref().shutdown(Shutdown::Write);
    let drained = async {
        while let Ok(input @ [_, ..]) = stream.fill_buf().await {
            let len = input.len();
            stream.consume(len);
        }
    };
    let _ = timeout(LINGER, drained).await;
}

/// The content type of answers to people.
pub(crate) const TEXT: &str = "Content-Type: text/plain\r\n";

async fn refuse(stream: &mut Stream, refusal: Refusal) -> Result<(), Failure> {
    let Refusal { status, why } = refusal;
    let retry = if status == Status::ServiceUnavailable { "Retry-After: 1\r\n" } else { "" };
    let end = format!("\r\n{retry}Connection: close\r\n\r\n");
    write_head(stream, status, TEXT, why.len() as u64 + 1, &end).await?;
    write_all(stream, format!("{why}\n").as_bytes()).await
}

/// Sends the head of a response, whose last lines are `end`.
async fn write_head(
    stream: &mut Stream,
    status: Status,
    fields: &str,
    len: u64,
    end: &str,
) -> Result<(), Failure> {
    let mut digits = itoa::Buffer::new();
    // Without a formatter, which would take longer than all the rest of a short response.
    for piece in [status.line(), fields, "Content-Length: ", digits.format(len), end] {
        if !stream.try_buffer(piece.as_bytes()) {
            write_all(stream, piece.as_bytes()).await?;
        }
    }
    Ok(())
}

/// Waits without buffers. A client that is silent between requests is not in the middle of anything
/// once it has the last response.
async fn rest(stream: &mut Stream) -> Result<(), Failure> {
    within(STALL, stream.flush()).await?;
    stream.shrink();
    match timeout(IDLE, stream.get_ref().readable()).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Failure::Lost),
    }
}

/// Skips the empty lines that may precede a request (RFC 9112 section 2.2) and waits for its first
/// byte.
async fn skip_empty_lines(stream: &mut Stream) -> Result<(), Failure> {
    loop {
        let len = match stream.fill_buf().await.map_err(|_| Failure::Lost)? {
            [] => return Err(Failure::Lost),
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return Ok(()),
        };
        stream.consume(len);
    }
}

async fn read_head(stream: &mut Stream) -> Result<Request, Failure> {
    // Of a head in several pieces, those that have come.
    let mut begun = Vec::new();
    loop {
        let input = stream.fill_buf().await.map_err(|_| Failure::Lost)?;
        if input.is_empty() {
            return Err(Failure::Lost);
        }
        let (known, taken) = (begun.len(), input.len().min(HEAD_LEN_MAX - begun.len()));
        let input = &input[..taken];
        let head = if known == 0 {
            input
        } else {
            begun.extend_from_slice(input);
            &begun
        };
        if let Some((request, len)) = parse(head)? {
            // What was known did not hold the whole head.
            stream.consume(len - known);
            return Ok(request);
        }
        if known == 0 {
            begun.extend_from_slice(input);
        }
        stream.consume(taken);
    }
}

async fn write_all(stream: &mut Stream, mut data: &[u8]) -> Result<(), Failure> {
    while !data.is_empty() {
        let len = within(STALL, stream.write(data)).await?;
        data = &data[len..];
    }
    Ok(())
}

/// Gives up when `io` makes no progress in time.
fn within<T>(
    limit: Duration,
    io: impl Future<Output = Result<T, IoError>>,
) -> impl Future<Output = Result<T, Failure>> {
    timeout(limit, io).map(|result| match result {
        Ok(result) => result.map_err(|_| Failure::Lost),
        Err(_) => Err(Failure::Stalled),
    })
}

#[cfg(test)]
mod tests;
