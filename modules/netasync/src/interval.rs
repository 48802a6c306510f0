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
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Sleep,
}

impl Interval {
    /// Waits for the next tick, and tells when it was due. Dropping the future loses no tick.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        self.next.poll_unpin(cx).map(|()| {
            let due = self.next.deadline();
            self.next = sleep_until(due + self.period);
            due
        })
    }
}

impl futures_util::Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}
