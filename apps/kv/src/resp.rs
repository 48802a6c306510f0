//! The protocol's syntax (RESP2): requests in, replies out.
//!
//! A request is an array of bulk strings, or an inline command: a line of words, as people type it.
//! What is wrong with either is told in Redis's words, and ends the connection.

use alloc::vec::Vec;
use core::{fmt, ops::Range};

/// Arguments that a command may have, its name included. Clients that set thousands of keys send
/// several commands.
pub(crate) const ARGS_MAX: usize = 1024;
/// The longest argument, and so the longest value. It lies in memory in one piece, of which there
/// may be none that is longer, though much is free.
pub(crate) const BULK_LEN_MAX: usize = 128 * 1024;
/// A whole request: two of the longest values. It is kept until it is complete, in one piece, too.
pub(crate) const REQUEST_LEN_MAX: usize = 2 * BULK_LEN_MAX;
/// An inline command. Nobody types more than a few hundred characters.
const INLINE_LEN_MAX: usize = 64 * 1024;
/// The line before an argument: a sign that is not a digit, and a number of up to 20 digits.
const LENGTH_LINE_LEN_MAX: usize = 32;
/// The reply to one command. It is kept until it is complete, so that it may become an error.
pub(crate) const REPLY_LEN_MAX: usize = 4 << 20;
/// Replies are kept in pieces, so that free memory in many parts will do.
const PIECE_LEN: usize = 16 * 1024;
/// The first piece, and the longest reply for which there is always memory: there are no longer
/// errors.
const SHORT_LEN_MAX: usize = 1024;

/// What is answered before the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    MultibulkLength,
    BulkLength,
    /// This stands where a bulk string should begin.
    NotBulk(u8),
    TooBigCount,
    TooBigInline,
    TooBigRequest,
    UnbalancedQuotes,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            ProtocolError::MultibulkLength => f.write_str("invalid multibulk length"),
            ProtocolError::BulkLength => f.write_str("invalid bulk length"),
            ProtocolError::NotBulk(byte) => {
                write!(f, "expected '$', got '{}'", char::from(*byte).escape_default())
            }
            ProtocolError::TooBigCount => f.write_str("too big count string"),
            ProtocolError::TooBigInline => f.write_str("too big inline request"),
            ProtocolError::TooBigRequest => f.write_str("too big request"),
            ProtocolError::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

/// Finds requests. It keeps where the arguments of the last one are.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    args: Vec<Range<usize>>,
    /// The words of an inline command, without their quotes.
    words: Option<Vec<u8>>,
    /// A request that is not complete has at least this length.
    needed: usize,
}

impl Parser {
    /// Looks for a request at the start of `input`. Returns its length; `None` if it goes on.
    pub(crate) fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if input.is_empty() || input.len() < self.needed {
            return Ok(None);
        }
        self.needed = 0;
        self.args.clear();
        self.words = None;
        let end = match input[0] {
            b'*' => self.multibulk(input)?,
            _ => self.inline(input)?,
        };
        match end {
            None if input.len().max(self.needed) > REQUEST_LEN_MAX => {
                Err(ProtocolError::TooBigRequest)
            }
            end => Ok(end),
        }
    }

    /// The length that `input` must have before it is worth parsing again.
    pub(crate) fn needed(&self) -> usize {
        self.needed
    }

    /// The arguments of the request that was found in `input`. There are none in an empty line.
    pub(crate) fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args { bytes: self.words.as_deref().unwrap_or(input), ranges: &self.args }
    }

    fn multibulk(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some((line, mut at)) = line(input, 1)? else {
            return Ok(None);
        };
        let count = integer(line).ok_or(ProtocolError::MultibulkLength)?;
        if count > ARGS_MAX as i64 {
            return Err(ProtocolError::MultibulkLength);
        }
        for _ in 0..count {
            let Some(argument) = self.bulk(input, at)? else {
                return Ok(None);
            };
            // The line's end is not looked at, as Redis does not.
            at = argument.end + 2;
            self.args.push(argument);
        }
        Ok(Some(at))
    }

    /// The bulk string at `at`.
    fn bulk(&mut self, input: &[u8], at: usize) -> Result<Option<Range<usize>>, ProtocolError> {
        match input.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::NotBulk(*other)),
        }
        let Some((line, start)) = line(input, at + 1)? else {
            return Ok(None);
        };
        let len = integer(line).and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|len| *len <= BULK_LEN_MAX).ok_or(ProtocolError::BulkLength)?;
        let end = start + len;
        if input.len() < end + 2 {
            self.needed = end + 2;
            return Ok(None);
        }
        Ok(Some(start..end))
    }

    fn inline(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = input.iter().take(INLINE_LEN_MAX).position(|byte| *byte == b'\n') else {
            return match input.len() >= INLINE_LEN_MAX {
                true => Err(ProtocolError::TooBigInline),
                false => Ok(None),
            };
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let mut words = Vec::with_capacity(line.len());
        split(line, &mut words, &mut self.args).ok_or(ProtocolError::UnbalancedQuotes)?;
        if self.args.len() > ARGS_MAX {
            return Err(ProtocolError::TooBigInline);
        }
        self.words = Some(words);
        Ok(Some(end + 1))
    }
}

/// The arguments of a command; the first is its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Args<'a> {
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Empty if there is no such argument.
    pub(crate) fn get(&self, index: usize) -> &'a [u8] {
        self.ranges.get(index).map_or(&[], |range| &self.bytes[range.clone()])
    }

    /// All from `first` on.
    pub(crate) fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        let ranges = self.ranges.get(first..).unwrap_or_default();
        ranges.iter().map(move |range| &bytes[range.clone()])
    }
}

/// A line that begins at `at`, without its end, and where the next begins.
fn line(input: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let rest = &input[at..];
    match rest.iter().take(LENGTH_LINE_LEN_MAX).position(|byte| *byte == b'\r') {
        Some(len) if rest.len() >= len + 2 => Ok(Some((&rest[..len], at + len + 2))),
        None if rest.len() >= LENGTH_LINE_LEN_MAX => Err(ProtocolError::TooBigCount),
        _ => Ok(None),
    }
}

/// A number as Redis takes it: no plus, no zeros before others, no spaces.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let text = is_plain.then(|| str::from_utf8(text).ok()).flatten()?;
    text.parse().ok()
}

/// Appends the words of a line to `words`, and where they are to `args`. `None` if a quote is not
/// closed, or if something follows it at once.
fn split(mut line: &[u8], words: &mut Vec<u8>, args: &mut Vec<Range<usize>>) -> Option<()> {
    loop {
        line = line.trim_ascii_start();
        if line.is_empty() {
            return Some(());
        }
        let start = words.len();
        line = word(line, words)?;
        args.push(start..words.len());
    }
}

/// Appends the first word of a line to `words`. Returns the rest of the line.
fn word<'l>(mut line: &'l [u8], words: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        line = match line {
            [quote @ (b'"' | b'\''), rest @ ..] => {
                let rest = quoted(rest, *quote, words)?;
                return rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest);
            }
            [byte, rest @ ..] if !byte.is_ascii_whitespace() => {
                words.push(*byte);
                rest
            }
            rest => return Some(rest),
        };
    }
}

/// Appends what stands before the closing quote. Returns what stands behind it.
fn quoted<'l>(mut line: &'l [u8], quote: u8, words: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        let (byte, rest) = match line {
            [byte, rest @ ..] if *byte == quote => return Some(rest),
            [b'\\', b'\'', rest @ ..] if quote == b'\'' => (b'\'', rest),
            [b'\\', rest @ ..] if quote == b'"' => escape(rest)?,
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        words.push(byte);
        line = rest;
    }
}

/// What a backslash and what follows it stand for.
fn escape(line: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if let [b'x', high, low, rest @ ..] = line
        && let (Some(high), Some(low)) = (digit(*high), digit(*low))
    {
        return Some(((high << 4 | low) as u8, rest));
    }
    let (byte, rest) = line.split_first()?;
    let byte = match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => *other,
    };
    Some((byte, rest))
}

/// Replies, one behind the other until they are sent.
#[derive(Debug)]
pub(crate) struct Replies {
    /// None is empty, none but the last has room.
    pieces: Vec<Vec<u8>>,
    len: usize,
    /// Where the reply that is being written begins.
    start: usize,
    is_too_long: bool,
    has_room: fn(usize) -> bool,
}

impl Replies {
    /// `has_room` says whether so many bytes more may be allocated.
    pub(crate) fn new(has_room: fn(usize) -> bool) -> Self {
        Replies { pieces: Vec::new(), len: 0, start: 0, is_too_long: false, has_room }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What is to be sent.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Vec::as_slice)
    }

    /// Forgets what has been sent, but keeps a piece for what comes next.
    pub(crate) fn clear(&mut self) {
        self.pieces.drain(..self.pieces.len().saturating_sub(1));
        self.pieces.iter_mut().for_each(Vec::clear);
        (self.len, self.start) = (0, 0);
    }

    /// Ends the reply to one command. If it has become too long, it is an error.
    pub(crate) fn end(&mut self) {
        if self.is_too_long {
            self.restart();
            self.error(format_args!("OOM the reply needs more memory than it may take"));
        }
        self.is_too_long = false;
        self.start = self.len;
    }

    /// Takes back what has been written of the reply to the present command.
    pub(crate) fn restart(&mut self) {
        while self.len > self.start
            && let Some(last) = self.pieces.last_mut()
        {
            let len = last.len().min(self.len - self.start);
            last.truncate(last.len() - len);
            self.len -= len;
            // The first piece may stay without anything in it.
            if last.is_empty() && self.len > 0 {
                self.pieces.pop();
            }
        }
        self.is_too_long = false;
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.line(format_args!("+{text}"));
    }

    pub(crate) fn ok(&mut self) {
        self.simple("OK");
    }

    /// The message begins with its kind, such as `ERR`. It becomes one line, whatever of a client's
    /// it quotes.
    pub(crate) fn error(&mut self, message: fmt::Arguments<'_>) {
        self.push(b"-");
        // Writing here cannot fail: what does not fit is noted.
        let _ = fmt::write(&mut OneLine(self), message);
        self.push(b"\r\n");
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.line(format_args!(":{value}"));
    }

    pub(crate) fn bulk(&mut self, value: &[u8]) {
        self.line(format_args!("${}", value.len()));
        self.push(value);
        self.push(b"\r\n");
    }

    /// A bulk string, or nil.
    pub(crate) fn bulk_or_nil(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.push(b"$-1\r\n"),
        }
    }

    /// The start of an array.
    pub(crate) fn array(&mut self, len: usize) {
        self.line(format_args!("*{len}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // There are no line ends in it.
        let _ = fmt::write(&mut OneLine(self), line);
        self.push(b"\r\n");
    }

    fn push(&mut self, mut bytes: &[u8]) {
        self.is_too_long |= self.len - self.start + bytes.len() > REPLY_LEN_MAX;
        while !bytes.is_empty() && !self.is_too_long {
            let Some(piece) = self.pieces.last_mut().filter(|it| it.len() < it.capacity()) else {
                self.add_piece(bytes.len());
                continue;
            };
            let (now, later) = bytes.split_at(bytes.len().min(piece.capacity() - piece.len()));
            piece.extend_from_slice(now);
            self.len += now.len();
            bytes = later;
        }
    }

    /// Makes room for some of `len` bytes. A short reply, such as an error, needs no permission: the
    /// client would take the next one for it.
    fn add_piece(&mut self, len: usize) {
        let is_short = self.len - self.start + len <= SHORT_LEN_MAX;
        let piece_len = if self.pieces.is_empty() { SHORT_LEN_MAX } else { PIECE_LEN };
        match (self.has_room)(piece_len) {
            true => self.pieces.push(Vec::with_capacity(piece_len)),
            false if is_short => self.pieces.push(Vec::with_capacity(SHORT_LEN_MAX)),
            false => self.is_too_long = true,
        }
    }
}

/// Writes text without its line ends.
struct OneLine<'r>(&'r mut Replies);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut parts = text.split(['\r', '\n']);
        self.0.push(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            self.0.push(b" ");
            self.0.push(part.as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
