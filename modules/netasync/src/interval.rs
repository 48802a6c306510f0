//! What is to be done again and again.

use core::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use netstack::Instant;

use crate::{
    runtime::Handle,
    timer::{Sleep, sleep_until},
};

/// Ticks now, and then every `period`.
///
/// Ticks that nobody has awaited in time come at once, one after the other, so that there are as
/// many as there were periods.
///
/// ```no_run
/// # use core::time::Duration;
/// # async fn example() {
/// let mut interval = netasync::interval(Duration::from_secs(1));
/// loop {
///     interval.tick().await;
///     println!("another second");
/// }
/// # }
/// ```
///
/// # Panics
/// Outside of a runtime; if `period` is zero.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval is zero");
    Interval { period, next: sleep_until(Handle::current().now()) }
}

/// Made by [`interval`].
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// use futures_util::StreamExt;
/// # use core::time::Duration;
/// let begun = Handle::current().now();
/// // As a stream, it has the combinators of streams.
/// let ticks: Vec<_> = interval(Duration::from_secs(2)).take(3).collect().await;
/// assert_eq!(ticks[2] - begun, Duration::from_secs(4));
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Sleep,
}

impl Interval {
    /// Waits for the next tick, and tells when it was due. Dropping the future loses no tick.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use core::time::Duration;
    /// let mut interval = interval(Duration::from_secs(1));
    /// let first = interval.tick().await;
    /// let second = interval.tick().await;
    /// assert_eq!(second - first, Duration::from_secs(1));
    /// # Ok(()) });
    /// ```
    pub async fn tick(&mut self) -> Instant {
        let tick = Tick(self);
        poll_fn(|cx| tick.0.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        self.next.poll_unpin(cx).map(|()| {
            let due = self.next.deadline();
            self.next = sleep_until(due + self.period);
            due
        })
    }
}

/// Dropping it takes the timer away, but not the tick.
struct Tick<'a>(&'a mut Interval);

impl Drop for Tick<'_> {
    fn drop(&mut self) {
        self.0.next.give_up();
    }
}

impl futures_util::Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}
