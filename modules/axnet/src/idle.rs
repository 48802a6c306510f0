//! Sleeping without a periodic tick.
//!
//! At rest the CPU halts until a device interrupts or the next deadline is due; there is no tick
//! in between. The check for work and the halt are atomic, so that no interrupt is lost between
//! them.
//!
//! The price: ArceOS's own timers (`axtask::sleep`, time slices) live off the tick. An application
//! that uses them from other tasks says so by [`keep_tick`].

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axhal::percpu::this_cpu_id;
use qemu_x86_64::{clock, cpu};

/// Bounds of the tick that [`keep_tick`] asks for; between them, it is 1/16 of the time since the
/// last work, so that ArceOS's timers are late by little more than they have waited.
const TICK_NANOS_MIN: u64 = 10_000_000;
const TICK_NANOS_MAX: u64 = 1_000_000_000;
const TICK_IDLE_SHIFT: u32 = 4;

/// The CPU that called [`init`].
static HOME_CPU: AtomicU64 = AtomicU64::new(0);
/// Whether the timer has interrupted since [`sleep`] last asked.
static TICKED: AtomicBool = AtomicBool::new(false);
static KEEP_TICK: AtomicBool = AtomicBool::new(false);
/// When there was last something other than the timer to wake for.
static ACTIVE_NANOS: AtomicU64 = AtomicU64::new(0);

/// Takes the timer over from the kernel on this CPU; other CPUs keep their tick.
///
/// Call it once, on the CPU that will [`sleep`], after [`clock::init`].
///
/// # Panics
/// When the timer's interrupt cannot be taken over.
pub fn init() {
    let timer = axhal::time::irq_num();
    HOME_CPU.store(this_cpu_id() as u64, Ordering::Relaxed);
    axhal::asm::disable_irqs();
    axhal::irq::unregister(timer);
    let registered = axhal::irq::register(timer, on_timer);
    axhal::asm::enable_irqs();
    assert!(registered, "the timer's interrupt has just been freed");
}

/// Keeps a tick for tasks that sleep through ArceOS, or lets it go again (the default).
///
/// The tick grows from 10 ms to 1 s as the machine stays at rest, and their sleeps are late by as
/// much.
pub fn keep_tick(keep: bool) {
    KEEP_TICK.store(keep, Ordering::Relaxed);
}

/// Halts until an interrupt, or until `deadline_nanos` on [`clock`]. Returns at once if `ready`.
///
/// It may return early: the caller checks for work and sleeps again. Other tasks that can run do
/// so first. `ready` is called with interrupts off and must not block. Call it with interrupts on.
pub fn sleep(deadline_nanos: Option<u64>, ready: &dyn Fn() -> bool) {
    TICKED.store(false, Ordering::Relaxed);
    axtask::yield_now();
    axhal::asm::disable_irqs();
    // A tick since the yield may have made a task ready.
    if ready() || TICKED.load(Ordering::Relaxed) {
        axhal::asm::enable_irqs();
        note_activity();
        return;
    }
    match delay(deadline_nanos) {
        Some(0) => return axhal::asm::enable_irqs(),
        Some(nanos) => cpu::arm_timer(nanos),
        None => {}
    }
    cpu::enable_interrupts_and_halt();
    note_activity();
}

/// How long to halt at most, in nanoseconds; a longer wait is chained by the caller.
fn delay(deadline_nanos: Option<u64>) -> Option<u64> {
    let tick = KEEP_TICK.load(Ordering::Relaxed);
    if deadline_nanos.is_none() && !tick {
        return None;
    }
    let now = clock::now_nanos();
    let mut delay = deadline_nanos.map_or(u64::MAX, |deadline| deadline.saturating_sub(now));
    if tick {
        let idle = now.saturating_sub(ACTIVE_NANOS.load(Ordering::Relaxed));
        delay = delay.min((idle >> TICK_IDLE_SHIFT).clamp(TICK_NANOS_MIN, TICK_NANOS_MAX));
    }
    Some(delay.min(cpu::TIMER_NANOS_MAX))
}

/// Time at rest counts from the last sleep that something other than the timer ended.
fn note_activity() {
    if KEEP_TICK.load(Ordering::Relaxed) && !TICKED.load(Ordering::Relaxed) {
        ACTIVE_NANOS.store(clock::now_nanos(), Ordering::Relaxed);
    }
}

fn on_timer() {
    if this_cpu_id() as u64 == HOME_CPU.load(Ordering::Relaxed) {
        TICKED.store(true, Ordering::Relaxed);
    } else {
        cpu::arm_timer(TICK_NANOS_MIN);
    }
    axtask::on_timer_tick();
}
