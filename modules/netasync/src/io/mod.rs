//! Reading and writing for tasks.
//!
//! | module | what lives there |
//! |---|---|
//! | here | [`AsyncRead`], [`AsyncWrite`], and [`Error`] for the embedded-io traits |
//! | `buffer` | [`BufReader`], [`BufWriter`], [`BufStream`] |
//! | `lines`, `copy` | [`BufReadExt::lines`], [`copy`](copy()) |
//!
//! ```
//! # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
//! use netasync::io::{BufReadExt, BufReader};
//!
//! # world::run(async {
//! # let (client, server) = world::pair().await?;
//! client.write_all(b"one\r\ntwo\r\n").await?;
//! let mut lines = BufReader::new(server).lines();
//! assert_eq!(lines.next_line().await?, Some("one".into()));
//! # Ok(()) });
//! ```

mod buffer;
mod copy;
mod lines;

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use axerrno::{AxError, AxResult};
use embedded_io_async::ErrorKind;

pub use self::{
    buffer::{BufReader, BufStream, BufWriter},
    copy::{copy, copy_buf},
    lines::{BufReadExt, LineError, Lines},
};

/// Reads bytes.
///
/// ```no_run
/// use core::{future::poll_fn, pin::Pin};
/// use netasync::io::AsyncRead;
///
/// # async fn example(mut reader: impl AsyncRead + Unpin) -> axerrno::AxResult<()> {
/// let mut buffer = [0; 100];
/// let len = poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut buffer)).await?;
/// # Ok(())
/// # }
/// ```
pub trait AsyncRead {
    /// Reads what is there into `buffer` and says how much; zero is the end. If nothing is there,
    /// the task is woken when that changes.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use core::{future::poll_fn, pin::Pin};
    /// # use netasync::io::{AsyncRead, AsyncWrite};
    /// server.write_all(b"hello").await?;
    /// let (mut client, mut buffer) = (client, [0; 100]);
    /// let len = poll_fn(|cx| Pin::new(&mut client).poll_read(cx, &mut buffer)).await?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// # Ok(()) });
    /// ```
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<AxResult<usize>>;
}

/// Writes bytes.
///
/// ```no_run
/// use core::{future::poll_fn, pin::Pin};
/// use netasync::io::AsyncWrite;
///
/// # async fn example(mut writer: impl AsyncWrite + Unpin) -> axerrno::AxResult<()> {
/// let len = poll_fn(|cx| Pin::new(&mut writer).poll_write(cx, b"hello")).await?;
/// poll_fn(|cx| Pin::new(&mut writer).poll_flush(cx)).await?;
/// # Ok(())
/// # }
/// ```
pub trait AsyncWrite {
    /// Writes as much of `data` as there is room for and says how much. If there is no room, the
    /// task is woken when that changes.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use core::{future::poll_fn, pin::Pin};
    /// # use netasync::io::{AsyncRead, AsyncWrite};
    /// let mut client = client;
    /// let len = poll_fn(|cx| Pin::new(&mut client).poll_write(cx, b"hello")).await?;
    /// assert_eq!(len, 5);
    /// # Ok(()) });
    /// ```
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8])
    -> Poll<AxResult<usize>>;

    /// Passes on what has been written and is held back.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use core::{future::poll_fn, pin::Pin};
    /// # use netasync::io::{AsyncRead, AsyncWrite};
    /// let mut client = client;
    /// poll_fn(|cx| Pin::new(&mut client).poll_write(cx, b"hello")).await?;
    /// poll_fn(|cx| Pin::new(&mut client).poll_flush(cx)).await?;
    /// assert_eq!(server.read(&mut [0; 100]).await?, 5);
    /// # Ok(()) });
    /// ```
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AxResult<()>>;

    /// Ends the stream. What has been written is still delivered.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use core::{future::poll_fn, pin::Pin};
    /// # use netasync::io::{AsyncRead, AsyncWrite};
    /// let mut client = client;
    /// poll_fn(|cx| Pin::new(&mut client).poll_close(cx)).await?;
    /// assert_eq!(server.read(&mut [0; 100]).await?, 0, "the end");
    /// # Ok(()) });
    /// ```
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AxResult<()>>;
}

/// An [`AxError`] as the embedded-io traits want it.
///
/// ```no_run
/// # use axerrno::{AxError, AxResult};
/// # use netasync::{TcpStream, io::Error};
/// use embedded_io_async::{Error as _, ErrorKind, Write};
///
/// # async fn example(mut stream: TcpStream) -> AxResult<()> {
/// if let Err(error) = Write::write_all(&mut stream, b"hello").await {
///     assert_eq!(error, Error(AxError::BrokenPipe));
///     assert_eq!(error.kind(), ErrorKind::BrokenPipe);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error(pub AxError);

impl From<AxError> for Error {
    fn from(error: AxError) -> Self {
        Error(error)
    }
}

impl From<Error> for AxError {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self.0 {
            AxError::ConnectionReset => ErrorKind::ConnectionReset,
            AxError::ConnectionRefused => ErrorKind::ConnectionRefused,
            AxError::BrokenPipe => ErrorKind::BrokenPipe,
            AxError::TimedOut => ErrorKind::TimedOut,
            AxError::NotConnected => ErrorKind::NotConnected,
            AxError::AddrInUse => ErrorKind::AddrInUse,
            AxError::InvalidInput => ErrorKind::InvalidInput,
            AxError::NoMemory => ErrorKind::OutOfMemory,
            _ => ErrorKind::Other,
        }
    }
}
