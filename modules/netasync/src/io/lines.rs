//! Text, line by line.

use alloc::{string::String, vec::Vec};
use core::{fmt, mem};

use axerrno::AxError;
use embedded_io_async::BufRead;

/// The longest line in bytes: a peer that never ends one must not fill the memory. HTTP servers
/// take header lines of 8 KiB to 64 KiB.
const LINE_LEN_MAX: usize = 64 * 1024;

/// What can be done with every buffered reader.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # use netasync::io::{BufReadExt, BufReader, Lines, LineError};
/// let mut lines = (&b"one\ntwo"[..]).lines();
/// assert_eq!(lines.next_line().await, Ok(Some("one".into())));
/// # Ok(()) });
/// ```
pub trait BufReadExt: BufRead + Sized {
    /// Its lines, without their ends (`\n` or `\r\n`).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use netasync::io::{BufReadExt, BufReader, Lines, LineError};
    /// let mut lines = BufReader::new(&b"one\r\ntwo\n"[..]).lines();
    /// let (one, two) = (lines.next_line().await, lines.next_line().await);
    /// assert_eq!((one, two), (Ok(Some("one".into())), Ok(Some("two".into()))));
    /// # Ok(()) });
    /// ```
    fn lines(self) -> Lines<Self> {
        Lines { reader: self, line: Vec::new() }
    }
}

impl<R: BufRead> BufReadExt for R {}

/// The lines of a reader; made by [`BufReadExt::lines`].
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # use netasync::io::{BufReadExt, BufReader, Lines, LineError};
/// async fn count(mut lines: Lines<&[u8]>) -> usize {
///     let mut count = 0;
///     while let Ok(Some(_)) = lines.next_line().await {
///         count += 1;
///     }
///     count
/// }
/// assert_eq!(count((&b"one\n\nthree"[..]).lines()).await, 3);
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    /// What has come of the next line.
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Waits for a line; `None` is the end. The last line need not have an end. Dropping the future
    /// loses nothing.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use netasync::io::{BufReadExt, BufReader, Lines, LineError};
    /// let mut lines = (&b"one\n\xff\nthree"[..]).lines();
    /// assert_eq!(lines.next_line().await, Ok(Some("one".into())));
    /// assert_eq!(lines.next_line().await, Err(LineError::NotText));
    /// assert_eq!(lines.next_line().await, Ok(Some("three".into())));
    /// assert_eq!(lines.next_line().await, Ok(None));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// The reader's; the line is not UTF-8, or longer than 64 KiB. The next call goes on behind it.
    pub async fn next_line(&mut self) -> Result<Option<String>, LineError<R::Error>> {
        loop {
            let data = self.reader.fill_buf().await.map_err(LineError::Read)?;
            let (is_end, end) = (data.is_empty(), data.iter().position(|byte| *byte == b'\n'));
            let part = &data[..end.unwrap_or(data.len())];
            let (len, fits) = (part.len(), self.line.len() + part.len() <= LINE_LEN_MAX);
            if fits {
                self.line.extend_from_slice(part);
            }
            self.reader.consume(len + usize::from(end.is_some()));
            if !fits {
                self.line = Vec::new();
                return Err(LineError::TooLong);
            }
            match end {
                Some(_) => return self.take_line().map(Some),
                None if is_end && self.line.is_empty() => return Ok(None),
                None if is_end => return self.take_line().map(Some),
                None => {}
            }
        }
    }

    /// The reader, for what is not text. A line that has come in part is lost.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use netasync::io::{BufReadExt, BufReader, Lines, LineError};
    /// let mut lines = (&b"5 bytes follow\n\0\x01\x02\x03\x04"[..]).lines();
    /// lines.next_line().await.unwrap();
    /// assert_eq!(lines.into_inner(), [0, 1, 2, 3, 4]);
    /// # Ok(()) });
    /// ```
    pub fn into_inner(self) -> R {
        self.reader
    }

    fn take_line(&mut self) -> Result<String, LineError<R::Error>> {
        let mut line = mem::take(&mut self.line);
        if line.ends_with(b"\r") {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| LineError::NotText)
    }
}

/// Why there is no line.
///
/// ```no_run
/// # use netasync::{TcpStream, io::{BufReadExt, BufReader, LineError}};
/// # async fn example(stream: TcpStream) -> axerrno::AxResult<()> {
/// match BufReader::new(stream).lines().next_line().await {
///     Ok(Some(line)) => println!("{line}"),
///     Ok(None) => println!("the end"),
///     Err(LineError::Read(error)) => return Err(error.into()),
///     Err(LineError::NotText | LineError::TooLong) => println!("that is no line"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError<E> {
    /// The reader failed.
    Read(E),
    /// The line is not UTF-8.
    NotText,
    /// It is longer than 64 KiB.
    TooLong,
}

impl<E: fmt::Display> fmt::Display for LineError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Read(error) => error.fmt(f),
            LineError::NotText => f.write_str("a line is not UTF-8"),
            LineError::TooLong => f.write_str("a line is too long"),
        }
    }
}

impl<E: core::error::Error> core::error::Error for LineError<E> {}

impl<E: Into<AxError>> From<LineError<E>> for AxError {
    fn from(error: LineError<E>) -> AxError {
        match error {
            LineError::Read(error) => error.into(),
            LineError::NotText | LineError::TooLong => AxError::InvalidData,
        }
    }
}
