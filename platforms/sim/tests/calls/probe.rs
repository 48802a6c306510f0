//! Breaks one call off, at one of its waits.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use netasync::{JoinHandle, spawn};
use sim::Meter;

/// Watches the call under test. Clones watch together.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) tasks: Tasks,
    state: Arc<Mutex<State>>,
}

/// Which waker the call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wakers {
    /// That of its task, which other calls of the task have as well.
    OfTask,
    /// One for every call, so that it is seen who keeps it.
    Own,
}

#[derive(Debug)]
struct State {
    wakers: Wakers,
    is_faulty: bool,
    /// After how many waits the call is dropped.
    drop_after: Option<u64>,
    waits: u64,
    is_dropped: bool,
    /// Of calls that have ended or were dropped.
    own: Vec<Arc<OwnWaker>>,
    /// Who kept the dropped call's waker when it had been dropped.
    keepers: usize,
}

impl Probe {
    pub(crate) fn new(
        tasks: Tasks,
        wakers: Wakers,
        is_faulty: bool,
        drop_after: Option<u64>,
    ) -> Self {
        let own = Vec::new();
        let (waits, is_dropped, keepers) = (0, false, 0);
        let state = State { wakers, is_faulty, drop_after, waits, is_dropped, own, keepers };
        Probe { tasks, state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for the call under test; `None` if it was dropped.
    pub(crate) async fn attempt<F: Future>(&self, call: F) -> Option<F::Output> {
        let mut call = Box::pin(call);
        let own = Arc::new(OwnWaker::default());
        let output = std::future::poll_fn(|cx| {
            let waker = match self.lock().wakers {
                Wakers::OfTask => cx.waker().clone(),
                Wakers::Own => own.of(cx),
            };
            match call.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.lock().has_waited() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        drop(call);
        let mut state = self.lock();
        if output.is_none() {
            state.keepers = Arc::strong_count(&own) - 1;
        }
        state.own.push(own);
        output
    }

    /// Makes the call until it has ended.
    pub(crate) async fn again<T, F: Future<Output = T>>(&self, mut call: impl FnMut() -> F) -> T {
        loop {
            if let Some(output) = self.attempt(call()).await {
                return output;
            }
        }
    }

    /// Whether the network may lose datagrams, and double them.
    pub(crate) fn is_faulty(&self) -> bool {
        self.lock().is_faulty
    }

    /// How often the call has waited, in all that were made.
    pub(crate) fn waits(&self) -> u64 {
        self.lock().waits
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.lock().is_dropped
    }

    /// How many kept the waker of the dropped call when it had just been dropped.
    pub(crate) fn keepers(&self) -> usize {
        self.lock().keepers
    }

    /// How many keep wakers now, of all calls that were made.
    pub(crate) fn kept_wakers(&self) -> usize {
        self.lock().own.iter().map(|own| Arc::strong_count(own) - 1).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

impl State {
    /// Counts a wait; whether it is the one after which the call is dropped.
    fn has_waited(&mut self) -> bool {
        self.waits += 1;
        let is_over = self.drop_after == Some(self.waits);
        self.is_dropped |= is_over;
        is_over
    }
}

/// Wakes the task that polled the call last.
#[derive(Debug, Default)]
struct OwnWaker(Mutex<Option<Waker>>);

impl OwnWaker {
    fn of(self: &Arc<Self>, cx: &Context<'_>) -> Waker {
        *self.0.lock().expect("nobody panics while holding it") = Some(cx.waker().clone());
        self.clone().into()
    }
}

impl Wake for OwnWaker {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().expect("nobody panics while holding it").clone();
        task.expect("it was set before it was handed out").wake();
    }
}

/// Spawns tasks on one host, and counts those that have not ended.
#[derive(Clone)]
pub(crate) struct Tasks {
    meter: Meter,
    alive: Arc<AtomicUsize>,
}

impl Tasks {
    pub(crate) fn new(meter: Meter) -> Self {
        Tasks { meter, alive: Arc::default() }
    }

    /// As [`netasync::spawn`].
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let alive = Alive::new(&self.alive);
        spawn(self.meter.watch(async move {
            let _alive = alive;
            future.await
        }))
    }

    /// Tasks that have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Relaxed)
    }
}

struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
