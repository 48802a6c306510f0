//! Reading and writing for tasks.

use alloc::{boxed::Box, vec};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use axerrno::{AxError, AxResult};
use embedded_io_async::{BufRead, ErrorKind, ErrorType, Read, Write};

/// Reads bytes.
pub trait AsyncRead {
    /// Reads what is there into `buffer` and says how much; zero is the end. If nothing is there,
    /// the task is woken when that changes.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<AxResult<usize>>;
}

/// Writes bytes.
pub trait AsyncWrite {
    /// Writes as much of `data` as there is room for and says how much. If there is no room, the
    /// task is woken when that changes.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8])
    -> Poll<AxResult<usize>>;

    /// Passes on what has been written and is held back.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AxResult<()>>;

    /// Ends the stream. What has been written is still delivered.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AxResult<()>>;
}

/// An [`AxError`] as the embedded-io traits want it.
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

/// Bytes that a [`BufStream`] holds each way: a usual request, or a usual response, in one piece.
const BUFFER_LEN: usize = 4096;

/// Gathers small writes, and reads ahead, so that a parser may take bytes one by one.
///
/// What has been written is on its way when it has been flushed, or when a read has to wait: a peer
/// that waits for an answer gets it, and answers to several requests that came together go
/// together.
#[derive(Debug)]
pub struct BufStream<S> {
    stream: S,
    read: Box<[u8]>,
    /// What of `read` is filled and not yet taken.
    unread: core::ops::Range<usize>,
    write: Box<[u8]>,
    written: usize,
}

impl<S> BufStream<S> {
    /// Buffers `stream`, 4 KiB each way.
    pub fn new(stream: S) -> Self {
        let buffer = || vec![0; BUFFER_LEN].into_boxed_slice();
        BufStream { stream, read: buffer(), unread: 0..0, write: buffer(), written: 0 }
    }

    /// The stream beneath.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Bytes read ahead and not yet taken.
    pub fn buffered(&self) -> usize {
        self.unread.len()
    }
}

impl<S: ErrorType> ErrorType for BufStream<S> {
    type Error = S::Error;
}

impl<S: Read + Write> Read for BufStream<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        if self.unread.is_empty() && buffer.len() >= BUFFER_LEN {
            self.drain().await?;
            return self.stream.read(buffer).await;
        }
        let unread = self.fill_buf().await?;
        let len = unread.len().min(buffer.len());
        buffer[..len].copy_from_slice(&unread[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<S: Read + Write> BufRead for BufStream<S> {
    async fn fill_buf(&mut self) -> Result<&[u8], S::Error> {
        if self.unread.is_empty() {
            self.drain().await?;
            let len = self.stream.read(&mut self.read).await?;
            self.unread = 0..len;
        }
        Ok(&self.read[self.unread.clone()])
    }

    /// # Panics
    /// If `len` is more than [`fill_buf`](BufRead::fill_buf) has shown.
    fn consume(&mut self, len: usize) {
        assert!(len <= self.unread.len(), "more is consumed than was read");
        self.unread.start += len;
    }
}

impl<S: Write> BufStream<S> {
    /// Sends the write buffer on. A future dropped midway keeps what has not been sent.
    async fn drain(&mut self) -> Result<(), S::Error> {
        while self.written > 0 {
            let len = self.stream.write(&self.write[..self.written]).await?;
            self.write.copy_within(len..self.written, 0);
            self.written -= len;
        }
        Ok(())
    }
}

impl<S: Write> Write for BufStream<S> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, S::Error> {
        if data.len() > BUFFER_LEN - self.written {
            self.drain().await?;
        }
        if data.len() >= BUFFER_LEN {
            return self.stream.write(data).await;
        }
        self.write[self.written..][..data.len()].copy_from_slice(data);
        self.written += data.len();
        Ok(data.len())
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.drain().await?;
        self.stream.flush().await
    }
}
