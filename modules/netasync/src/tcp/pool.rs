//! Connections that clients use again.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt, ops::Deref, time::Duration};

use axerrno::AxResult;
use netstack::Instant;

use super::TcpStream;
use crate::{
    addr::ToSocketAddrs,
    condition::Condition,
    runtime::Handle,
    sync::{Mutex, current},
};

/// How long a connection is kept that nobody uses. Many servers close theirs after a minute; a
/// request that crosses that is lost.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Connections to one server, which are used one request after the other.
///
/// ```no_run
/// # use netasync::Pool;
/// # async fn example() -> axerrno::AxResult<()> {
/// let pool = Pool::new("server.example:80", 8);
/// let connection = pool.get().await?;
/// connection.write_all(b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n").await?;
/// // Read all of the answer; then the next request may use the connection.
/// drop(connection);
/// # Ok(())
/// # }
/// ```
pub struct Pool<A> {
    address: A,
    /// How many more may be taken into use.
    free: Arc<Condition<usize>>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

struct Idle {
    stream: TcpStream,
    since: Instant,
}

impl<A: ToSocketAddrs> Pool<A> {
    /// A pool of at most `limit` connections to `address`; none is made yet.
    ///
    /// ```
    /// # use netasync::Pool;
    /// let pool = Pool::new("server.example:80", 8);
    /// assert_eq!(pool.idle(), 0);
    /// ```
    pub fn new(address: A, limit: usize) -> Self {
        Pool { address, free: Arc::new(Condition::new(limit)), idle: Arc::default() }
    }

    /// A connection that is not in use, or a new one; waits while all are in use.
    ///
    /// It is in the state in which its last user left it, but neither broken nor closed, as far as
    /// is known here: the server may just be closing it. Repeat a request that may be repeated.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let _listener = TcpListener::bind("127.0.0.1:80").await?;
    /// let pool = Pool::new("127.0.0.1:80", 8);
    /// let first = pool.get().await?.local_addr();
    /// // It was given back, and is used again.
    /// assert_eq!(pool.get().await?.local_addr(), first);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`TcpStream::connect`].
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn get(&self) -> AxResult<Pooled> {
        let take = |free: &mut usize| free.checked_sub(1).map(|left| *free = left);
        self.free.until(take).await;
        let permit = Permit(self.free.clone());
        let stream = match self.take_idle() {
            Some(stream) => stream,
            None => TcpStream::connect(&self.address).await?,
        };
        Ok(Pooled { stream: Some(stream), idle: self.idle.clone(), _permit: permit })
    }

    /// The connection that was used last; closes those on the way that cannot be used.
    fn take_idle(&self) -> Option<TcpStream> {
        loop {
            let Idle { stream, since } = self.idle.lock().pop()?;
            let age = Handle::current().now().saturating_since(since);
            if age < IDLE_MAX && stream.is_quiet() {
                return Some(stream);
            }
        }
    }

    /// Connections that nobody uses.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let _listener = TcpListener::bind("127.0.0.1:80").await?;
    /// let pool = Pool::new("127.0.0.1:80", 8);
    /// let connection = pool.get().await?;
    /// assert_eq!(pool.idle(), 0);
    /// drop(connection);
    /// assert_eq!(pool.idle(), 1);
    /// # Ok(()) });
    /// ```
    pub fn idle(&self) -> usize {
        self.idle.lock().len()
    }
}

impl<A> fmt::Debug for Pool<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A connection of a [`Pool`], which gets it back when this is dropped, unless it is broken or
/// closed, or there is something to read: the next user could not tell whose it is.
///
/// ```no_run
/// # async fn example(pool: netasync::Pool<&str>) -> axerrno::AxResult<()> {
/// let connection = pool.get().await?;
/// if connection.read(&mut [0; 1000]).await? == 1000 {
///     // There may be more, which must not be the next user's.
///     connection.discard();
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pooled {
    /// `None` only while it is being dropped.
    stream: Option<TcpStream>,
    idle: Arc<Mutex<Vec<Idle>>>,
    /// Let go after the stream is with the others.
    _permit: Permit,
}

impl Pooled {
    /// Closes the connection instead of giving it back: after half of an answer, say.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let _listener = TcpListener::bind("127.0.0.1:80").await?;
    /// let pool = Pool::new("127.0.0.1:80", 8);
    /// pool.get().await?.discard();
    /// assert_eq!(pool.idle(), 0);
    /// # Ok(()) });
    /// ```
    pub fn discard(mut self) {
        self.stream = None;
    }
}

impl Deref for Pooled {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        self.stream.as_ref().expect("taken when it is dropped only")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // With its runtime, a connection goes.
        if let Some(stream) = self.stream.take_if(|stream| stream.is_quiet())
            && let Some(handle) = current()
        {
            let since = handle.now();
            self.idle.lock().push(Idle { stream, since });
        }
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The right to use a connection. Idle ones need none: a connection is made only if none is idle,
/// so that both together are never more than the limit.
struct Permit(Arc<Condition<usize>>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.change(|free| *free += 1);
    }
}
