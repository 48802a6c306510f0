//! The task that polls the stack, and what wakes it.

use alloc::{sync::Arc, task::Wake};
use core::{
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Poll, Waker},
};

use axhal::percpu::this_cpu_id;
use axtask::{AxCpuMask, TaskInner};
use futures_util::task::AtomicWaker;
use kernel_guard::{BaseGuard, NoPreempt};
use netasync::{Handle, Machine};
use netstack::Instant;
use qemu_x86_64::clock;
use spin::Once;

use super::{bench::Card, idle, tick};
use crate::{irq, runtime};

/// As much as the boot stack, on which the poller runs under `axnet::run`.
const STACK_LEN: usize = 0x8_0000;

/// Nothing inside if there is no card.
static NETWORK: Once<Option<Handle>> = Once::new();

/// The CPU of the poller, which the card interrupts.
static HOME_CPU: AtomicUsize = AtomicUsize::new(0);
/// Wakes the poller.
static WAKER: AtomicWaker = AtomicWaker::new();
/// Somebody has something for the poller to do.
static NOTIFIED: AtomicBool = AtomicBool::new(false);
/// The poller is blocked, or about to be.
static ASLEEP: AtomicBool = AtomicBool::new(false);

/// Starts the poller on the calling CPU; it runs when the caller first waits for something.
pub(super) fn spawn() {
    HOME_CPU.store(this_cpu_id(), Ordering::Relaxed);
    let task = TaskInner::new(run, "axnet".into(), STACK_LEN);
    task.set_cpumask(AxCpuMask::one_shot(this_cpu_id()));
    axtask::spawn_task(task);
}

/// The CPU of the poller.
pub(super) fn home_cpu() -> usize {
    HOME_CPU.load(Ordering::Relaxed)
}

/// The network, once it has been looked for; nothing if there is no card.
pub(super) fn network() -> Option<&'static Handle> {
    loop {
        match NETWORK.get() {
            Some(network) => return network.as_ref(),
            None => axtask::yield_now(),
        }
    }
}

/// Has the poller look at its stack, from any CPU or an interrupt.
pub(crate) fn wake() {
    NOTIFIED.store(true, Ordering::SeqCst);
    if ASLEEP.swap(false, Ordering::SeqCst) {
        WAKER.wake();
        idle::kick(home_cpu());
    }
}

fn run() {
    idle::init();
    // The stack's lock must not be held by a task that is not running: those that want it spin. So
    // the poller is preempted only where it sleeps.
    NoPreempt::acquire();
    let Some(mut runner) = runtime::new_runner(|_| ThisTask, Card::new) else {
        NETWORK.call_once(|| None);
        return NoPreempt::release(());
    };
    tick::take_over();
    let handle = runner.handle().clone();
    handle.stack().set_poller(&Waker::from(Arc::new(PollerWaker)));
    NETWORK.call_once(|| Some(handle));
    runner.block_on(runtime::announce_network());
}

/// What the stack wakes when a call has given it something to do.
struct PollerWaker;

impl Wake for PollerWaker {
    fn wake(self: Arc<Self>) {
        wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        wake();
    }
}

/// The poller's task as the machine that the runtime runs on.
struct ThisTask;

impl Machine for ThisTask {
    fn now(&self) -> Instant {
        Instant::from_micros(clock::now_nanos() / 1000)
    }

    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool) {
        let deadline_nanos = deadline.map(|deadline| deadline.micros().saturating_mul(1000));
        tick::set_deadline(deadline_nanos);
        NoPreempt::release(());
        axtask::future::block_on(poll_fn(|cx| {
            WAKER.register(cx.waker());
            // Before the check: whoever notifies after it finds the poller asleep.
            ASLEEP.store(true, Ordering::SeqCst);
            let is_due = deadline_nanos.is_some_and(|deadline| deadline <= clock::now_nanos());
            match NOTIFIED.swap(false, Ordering::SeqCst) || irq::pending() || ready() || is_due {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        ASLEEP.store(false, Ordering::SeqCst);
        NoPreempt::acquire();
        tick::set_deadline(None);
        irq::take_interrupt();
    }
}
