//! The two halves of a connection, for two tasks.

use alloc::sync::Arc;
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use axerrno::AxResult;
use netstack::{Interest, Shutdown};

use super::TcpStream;
use crate::io::{self, AsyncRead, AsyncWrite};

impl TcpStream {
    /// Splits the connection in two, each of which a task may own.
    ///
    /// ```no_run
    /// # use netasync::{TcpStream, spawn};
    /// # async fn example(stream: TcpStream) -> axerrno::AxResult<()> {
    /// let (reader, writer) = stream.into_split();
    /// spawn(async move {
    ///     let mut buffer = [0; 1024];
    ///     while let Ok(len @ 1..) = reader.read(&mut buffer).await {
    ///         println!("{:?}", &buffer[..len]);
    ///     }
    /// });
    /// writer.write_all(b"hello").await
    /// # }
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        (OwnedReadHalf(stream.clone()), OwnedWriteHalf { stream, ends_stream: true })
    }
}

/// The half that reads; made by [`TcpStream::into_split`].
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # let (client, server) = world::pair().await?;
/// let (reader, _writer): (OwnedReadHalf, _) = client.into_split();
/// let task = spawn(async move { reader.read(&mut [0; 100]).await });
/// server.write_all(b"hello").await?;
/// assert_eq!(task.await, Ok(Ok(5)));
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The half that writes; made by [`TcpStream::into_split`]. Dropping it ends the stream behind what
/// was written.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # let (client, server) = world::pair().await?;
/// let (_reader, writer): (_, OwnedWriteHalf) = client.into_split();
/// writer.write_all(b"hello").await?;
/// drop(writer);
/// assert_eq!(server.read(&mut [0; 100]).await?, 5);
/// assert_eq!(server.read(&mut [0; 100]).await?, 0, "the end");
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    ends_stream: bool,
}

impl OwnedReadHalf {
    /// As [`TcpStream::read`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let (reader, _writer) = client.into_split();
    /// server.write_all(b"hello").await?;
    /// assert_eq!(reader.read(&mut [0; 100]).await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// The same.
    pub async fn read(&self, buffer: &mut [u8]) -> AxResult<usize> {
        self.0.read(buffer).await
    }

    /// As [`TcpStream::read_exact`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let (reader, _writer) = client.into_split();
    /// server.write_all(b"hello").await?;
    /// let mut buffer = [0; 4];
    /// reader.read_exact(&mut buffer).await?;
    /// assert_eq!(&buffer, b"hell");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// The same.
    pub async fn read_exact(&self, buffer: &mut [u8]) -> AxResult<()> {
        self.0.read_exact(buffer).await
    }

    /// The connection again.
    ///
    /// ```no_run
    /// # async fn example(stream: netasync::TcpStream) {
    /// let (reader, writer) = stream.into_split();
    /// let stream = reader.reunite(writer).expect("they are of one connection");
    /// # }
    /// ```
    ///
    /// # Errors
    /// They are halves of two connections.
    pub fn reunite(self, mut other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.ends_stream = false;
        drop(other);
        let stream = self.0.clone();
        drop(self);
        match Arc::into_inner(stream) {
            Some(stream) => Ok(stream),
            None => unreachable!("there are two halves, and one is gone"),
        }
    }
}

impl OwnedWriteHalf {
    /// As [`TcpStream::write`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let (_reader, writer) = client.into_split();
    /// assert_eq!(writer.write(b"hello").await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// The same.
    pub async fn write(&self, data: &[u8]) -> AxResult<usize> {
        self.stream.write(data).await
    }

    /// As [`TcpStream::write_all`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let (_reader, writer) = client.into_split();
    /// writer.write_all(b"hello").await?;
    /// assert_eq!(server.read(&mut [0; 100]).await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// The same.
    pub async fn write_all(&self, data: &[u8]) -> AxResult<()> {
        self.stream.write_all(data).await
    }
}

/// The connection, for its addresses and options.
impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.0
    }
}

/// The connection, for its addresses and options.
impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for OwnedReadHalf {
    fn drop(&mut self) {
        self.0.clear_polled(Interest::Read);
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        self.stream.clear_polled(Interest::Write);
        if self.ends_stream {
            self.stream.shutdown(Shutdown::Write);
        }
    }
}

/// The halves belong to two connections; they are in the error.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # let (client, server) = world::pair().await?;
/// let (reader, _) = client.into_split();
/// let (_, writer) = server.into_split();
/// let ReuniteError(reader, writer) = reader.reunite(writer).unwrap_err();
/// assert_eq!(reader.as_ref().peer_addr(), writer.as_ref().local_addr());
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves belong to two connections")
    }
}

impl core::error::Error for ReuniteError {}

/// Reading and writing by the traits, for everything that refers to a connection.
macro_rules! traits {
    (read: $($reader:ty)*) => {$(
        impl AsyncRead for $reader {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<AxResult<usize>> {
                self.connection().poll_read_from(cx, buffer)
            }
        }

        impl embedded_io_async::Read for $reader {
            async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, io::Error> {
                Ok(self.connection().read(buffer).await?)
            }
        }
    )*};
    (write: $($writer:ty)*) => {$(
        impl AsyncWrite for $writer {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<AxResult<usize>> {
                self.connection().poll_write_to(cx, data)
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<AxResult<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<AxResult<()>> {
                self.connection().shutdown(Shutdown::Write);
                Poll::Ready(Ok(()))
            }
        }

        impl embedded_io_async::Write for $writer {
            async fn write(&mut self, data: &[u8]) -> Result<usize, io::Error> {
                Ok(self.connection().write(data).await?)
            }

            async fn flush(&mut self) -> Result<(), io::Error> {
                Ok(())
            }
        }
    )*};
    (error: $($kind:ty)*) => {$(
        impl embedded_io_async::ErrorType for $kind {
            type Error = io::Error;
        }
    )*};
}

traits!(error: TcpStream &TcpStream OwnedReadHalf OwnedWriteHalf);
traits!(read: TcpStream &TcpStream OwnedReadHalf);
traits!(write: TcpStream &TcpStream OwnedWriteHalf);

/// What refers to a connection.
trait Connection {
    fn connection(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn connection(&self) -> &TcpStream {
        self
    }
}

impl Connection for OwnedReadHalf {
    fn connection(&self) -> &TcpStream {
        &self.0
    }
}

impl Connection for OwnedWriteHalf {
    fn connection(&self) -> &TcpStream {
        &self.stream
    }
}
