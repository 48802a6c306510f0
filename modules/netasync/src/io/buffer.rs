//! Buffers: fewer calls, and bytes that can be looked at before they are taken.

use alloc::{boxed::Box, vec, vec::Vec};
use core::ops::Range;

use embedded_io_async::{BufRead, ErrorType, Read, Write};

/// Bytes that a buffer holds: a usual request, or a usual response, in one piece.
const BUFFER_LEN: usize = 4096;
/// Bytes of the first buffer to read into: the head of a usual request. All of it is cleared before it
/// is filled, which for few bytes would cost more than to read them.
const FIRST_LEN: usize = 1024;

/// Reads ahead, so that a parser may take bytes one by one.
///
/// ```no_run
/// # use netasync::{TcpStream, io::{BufReadExt, BufReader}};
/// # async fn example() -> axerrno::AxResult<()> {
/// let stream = TcpStream::connect("10.0.2.2:7").await?;
/// let mut lines = BufReader::new(stream).lines();
/// while let Some(line) = lines.next_line().await? {
///     println!("{line}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BufReader<S> {
    stream: S,
    buffer: Box<[u8]>,
    /// What of the buffer is filled and not yet taken.
    unread: Range<usize>,
}

impl<S> BufReader<S> {
    /// Buffers what is read from `stream`, 4 KiB at most.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use embedded_io_async::{BufRead, Read, Write};
    /// # use netasync::io::*;
    /// let mut reader = BufReader::new(&b"hello, world"[..]);
    /// let mut word = [0; 5];
    /// reader.read_exact(&mut word).await.unwrap();
    /// assert_eq!((&word, reader.buffered()), (b"hello", 7));
    /// # Ok(()) });
    /// ```
    pub fn new(stream: S) -> Self {
        BufReader { stream, buffer: Box::default(), unread: 0..0 }
    }

    /// The stream beneath.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let reader = io::BufReader::new(client);
    /// assert_eq!(reader.get_ref().peer_addr(), server.local_addr());
    /// # Ok(()) });
    /// ```
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream beneath, to write to it. What it is asked to read may have been read ahead.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use embedded_io_async::{BufRead, Read, Write};
    /// # use netasync::io::*;
    /// let mut reader = BufReader::new(client);
    /// reader.get_mut().write_all(b"question").await?;
    /// let mut question = [0; 8];
    /// server.read_exact(&mut question).await?;
    /// assert_eq!(&question, b"question");
    /// # Ok(()) });
    /// ```
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Bytes read ahead and not yet taken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use embedded_io_async::{BufRead, Read, Write};
    /// # use netasync::io::*;
    /// let mut reader = BufReader::new(&b"hello"[..]);
    /// assert_eq!(reader.buffered(), 0);
    /// reader.fill_buf().await.unwrap();
    /// reader.consume(2);
    /// assert_eq!(reader.buffered(), 3);
    /// # Ok(()) });
    /// ```
    pub fn buffered(&self) -> usize {
        self.unread.len()
    }

    /// The same bytes. Unlike [`fill_buf`](BufRead::fill_buf) it never reads.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use embedded_io_async::{BufRead, Read, Write};
    /// # use netasync::io::*;
    /// let mut reader = BufReader::new(&b"hello"[..]);
    /// assert_eq!(reader.buffer(), b"");
    /// reader.fill_buf().await.unwrap();
    /// assert_eq!(reader.buffer(), b"hello");
    /// # Ok(()) });
    /// ```
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// Takes memory when something is to be read, and more of it once the first piece was too small.
    /// Nothing is unread.
    fn make_room(&mut self) {
        let len = match self.buffer.len() {
            0 => FIRST_LEN,
            len if self.unread.end == len => BUFFER_LEN,
            len => len,
        };
        if len > self.buffer.len() {
            self.buffer = vec![0; len].into_boxed_slice();
        }
    }
}

impl<S: ErrorType> ErrorType for BufReader<S> {
    type Error = S::Error;
}

impl<S: Read> Read for BufReader<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        if self.unread.is_empty() && buffer.len() >= BUFFER_LEN {
            return self.stream.read(buffer).await;
        }
        let unread = self.fill_buf().await?;
        let len = unread.len().min(buffer.len());
        buffer[..len].copy_from_slice(&unread[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<S: Read> BufRead for BufReader<S> {
    async fn fill_buf(&mut self) -> Result<&[u8], S::Error> {
        if self.unread.is_empty() {
            self.make_room();
            let len = self.stream.read(&mut self.buffer).await?;
            self.unread = 0..len;
        }
        Ok(self.buffer())
    }

    /// # Panics
    /// If `len` is more than [`fill_buf`](BufRead::fill_buf) has shown.
    fn consume(&mut self, len: usize) {
        assert!(len <= self.unread.len(), "more is consumed than was read");
        self.unread.start += len;
    }
}

/// Writing goes through, as if there were no buffer.
impl<S: Write> Write for BufReader<S> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, S::Error> {
        self.stream.write(data).await
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.stream.flush().await
    }
}

/// Gathers small writes. What has not been [flushed](Write::flush) is lost when it is dropped.
///
/// ```no_run
/// # use netasync::{TcpStream, io::BufWriter};
/// use embedded_io_async::Write;
/// # async fn example() -> axerrno::AxResult<()> {
/// let mut writer = BufWriter::new(TcpStream::connect("10.0.2.2:7").await?);
/// for number in 0..100_u8 {
///     writer.write_all(&[number]).await?;
/// }
/// writer.flush().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BufWriter<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S> BufWriter<S> {
    /// Buffers what is written to `stream`, 4 KiB at most.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use embedded_io_async::Write;
    /// # let (client, server) = world::pair().await?;
    /// let mut writer = io::BufWriter::new(client);
    /// writer.write_all(b"hello, ").await?;
    /// writer.write_all(b"world").await?;
    /// writer.flush().await?;
    /// let mut buffer = [0; 100];
    /// assert_eq!(server.read(&mut buffer).await?, b"hello, world".len());
    /// # Ok(()) });
    /// ```
    pub fn new(stream: S) -> Self {
        BufWriter { stream, buffer: Vec::new() }
    }

    /// The stream beneath.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let writer = io::BufWriter::new(client);
    /// assert_eq!(writer.get_ref().peer_addr(), server.local_addr());
    /// # Ok(()) });
    /// ```
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Takes all of `data`, if the buffer has room for it: a write that never waits. Returns whether it
    /// has; if not, it has taken nothing.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let mut writer = io::BufWriter::new(client);
    /// assert!(writer.try_buffer(&[1; 4000]));
    /// assert!(!writer.try_buffer(&[2; 100]));
    /// # Ok(()) });
    /// ```
    pub fn try_buffer(&mut self, data: &[u8]) -> bool {
        let has_room = data.len() <= BUFFER_LEN - self.buffer.len();
        if has_room {
            if self.buffer.capacity() == 0 {
                self.buffer.reserve_exact(BUFFER_LEN);
            }
            self.buffer.extend_from_slice(data);
        }
        has_room
    }
}

impl<S: Write> BufWriter<S> {
    /// Sends the buffer on. A future dropped midway keeps what has not been sent.
    async fn drain(&mut self) -> Result<(), S::Error> {
        while !self.buffer.is_empty() {
            let len = self.stream.write(&self.buffer).await?;
            self.buffer.drain(..len);
        }
        Ok(())
    }
}

impl<S: ErrorType> ErrorType for BufWriter<S> {
    type Error = S::Error;
}

impl<S: Write> Write for BufWriter<S> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, S::Error> {
        if data.len() < BUFFER_LEN && self.try_buffer(data) {
            return Ok(data.len());
        }
        self.drain().await?;
        if data.len() >= BUFFER_LEN {
            return self.stream.write(data).await;
        }
        let is_taken = self.try_buffer(data);
        debug_assert!(is_taken, "the buffer is empty");
        Ok(data.len())
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.drain().await?;
        self.stream.flush().await
    }
}

/// What has been written is sent first: the peer may be waiting for it before it answers.
impl<S: Read + Write> Read for BufWriter<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        self.drain().await?;
        self.stream.read(buffer).await
    }
}

/// Gathers small writes, and reads ahead: a [`BufReader`] and a [`BufWriter`] that know of each
/// other.
///
/// What has been written is on its way when it has been flushed, or when a read has to wait: a peer
/// that waits for an answer gets it, and answers to several requests that came together go
/// together.
///
/// ```no_run
/// # use netasync::{TcpStream, io::BufStream};
/// use embedded_io_async::{Read, Write};
/// # async fn example() -> axerrno::AxResult<()> {
/// let mut stream = BufStream::new(TcpStream::connect("10.0.2.2:7").await?);
/// stream.write_all(b"ping").await?;
/// let mut answer = [0; 4];
/// stream.read(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BufStream<S>(BufReader<BufWriter<S>>);

impl<S> BufStream<S> {
    /// Buffers `stream`, 4 KiB each way.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use embedded_io_async::{BufRead, Read, Write};
    /// # use netasync::io::*;
    /// let mut stream = BufStream::new(client);
    /// server.write_all(b"pong").await?;
    /// // What has been written is sent before a read waits.
    /// stream.write_all(b"ping").await?;
    /// stream.read_exact(&mut [0; 4]).await.unwrap();
    /// assert_eq!(server.read(&mut [0; 10]).await?, 4);
    /// # Ok(()) });
    /// ```
    pub fn new(stream: S) -> Self {
        BufStream(BufReader::new(BufWriter::new(stream)))
    }

    /// The stream beneath.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let stream = io::BufStream::new(client);
    /// stream.get_ref().set_nodelay(true);
    /// assert!(stream.get_ref().nodelay());
    /// # Ok(()) });
    /// ```
    pub fn get_ref(&self) -> &S {
        self.0.get_ref().get_ref()
    }

    /// Bytes read ahead and not yet taken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use embedded_io_async::{BufRead, Read, Write};
    /// # use netasync::io::*;
    /// let mut stream = BufStream::new(client);
    /// server.write_all(b"GET / HTTP/1.1").await?;
    /// stream.read_exact(&mut [0; 3]).await.unwrap();
    /// assert_eq!(stream.buffered(), 11);
    /// # Ok(()) });
    /// ```
    pub fn buffered(&self) -> usize {
        self.0.buffered()
    }

    /// As [`BufReader::buffer`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use embedded_io_async::{BufRead, Read, Write};
    /// let mut stream = io::BufStream::new(client);
    /// server.write_all(b"pong").await?;
    /// stream.fill_buf().await.unwrap();
    /// assert_eq!(stream.buffer(), b"pong");
    /// # Ok(()) });
    /// ```
    pub fn buffer(&self) -> &[u8] {
        self.0.buffer()
    }

    /// Gives the memory of buffers back in which nothing is. They take it again when they need it.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use embedded_io_async::{Read, Write};
    /// let mut stream = io::BufStream::new(client);
    /// stream.write_all(b"ping").await?;
    /// stream.flush().await?;
    /// stream.shrink();
    /// server.write_all(b"pong").await?;
    /// stream.read_exact(&mut [0; 4]).await.unwrap();
    /// # Ok(()) });
    /// ```
    pub fn shrink(&mut self) {
        let BufStream(reader) = self;
        if reader.buffered() == 0 {
            reader.buffer = Box::default();
            reader.unread = 0..0;
        }
        let writer = reader.get_mut();
        if writer.buffer.is_empty() {
            writer.buffer = Vec::new();
        }
    }

    /// As [`BufWriter::try_buffer`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use embedded_io_async::Write;
    /// let mut stream = io::BufStream::new(client);
    /// assert!(stream.try_buffer(b"HTTP/1.1 ") && stream.try_buffer(b"200 OK\r\n"));
    /// stream.flush().await?;
    /// assert_eq!(server.read(&mut [0; 100]).await?, 17);
    /// # Ok(()) });
    /// ```
    pub fn try_buffer(&mut self, data: &[u8]) -> bool {
        self.0.get_mut().try_buffer(data)
    }
}

impl<S: ErrorType> ErrorType for BufStream<S> {
    type Error = S::Error;
}

impl<S: Read + Write> Read for BufStream<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        self.0.read(buffer).await
    }
}

impl<S: Read + Write> BufRead for BufStream<S> {
    async fn fill_buf(&mut self) -> Result<&[u8], S::Error> {
        self.0.fill_buf().await
    }

    fn consume(&mut self, len: usize) {
        self.0.consume(len);
    }
}

impl<S: Write> Write for BufStream<S> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, S::Error> {
        self.0.write(data).await
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.0.flush().await
    }
}
