//! Readiness: a non-blocking call becomes a future.

use core::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use axerrno::{AxError, AxResult};

use crate::error::{ToAxError, ax};

/// Polls `attempt`; if it would block, registers the task and looks again, because the event may
/// have come in between.
pub(crate) fn poll_io<T, E: ToAxError>(
    cx: &mut Context<'_>,
    mut attempt: impl FnMut() -> Result<T, E>,
    register: impl FnOnce(&Waker),
) -> Poll<AxResult<T>> {
    match ax(attempt()) {
        Err(AxError::WouldBlock) => register(cx.waker()),
        result => return Poll::Ready(result),
    }
    match ax(attempt()) {
        Err(AxError::WouldBlock) => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// The same as a future.
pub(crate) async fn ready_io<T, E: ToAxError>(
    mut attempt: impl FnMut() -> Result<T, E>,
    register: impl Fn(&Waker),
) -> AxResult<T> {
    poll_fn(|cx| poll_io(cx, &mut attempt, &register)).await
}
