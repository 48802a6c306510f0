//! Who does what a reactor is asked for.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    task::Wake,
    vec::Vec,
};
use core::{
    fmt, mem,
    task::{Context, Poll, Waker},
};

use super::{
    operation::{Completion, IoOperation},
    readiness::Wait,
};
use crate::{
    TcpStream,
    sync::{AtomicBool, Mutex, Ordering},
};

/// Names a request for as long as it is under way.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # let (client, server) = world::pair().await?;
/// # use std::sync::Arc;
/// # let client = Arc::new(client);
/// # let mut reactor = IoReactor::new(8);
/// let buffer = vec![0; 100];
/// let read = reactor.submit(IoOperation::Read { stream: client.clone(), buffer })?;
/// let write = reactor.submit(IoOperation::Write { stream: client, buffer: vec![7; 100] })?;
/// assert!(read < write, "later ones are greater");
/// # Ok(()) });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Carries operations out. An [`IoReactor`](super::IoReactor) gives each a number of its own.
///
/// ```
/// use core::task::{Context, Poll};
/// use netasync::{AsyncIoBackend, Completion, IoOperation, Outcome, RequestId};
///
/// /// All that is to be written is taken, and goes nowhere.
/// #[derive(Default)]
/// struct Discard(Vec<(RequestId, Completion)>);
///
/// impl AsyncIoBackend for Discard {
///     fn submit(&mut self, id: RequestId, operation: IoOperation) {
///         let IoOperation::Write { buffer, .. } = operation else { return };
///         let result = Ok(Outcome::Transferred(buffer.len()));
///         self.0.push((id, Completion { result, buffer }));
///     }
///
///     fn poll(&mut self) -> Vec<(RequestId, Completion)> {
///         std::mem::take(&mut self.0)
///     }
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
///         if self.0.is_empty() { Poll::Pending } else { Poll::Ready(()) }
///     }
///
///     fn cancel(&mut self, _: RequestId) -> Option<Vec<u8>> {
///         None
///     }
/// }
/// ```
pub trait AsyncIoBackend {
    /// Takes an operation on. It may be under way at once or begin with the next
    /// [`poll`](Self::poll).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// # let mut backend = SocketBackend::default();
    /// let id = RequestId(0);
    /// backend.submit(id, IoOperation::Write { stream: client, buffer: vec![7; 100] });
    /// assert_eq!(backend.poll()[0].0, id);
    /// # Ok(()) });
    /// ```
    fn submit(&mut self, id: RequestId, operation: IoOperation);

    /// What has ended since it was asked last; never waits.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// # let mut backend = SocketBackend::default();
    /// assert!(backend.poll().is_empty());
    /// backend.submit(RequestId(0), IoOperation::Write { stream: client, buffer: vec![7; 100] });
    /// let (_, completion) = backend.poll().remove(0);
    /// assert_eq!(completion.buffer.len(), 100);
    /// # Ok(()) });
    /// ```
    fn poll(&mut self) -> Vec<(RequestId, Completion)>;

    /// Whether [`poll`](Self::poll) has something; if not, the task is woken when it has.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// # let mut backend = SocketBackend::default();
    /// # use core::future::poll_fn;
    /// backend.submit(RequestId(0), IoOperation::Read { stream: client, buffer: vec![0; 100] });
    /// server.write_all(b"hello").await?;
    /// poll_fn(|cx| backend.poll_ready(cx)).await;
    /// assert_eq!(backend.poll()[0].1.buffer[..5], *b"hello");
    /// # Ok(()) });
    /// ```
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The task that [`poll_ready`](Self::poll_ready) is to wake waits no longer.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # use std::{sync::{Arc, atomic::*}, task::{Context, Wake, Waker}};
    /// # struct Bell(AtomicBool);
    /// # impl Wake for Bell { fn wake(self: Arc<Self>) { self.0.store(true, Ordering::Relaxed) } }
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # let client = Arc::new(client);
    /// # let mut backend = SocketBackend::default();
    /// # let bell = Arc::new(Bell(AtomicBool::new(false)));
    /// # let waker = Waker::from(bell.clone());
    /// backend.submit(RequestId(0), IoOperation::Read { stream: client, buffer: vec![0; 100] });
    /// assert!(backend.poll_ready(&mut Context::from_waker(&waker)).is_pending());
    /// backend.stop_waiting();
    /// server.write_all(b"hello").await?;
    /// sleep(core::time::Duration::from_secs(1)).await;
    /// assert!(!bell.0.load(Ordering::Relaxed), "nobody was woken");
    /// # Ok(()) });
    /// ```
    fn stop_waiting(&mut self) {}

    /// Ends a request and gives its buffer back. `None` if it has ended already: its completion
    /// has the buffer.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// # let mut backend = SocketBackend::default();
    /// backend.submit(RequestId(0), IoOperation::Read { stream: client, buffer: vec![0; 100] });
    /// assert_eq!(backend.cancel(RequestId(0)), Some(vec![0; 100]));
    /// assert_eq!(backend.cancel(RequestId(0)), None);
    /// # Ok(()) });
    /// ```
    fn cancel(&mut self, id: RequestId) -> Option<Vec<u8>>;
}

/// Carries operations out with this crate's sockets.
///
/// Only requests whose sockets have woken them are looked at, so that the cost of a completion does
/// not depend on how many requests wait.
///
/// ```no_run
/// use netasync::{IoReactor, SocketBackend};
/// // The same as `IoReactor::new(100)`.
/// let reactor = IoReactor::with_backend(SocketBackend::default(), 100);
/// ```
#[derive(Debug, Default)]
pub struct SocketBackend {
    waiting: BTreeMap<RequestId, Request>,
    ended: Vec<(RequestId, Completion)>,
    woken: Arc<Woken>,
}

#[derive(Debug)]
struct Request {
    operation: IoOperation,
    connecting: Option<TcpStream>,
    wait: Wait,
    wake: Arc<WakeRequest>,
}

impl Drop for Request {
    fn drop(&mut self) {
        // With a connection that is being made, its waker goes.
        if let Some(source) = self.operation.source() {
            self.wait.give_up(source);
        }
    }
}

impl AsyncIoBackend for SocketBackend {
    fn submit(&mut self, id: RequestId, operation: IoOperation) {
        let is_woken = AtomicBool::new(false);
        let wake = Arc::new(WakeRequest { id, is_woken, woken: self.woken.clone() });
        wake.wake_by_ref();
        let request = Request { operation, connecting: None, wait: Wait::default(), wake };
        self.waiting.insert(id, request);
    }

    fn poll(&mut self) -> Vec<(RequestId, Completion)> {
        self.advance();
        mem::take(&mut self.ended)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered first, so that nothing that is woken meanwhile is missed.
        self.woken.register(cx.waker());
        self.advance();
        match self.ended.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    fn stop_waiting(&mut self) {
        self.woken.deregister();
    }

    fn cancel(&mut self, id: RequestId) -> Option<Vec<u8>> {
        let mut request = self.waiting.remove(&id)?;
        let buffer = request.operation.take_buffer();
        drop(request);
        // After that: a connection that is dropped wakes who waits for it.
        self.woken.forget(id);
        Some(buffer)
    }
}

impl SocketBackend {
    /// Tries what has been woken, once each.
    fn advance(&mut self) {
        for id in self.woken.take() {
            self.attempt(id);
        }
    }

    fn attempt(&mut self, id: RequestId) {
        // It may have been cancelled.
        let Some(request) = self.waiting.get_mut(&id) else {
            return;
        };
        // Before the attempt: a wakeup that comes during it counts.
        request.wake.is_woken.store(false, Ordering::Release);
        let waker = Waker::from(request.wake.clone());
        let Request { operation, connecting, wait, .. } = request;
        let polled = operation.poll(&mut Context::from_waker(&waker), wait, connecting);
        if let Poll::Ready(result) = polled
            && let Some(mut request) = self.waiting.remove(&id)
        {
            let buffer = request.operation.take_buffer();
            self.ended.push((id, Completion { result, buffer }));
        }
    }
}

/// The requests that are worth another attempt, and the task that waits for one.
#[derive(Default)]
pub(crate) struct Woken(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    requests: BTreeSet<RequestId>,
    task: Option<Waker>,
}

impl Woken {
    pub(crate) fn register(&self, waker: &Waker) {
        // The old one is dropped after the lock is let go.
        let _old = self.0.lock().task.replace(waker.clone());
    }

    fn deregister(&self) {
        // As above.
        let _old = self.0.lock().task.take();
    }

    fn push(&self, id: RequestId) {
        let task = {
            let mut queue = self.0.lock();
            queue.requests.insert(id);
            queue.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    pub(crate) fn take(&self) -> BTreeSet<RequestId> {
        mem::take(&mut self.0.lock().requests)
    }

    fn forget(&self, id: RequestId) {
        self.0.lock().requests.remove(&id);
    }
}

impl fmt::Debug for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Woken").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct WakeRequest {
    id: RequestId,
    /// Whether it is in the queue: it is there once at most.
    is_woken: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for WakeRequest {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.woken.push(self.id);
        }
    }
}

/// What the model of it needs.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use super::*;

    pub(crate) use super::Woken;

    /// Wakes a request twice, which counts once.
    pub(crate) fn wake(woken: &Arc<Woken>, id: u64) {
        let is_woken = AtomicBool::new(false);
        let wake = WakeRequest { id: RequestId(id), is_woken, woken: woken.clone() };
        let waker = Waker::from(Arc::new(wake));
        waker.wake_by_ref();
        waker.wake();
    }
}
