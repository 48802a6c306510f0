//! Counts how often tasks are polled.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// A host's count of polls. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Polls so far.
    pub fn polls(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A future that counts how often it is polled. Tasks that a task spawns need it, too.
    pub fn watch<F: Future>(&self, future: F) -> Watched<F> {
        Watched { meter: self.clone(), future: Box::pin(future) }
    }
}

/// See [`Meter::watch`].
#[derive(Debug)]
pub struct Watched<F> {
    meter: Meter,
    /// Boxed: without unsafe code a field cannot be pinned in place.
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.0.fetch_add(1, Ordering::Relaxed);
        self.future.as_mut().poll(cx)
    }
}
