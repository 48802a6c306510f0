//! Sleeping without a periodic tick.
//!
//! At rest the CPU halts until a device interrupts or the next deadline is due; there is no tick
//! in between. The check for work and the halt are atomic, so that no interrupt is lost between
//! them.
//!
//! The price: ArceOS's own timers (`axtask::sleep`, time slices) live off the tick, so on this CPU
//! they are served only when something else ends a halt.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axhal::percpu::this_cpu_id;
use qemu_x86_64::{clock, cpu};

/// The kernel's tick, which other CPUs keep.
const TICK_NANOS: u64 = 10_000_000;

/// The CPU that called [`init`].
static HOME_CPU: AtomicU64 = AtomicU64::new(0);
/// Whether the timer has interrupted since [`sleep`] last asked.
static TICKED: AtomicBool = AtomicBool::new(false);

/// Takes the timer over from the kernel on this CPU; other CPUs keep their tick.
///
/// Call it once, on the CPU that will [`sleep`], after [`clock::init`].
///
/// # Panics
/// When the timer's interrupt cannot be taken over.
pub(crate) fn init() {
    let timer = axhal::time::irq_num();
    HOME_CPU.store(this_cpu_id() as u64, Ordering::Relaxed);
    axhal::asm::disable_irqs();
    axhal::irq::unregister(timer);
    let registered = axhal::irq::register(timer, on_timer);
    axhal::asm::enable_irqs();
    assert!(registered, "the timer's interrupt has just been freed");
}

/// Halts until an interrupt, or until `deadline_nanos` on [`clock`]. Returns at once if `ready`.
///
/// It may return early: the caller checks for work and sleeps again. Other tasks that can run do
/// so first. `ready` is called with interrupts off and must not block. Call it with interrupts on.
pub(crate) fn sleep(deadline_nanos: Option<u64>, ready: &dyn Fn() -> bool) {
    TICKED.store(false, Ordering::Relaxed);
    axtask::yield_now();
    axhal::asm::disable_irqs();
    // A tick since the yield may have made a task ready.
    if ready() || TICKED.load(Ordering::Relaxed) {
        return axhal::asm::enable_irqs();
    }
    if let Some(deadline) = deadline_nanos {
        match deadline.saturating_sub(clock::now_nanos()) {
            0 => return axhal::asm::enable_irqs(),
            // A longer wait than the timer's longest is chained by the caller.
            delay => cpu::arm_timer(delay.min(cpu::TIMER_NANOS_MAX)),
        }
    }
    cpu::enable_interrupts_and_halt();
}

fn on_timer() {
    if this_cpu_id() as u64 == HOME_CPU.load(Ordering::Relaxed) {
        TICKED.store(true, Ordering::Relaxed);
    } else {
        cpu::arm_timer(TICK_NANOS);
    }
    axtask::on_timer_tick();
}
