//! Connecting to whichever address of a host answers first: Happy Eyeballs (RFC 8305).

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use futures_util::stream::{FuturesUnordered, StreamExt};
use netstack::{Lookup, Want};

use crate::{
    addr::{Target, ToSocketAddrs},
    error::ax,
    reactor::{Source, Wait},
    runtime::Handle,
    timer::{Sleep, sleep},
};

/// From the start of one attempt to the start of the next ("Connection Attempt Delay", section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long IPv4 waits for the addresses of IPv6 ("Resolution Delay", section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Makes an attempt with each address that is named, one a little after the other or as soon as
/// the one before has failed. The first that succeeds counts; the others are dropped.
///
/// # Errors
/// Those of [`lookup_host`](crate::lookup_host); that of the last attempt.
pub(crate) async fn race<T, F: Future<Output = AxResult<T>>>(
    named: impl ToSocketAddrs,
    attempt: impl Fn(SocketAddr) -> F,
) -> AxResult<T> {
    let candidates = match named.to_target()? {
        Target::Address(address) => return attempt(address).await,
        Target::Addresses(addresses) => Candidates::listed(addresses),
        Target::Host(host, port) => Candidates::of_host(host, port),
    };
    let mut race = Race {
        candidates,
        attempt,
        running: FuturesUnordered::new(),
        pause: None,
        error: AxError::InvalidInput,
    };
    poll_fn(|cx| race.poll(cx)).await
}

struct Race<A, F> {
    candidates: Candidates,
    attempt: A,
    running: FuturesUnordered<F>,
    /// Until the next attempt.
    pause: Option<Pin<Box<Sleep>>>,
    /// Of the last attempt that failed.
    error: AxError,
}

impl<T, A: Fn(SocketAddr) -> F, F: Future<Output = AxResult<T>>> Race<A, F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<AxResult<T>> {
        self.candidates.look_up(cx);
        loop {
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(output))) => return Poll::Ready(Ok(output)),
                Poll::Ready(Some(Err(error))) => {
                    // The next one need not wait.
                    (self.error, self.pause) = (error, None);
                    continue;
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            if self.is_pausing(cx) {
                return Poll::Pending;
            }
            match self.candidates.next() {
                Next::Address(address) => {
                    self.running.push((self.attempt)(address));
                    self.pause = Some(Box::pin(sleep(ATTEMPT_DELAY)));
                }
                Next::After(delay) => self.pause = Some(Box::pin(sleep(delay))),
                Next::End if self.running.is_empty() => return Poll::Ready(Err(self.complaint())),
                Next::Unknown | Next::End => return Poll::Pending,
            }
        }
    }

    fn is_pausing(&mut self, cx: &mut Context<'_>) -> bool {
        // When both kinds of addresses are known, IPv4 has nothing to wait for.
        if self.running.is_empty() && self.candidates.lookups.iter().all(Option::is_none) {
            self.pause = None;
        }
        self.pause.as_mut().is_some_and(|pause| pause.as_mut().poll(cx).is_pending())
    }

    fn complaint(&self) -> AxError {
        self.candidates.error.unwrap_or(self.error)
    }
}

/// Addresses to try, those of IPv6 and IPv4 by turns.
struct Candidates {
    port: u16,
    /// IPv6, IPv4; a list that was given is in the first as it is.
    queues: [VecDeque<SocketAddr>; 2],
    lookups: [Option<(Lookup, Wait)>; 2],
    /// Whose turn it is.
    turn: usize,
    has_waited: bool,
    /// Why there are no addresses, as long as there are none.
    error: Option<AxError>,
}

enum Next {
    Address(SocketAddr),
    /// There is one, but a better one may come.
    After(Duration),
    /// There may be one later.
    Unknown,
    End,
}

impl Candidates {
    fn listed(addresses: &[SocketAddr]) -> Self {
        Candidates {
            port: 0,
            queues: [addresses.iter().copied().collect(), VecDeque::new()],
            lookups: [None, None],
            turn: 0,
            has_waited: false,
            error: None,
        }
    }

    fn of_host(host: &str, port: u16) -> Self {
        let mut candidates = Candidates { port, ..Self::listed(&[]) };
        let stack = Handle::current().stack().clone();
        for (kind, want) in [Want::Ipv6, Want::Ipv4].into_iter().enumerate() {
            match ax(stack.resolve(host, want)) {
                Ok(lookup) => candidates.lookups[kind] = Some((lookup, Wait::default())),
                Err(error) => candidates.complain(error),
            }
        }
        candidates
    }

    fn look_up(&mut self, cx: &mut Context<'_>) {
        for kind in 0..self.lookups.len() {
            let Some((lookup, wait)) = &mut self.lookups[kind] else {
                continue;
            };
            if let Poll::Ready(result) = wait.poll(cx, Source::Name(lookup), || lookup.try_result())
            {
                self.lookups[kind] = None;
                self.add(kind, result);
            }
        }
    }

    fn add(&mut self, kind: usize, found: AxResult<Vec<IpAddr>>) {
        match found {
            Ok(addresses) => {
                let port = self.port;
                self.queues[kind].extend(addresses.iter().map(|ip| SocketAddr::new(*ip, port)));
            }
            Err(error) => self.complain(error),
        }
    }

    /// Keeps what says most: of most hosts one kind of address is not found.
    fn complain(&mut self, error: AxError) {
        if matches!(self.error, None | Some(AxError::NotFound)) {
            self.error = Some(error);
        }
    }

    fn next(&mut self) -> Next {
        let other = 1 - self.turn;
        if let Some(address) = self.queues[self.turn].pop_front() {
            self.turn = other;
            return self.found(address);
        }
        // Only the first attempt waits for the kind whose turn it is.
        let is_awaited = self.lookups[self.turn].is_some() && !self.has_waited;
        match self.queues[other].front() {
            Some(_) if is_awaited => {
                self.has_waited = true;
                Next::After(RESOLUTION_DELAY)
            }
            Some(&address) => {
                self.queues[other].pop_front();
                self.found(address)
            }
            None if self.lookups.iter().any(Option::is_some) => Next::Unknown,
            None => Next::End,
        }
    }

    fn found(&mut self, address: SocketAddr) -> Next {
        (self.has_waited, self.error) = (true, None);
        Next::Address(address)
    }
}
