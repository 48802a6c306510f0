//! Readiness: a non-blocking call becomes a future.

use alloc::vec::Vec;
use core::{
    future::poll_fn,
    mem,
    task::{Context, Poll, Waker},
};

use axerrno::{AxError, AxResult};
use netstack::{Interest, Lookup, Registration, Stack};

use crate::{
    error::{ToAxError, ax},
    sync::Mutex,
};

/// What a task waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    Stream(&'a netstack::TcpStream, Interest),
    Listener(&'a netstack::TcpListener),
    Datagrams(&'a netstack::UdpSocket, Interest),
    Echoes(&'a netstack::IcmpSocket, Interest),
    Packets(&'a netstack::RawSocket, Interest),
    Name(&'a Lookup),
    Config(&'a Stack),
}

impl Source<'_> {
    /// Enters a task. What reading would meet is known exactly; what is tried when there is room to
    /// write, or else, differs, and is to be tried again.
    fn register(self, waker: &Waker) -> Registered {
        let registration = match self {
            Source::Stream(stream, Interest::Read) => {
                return Registered::exactly(stream.register_unless_ready(Interest::Read, waker));
            }
            Source::Datagrams(socket, Interest::Read) => {
                return Registered::exactly(socket.register_unless_ready(Interest::Read, waker));
            }
            Source::Stream(stream, interest) => stream.register(interest, waker),
            Source::Listener(listener) => listener.register(waker),
            Source::Datagrams(socket, interest) => socket.register(interest, waker),
            Source::Echoes(socket, interest) => socket.register(interest, waker),
            Source::Packets(socket, interest) => socket.register(interest, waker),
            Source::Name(lookup) => lookup.register(waker),
            Source::Config(stack) => stack.register_config(waker),
        };
        Registered { registration: Some(registration), is_worth_trying: true }
    }

    fn deregister(self, registration: Registration) {
        match self {
            Source::Stream(stream, _) => stream.deregister(registration),
            Source::Listener(listener) => listener.deregister(registration),
            Source::Datagrams(socket, _) => socket.deregister(registration),
            Source::Echoes(socket, _) => socket.deregister(registration),
            Source::Packets(socket, _) => socket.deregister(registration),
            Source::Name(lookup) => lookup.deregister(registration),
            Source::Config(stack) => stack.deregister_config(registration),
        }
    }
}

/// What came of entering a task.
struct Registered {
    /// `None` if it was not, because its source is ready.
    registration: Option<Registration>,
    /// The event may have come before.
    is_worth_trying: bool,
}

impl Registered {
    fn exactly(registration: Option<Registration>) -> Self {
        Registered { is_worth_trying: registration.is_none(), registration }
    }
}

/// A task's place among those that wait for a source. Whoever keeps it beside the source gives it up
/// before it is dropped, unless the source goes, too.
#[derive(Debug, Default)]
pub(crate) struct Wait(Option<Registration>);

impl Wait {
    /// Polls `attempt`; if it would block, registers the task and looks again, because the event may
    /// have come in between.
    pub(crate) fn poll<T, E: ToAxError>(
        &mut self,
        cx: &mut Context<'_>,
        source: Source<'_>,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Poll<AxResult<T>> {
        let mut result = ax(attempt());
        // The one before may be of a waker that is out of date.
        self.give_up(source);
        if matches!(result, Err(AxError::WouldBlock)) {
            let Registered { registration, is_worth_trying } = source.register(cx.waker());
            self.0 = registration;
            if is_worth_trying {
                result = ax(attempt());
            }
        }
        if matches!(result, Err(AxError::WouldBlock)) {
            if self.0.is_none() {
                // Another task has taken what there was.
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        self.give_up(source);
        Poll::Ready(result)
    }

    pub(crate) fn give_up(&mut self, source: Source<'_>) {
        if let Some(registration) = self.0.take() {
            source.deregister(registration);
        }
    }
}

/// A place with its source. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    source: Source<'a>,
    wait: Wait,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(source: Source<'a>) -> Self {
        Waiting { source, wait: Wait::default() }
    }

    /// As [`Wait::poll`].
    pub(crate) fn poll<T, E: ToAxError>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut() -> Result<T, E>,
    ) -> Poll<AxResult<T>> {
        self.wait.poll(cx, self.source, attempt)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.wait.give_up(self.source);
    }
}

/// The same as a future.
pub(crate) async fn ready_io<T, E: ToAxError>(
    source: Source<'_>,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> AxResult<T> {
    let mut waiting = Waiting::new(source);
    poll_fn(|cx| waiting.poll(cx, &mut attempt)).await
}

/// Tasks that may wait by polling one source: a reader or a writer, or a few that share one.
const PLACES_MAX: usize = 8;

/// The places of tasks that wait by polling a source again and again, as the I/O traits have it:
/// nobody says when it has given up.
///
/// Each task has one. If there are too many, the oldest loses its place and is woken to poll again,
/// so that nobody is forgotten and no more wakers are kept.
#[derive(Debug, Default)]
pub(crate) struct PollPlace(Mutex<Vec<(Registration, Waker)>>);

impl PollPlace {
    /// As [`Wait::poll`].
    pub(crate) fn poll<T, E: ToAxError>(
        &self,
        cx: &mut Context<'_>,
        source: Source<'_>,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Poll<AxResult<T>> {
        let mut result = ax(attempt());
        let mut is_registered = false;
        if matches!(result, Err(AxError::WouldBlock)) {
            let Registered { registration, is_worth_trying } = source.register(cx.waker());
            is_registered = registration.is_some();
            let place = registration.map(|registration| (registration, cx.waker().clone()));
            leave(self.replace(cx.waker(), place), source, Some(cx.waker()));
            if is_worth_trying {
                result = ax(attempt());
            }
        }
        if matches!(result, Err(AxError::WouldBlock)) {
            if !is_registered {
                // Another task has taken what there was.
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        leave(self.replace(cx.waker(), None), source, Some(cx.waker()));
        Poll::Ready(result)
    }

    /// Takes a task's place away, or the oldest one if there is no room for another.
    fn replace(
        &self,
        waker: &Waker,
        place: Option<(Registration, Waker)>,
    ) -> Option<(Registration, Waker)> {
        let mut places = self.0.lock();
        let own = places.iter().position(|(_, known)| known.will_wake(waker));
        let is_full = place.is_some() && places.len() == PLACES_MAX;
        let old = own.or(is_full.then_some(0)).map(|index| places.remove(index));
        places.extend(place);
        old
    }

    /// Whoever has a place will not poll again, or must do so by itself.
    pub(crate) fn clear(&self, source: Source<'_>) {
        let places = mem::take(&mut *self.0.lock());
        places.into_iter().for_each(|place| leave(Some(place), source, None));
    }
}

/// Gives a place up, and wakes who has it if that is another task.
fn leave(place: Option<(Registration, Waker)>, source: Source<'_>, current: Option<&Waker>) {
    if let Some((registration, waker)) = place {
        source.deregister(registration);
        if !current.is_some_and(|current| waker.will_wake(current)) {
            waker.wake();
        }
    }
}
