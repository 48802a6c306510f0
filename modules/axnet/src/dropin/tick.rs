//! The timer: the kernel's tick, and the stack's deadlines between two ticks.
//!
//! The kernel's own handler can do the first only: every interrupt that comes early puts its next
//! tick off by another period.

use core::sync::atomic::{AtomicU64, Ordering};

use axhal::percpu::this_cpu_id;
use qemu_x86_64::{clock, cpu};

use super::poller;

/// The kernel's tick.
const TICK_NANOS: u64 = 10_000_000;

/// When the kernel's next tick on the poller's CPU is due.
static NEXT_TICK: AtomicU64 = AtomicU64::new(0);
/// When the poller wants to be woken; the end of time if it does not.
static DEADLINE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Puts the timer's first interrupt off, which comes 10 ms after boot, or takes it if it is
/// pending: a kernel without interrupts has no handler for it, and would complain when the poller
/// enables them.
pub(super) fn put_off() {
    let timer = axhal::time::irq_num();
    cpu::arm_timer(cpu::TIMER_NANOS_MAX);
    axhal::irq::register(timer, || {});
    axhal::asm::enable_irqs();
    // An emulator looks for interrupts at jumps only.
    for i in 0..100 {
        core::hint::black_box(i);
    }
    axhal::asm::disable_irqs();
    axhal::irq::unregister(timer);
}

/// Takes the timer's interrupt over from the kernel, on all CPUs. Call it on the poller's.
pub(super) fn take_over() {
    let timer = axhal::time::irq_num();
    axhal::asm::disable_irqs();
    axhal::irq::unregister(timer);
    axhal::irq::register(timer, on_timer);
    arm();
    axhal::asm::enable_irqs();
    // One that came in between on another CPU has found no handler to set the next.
    super::idle::restart_ticks();
}

/// Sets when the poller is to be woken, on [`clock`].
pub(super) fn set_deadline(nanos: Option<u64>) {
    let deadline = nanos.unwrap_or(u64::MAX);
    DEADLINE.store(deadline, Ordering::Relaxed);
    if deadline < NEXT_TICK.load(Ordering::Relaxed) {
        arm();
    }
}

/// Has the calling CPU, which is not the poller's, tick from now on.
pub(super) fn restart() {
    cpu::arm_timer(TICK_NANOS);
}

fn on_timer() {
    if this_cpu_id() != poller::home_cpu() {
        cpu::arm_timer(TICK_NANOS);
        return axtask::on_timer_tick();
    }
    let now = clock::now_nanos();
    if DEADLINE.load(Ordering::Relaxed) <= now {
        DEADLINE.store(u64::MAX, Ordering::Relaxed);
        poller::wake();
    }
    if NEXT_TICK.load(Ordering::Relaxed) <= now {
        NEXT_TICK.store(now + TICK_NANOS, Ordering::Relaxed);
        axtask::on_timer_tick();
    }
    arm();
}

fn arm() {
    let next = NEXT_TICK.load(Ordering::Relaxed).min(DEADLINE.load(Ordering::Relaxed));
    cpu::arm_timer(next.saturating_sub(clock::now_nanos()));
}
