//! Who does what a reactor is asked for.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::Wake,
    vec::Vec,
};
use core::{
    fmt, mem,
    task::{Context, Poll, Waker},
};

use super::operation::{Completion, IoOperation};
use crate::{
    TcpStream,
    sync::{AtomicBool, Mutex, Ordering},
};

/// Names a request for as long as it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Carries operations out. An [`IoReactor`](super::IoReactor) gives each a number of its own.
pub trait AsyncIoBackend {
    /// Takes an operation on. It may be under way at once or begin with the next
    /// [`poll`](Self::poll).
    fn submit(&mut self, id: RequestId, operation: IoOperation);

    /// What has ended since it was asked last; never waits.
    fn poll(&mut self) -> Vec<(RequestId, Completion)>;

    /// Whether [`poll`](Self::poll) has something; if not, the task is woken when it has.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends a request and gives its buffer back. `None` if it has ended already: its completion
    /// has the buffer.
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
    wake: Arc<WakeRequest>,
}

impl AsyncIoBackend for SocketBackend {
    fn submit(&mut self, id: RequestId, operation: IoOperation) {
        let is_woken = AtomicBool::new(false);
        let wake = Arc::new(WakeRequest { id, is_woken, woken: self.woken.clone() });
        wake.wake_by_ref();
        self.waiting.insert(id, Request { operation, connecting: None, wake });
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

    fn cancel(&mut self, id: RequestId) -> Option<Vec<u8>> {
        self.waiting.remove(&id).map(|request| request.operation.into_buffer())
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
        let Request { operation, connecting, .. } = request;
        if let Poll::Ready(result) = operation.poll(&mut Context::from_waker(&waker), connecting)
            && let Some(request) = self.waiting.remove(&id)
        {
            let buffer = request.operation.into_buffer();
            self.ended.push((id, Completion { result, buffer }));
        }
    }
}

/// The requests that are worth another attempt, and the task that waits for one.
#[derive(Default)]
pub(crate) struct Woken(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    requests: VecDeque<RequestId>,
    task: Option<Waker>,
}

impl Woken {
    pub(crate) fn register(&self, waker: &Waker) {
        // The old one is dropped after the lock is let go.
        let _old = self.0.lock().task.replace(waker.clone());
    }

    fn push(&self, id: RequestId) {
        let task = {
            let mut queue = self.0.lock();
            queue.requests.push_back(id);
            queue.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    pub(crate) fn take(&self) -> VecDeque<RequestId> {
        mem::take(&mut self.0.lock().requests)
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
