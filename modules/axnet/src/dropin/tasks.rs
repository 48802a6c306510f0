//! Parking of the tasks that use sockets, on any CPU.

use alloc::{sync::Arc, task::Wake};
use core::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use axtask::WeakAxTaskRef;
use kernel_guard::NoPreempt;
use netasync::JoinHandle;
use netstack::{Instant, Stack};
use qemu_x86_64::clock;

use super::{idle, poller};
use crate::blocking::{Expired, System};

/// The kernel, as blocking sockets see it. Public, because their type is an alias that names it.
#[doc(hidden)]
#[derive(Debug)]
pub struct ArceOs;

impl System for ArceOs {
    type Unpreempted = NoPreempt;

    fn stack() -> AxResult<Stack> {
        let network = poller::network().ok_or(AxError::NoSuchDevice)?;
        Ok(network.stack().clone())
    }

    fn now() -> Instant {
        Instant::from_micros(clock::now_nanos() / 1000)
    }

    fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        let mut alarm = None;
        axtask::future::block_on(poll_fn(|cx| {
            // The same for all of the call, so made once.
            let Alarm { waker, .. } =
                alarm.get_or_insert_with(|| Alarm::new(cx.waker().clone(), deadline));
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(Ok(output));
            }
            match deadline.is_some_and(|deadline| deadline <= Self::now()) {
                true => Poll::Ready(Err(Expired)),
                false => Poll::Pending,
            }
        }))
    }

    fn yield_now() {
        axtask::yield_now();
    }

    fn hold_off_preemption() -> NoPreempt {
        NoPreempt::new()
    }
}

/// What wakes the task that is parked; also, if there is one, when its deadline comes.
struct Alarm {
    waker: Waker,
    timer: Option<JoinHandle<()>>,
}

impl Alarm {
    fn new(task: Waker, deadline: Option<Instant>) -> Self {
        let waker = match axhal::cpu_num() {
            1 => task,
            _ => Waker::from(Arc::new(TaskWaker::new(task))),
        };
        let timer = deadline.and_then(|deadline| set_timer(deadline, waker.clone()));
        Alarm { waker, timer }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            let _unpreempted = NoPreempt::new();
            timer.abort();
            drop(timer);
        }
    }
}

/// By the stack's clock, not by the kernel's, which is off by half and moves in steps of 10 ms.
fn set_timer(deadline: Instant, waker: Waker) -> Option<JoinHandle<()>> {
    let left = deadline.micros().saturating_sub(ArceOs::now().micros());
    let network = poller::network()?;
    let timer = {
        let _unpreempted = NoPreempt::new();
        network.spawn(async move {
            netasync::sleep(Duration::from_micros(left)).await;
            waker.wake();
        })
    };
    poller::wake();
    Some(timer)
}

/// Wakes a task wherever it will run. The kernel by itself leaves a halted CPU to its next tick.
struct TaskWaker {
    /// Weak: the kernel's collector of ended tasks waits, busily, for whoever else holds one.
    task: WeakAxTaskRef,
    waker: Waker,
}

impl TaskWaker {
    fn new(waker: Waker) -> Self {
        TaskWaker { task: Arc::downgrade(&axtask::current().clone()), waker }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.waker.wake_by_ref();
        if let Some(task) = self.task.upgrade() {
            idle::kick(task.cpu_id() as usize);
        }
    }
}
