//! An interrupt ends the idle task's turn.
//!
//! The kernel's idle task yields, then halts. An interrupt between the two makes a task ready and
//! returns to the halt, until the next tick. So when one has been handled while the idle task runs,
//! the tasks that it has made ready run at once, on top of it; when all of them wait, it goes on.

use core::sync::atomic::{AtomicU64, Ordering};

use axhal::{
    irq::{IpiTarget, send_ipi},
    percpu::this_cpu_id,
};
use qemu_x86_64::KICK_VECTOR;

use super::{poller, tick};

/// CPUs whose idle task is remembered. Others are asked for its name each time.
const CPUS_MAX: usize = 64;

/// The number of each CPU's idle task, once it has been seen; 0 before.
static IDLE_TASKS: [AtomicU64; CPUS_MAX] = [const { AtomicU64::new(0) }; CPUS_MAX];
/// A bit for each CPU whose tick is to be started again.
static RESTARTS: AtomicU64 = AtomicU64::new(0);

/// Call it once.
pub(super) fn init() {
    if !axhal::irq::register_irq_hook(on_interrupt) {
        log::warn!("the kernel's interrupt hook is taken: the network will be slow to wake up");
    }
    if !axhal::irq::register(KICK_VECTOR.into(), on_kick) {
        log::warn!(
            "interrupt vector {KICK_VECTOR:#x} is taken: other CPUs will be slow to wake up"
        );
    }
}

/// Ends a CPU's halt, if it is another one's.
pub(super) fn kick(cpu_id: usize) {
    if cpu_id != this_cpu_id() {
        send_ipi(KICK_VECTOR.into(), IpiTarget::Other { cpu_id });
    }
}

/// Starts the tick of every other CPU again.
pub(super) fn restart_ticks() {
    for cpu_id in (0..axhal::cpu_num()).filter(|&cpu_id| cpu_id != poller::home_cpu()) {
        RESTARTS.fetch_or(1 << (cpu_id % CPUS_MAX), Ordering::Relaxed);
        kick(cpu_id);
    }
}

fn on_kick() {
    let bit = 1 << (this_cpu_id() % CPUS_MAX);
    if RESTARTS.load(Ordering::Relaxed) & bit != 0 {
        RESTARTS.fetch_and(!bit, Ordering::Relaxed);
        tick::restart();
    }
}

/// Runs after every interrupt's handler, with interrupts off.
fn on_interrupt(_: usize) {
    if is_idle() {
        axtask::yield_now();
    }
}

/// Whether the idle task is running on this CPU.
fn is_idle() -> bool {
    let Some(task) = axtask::current_may_uninit() else {
        return false;
    };
    let Some(known) = IDLE_TASKS.get(this_cpu_id()) else {
        return task.name() == "idle";
    };
    match known.load(Ordering::Relaxed) {
        0 if task.name() == "idle" => {
            known.store(task.id().as_u64(), Ordering::Relaxed);
            true
        }
        id => id == task.id().as_u64(),
    }
}
