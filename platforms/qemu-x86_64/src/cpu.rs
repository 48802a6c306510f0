//! The running CPU: its local APIC's id and one-shot timer, and halting.
//!
//! The timer is programmed here and not through `axhal`, whose deadlines are on a clock that is
//! wrong by default.

use core::sync::atomic::{AtomicU8, Ordering};

use axhal::mem::{pa, phys_to_virt};
use x86_64::registers::model_specific::Msr;

/// The longest delay that [`arm_timer`] takes, in nanoseconds: its counter has 32 bits.
pub const TIMER_NANOS_MAX: u64 = 4_000_000_000;

/// QEMU's local APIC timers, emulated and KVM's alike, count nanoseconds at divider 1.
const TIMER_TICKS_PER_NANO: u64 = 1;

/// IA32_APIC_BASE (Intel SDM vol. 3, 11.4.4): page of the registers, and whether in x2APIC mode.
const APIC_BASE_MSR: u32 = 0x1b;
const APIC_BASE_PAGE: u64 = 0xf_ffff_ffff_f000;
const APIC_BASE_X2APIC: u64 = 1 << 10;

/// Register offsets in xAPIC mode; the x2APIC's MSR is 0x800 plus a sixteenth of the offset.
const REGISTER_ID: u16 = 0x20;
const REGISTER_TIMER_INITIAL: u16 = 0x380;
const X2APIC_MSR_BASE: u32 = 0x800;

/// The id of this CPU's local APIC, to which messages are sent.
pub fn apic_id() -> u32 {
    match is_x2apic() {
        true => read(REGISTER_ID),
        false => read(REGISTER_ID) >> 24,
    }
}

/// Arms this CPU's timer to interrupt once, `delay_nanos` of real time from now.
///
/// Replaces what was armed before. The delay is cut to [`TIMER_NANOS_MAX`].
pub fn arm_timer(delay_nanos: u64) {
    let ticks = delay_nanos.clamp(1, TIMER_NANOS_MAX) * TIMER_TICKS_PER_NANO;
    write(REGISTER_TIMER_INITIAL, ticks as u32);
}

/// Enables interrupts and halts until one arrives, with nothing in between.
///
/// An interrupt that is pending at the call ends the halt at once.
pub fn enable_interrupts_and_halt() {
    x86_64::instructions::interrupts::enable_and_hlt();
}

fn read(register: u16) -> u32 {
    if is_x2apic() {
        // SAFETY: the MSR exists in x2APIC mode, and reading these registers has no side effect.
        unsafe { msr(register).read() as u32 }
    } else {
        // SAFETY: `mmio` points to a mapped register.
        unsafe { mmio(register).read_volatile() }
    }
}

fn write(register: u16, value: u32) {
    if is_x2apic() {
        // SAFETY: the MSR exists in x2APIC mode; the timer's count touches no memory.
        unsafe { msr(register).write(value.into()) }
    } else {
        // SAFETY: `mmio` points to a mapped register; the timer's count touches no memory.
        unsafe { mmio(register).write_volatile(value) }
    }
}

fn msr(register: u16) -> Msr {
    Msr::new(X2APIC_MSR_BASE + u32::from(register >> 4))
}

fn mmio(register: u16) -> *mut u32 {
    let base = (apic_base() & APIC_BASE_PAGE) as usize;
    phys_to_virt(pa!(base + usize::from(register))).as_mut_ptr().cast()
}

/// The mode never changes after the kernel has brought the APIC up, and asking traps.
fn is_x2apic() -> bool {
    const UNKNOWN: u8 = 2;
    static MODE: AtomicU8 = AtomicU8::new(UNKNOWN);
    match MODE.load(Ordering::Relaxed) {
        UNKNOWN => {
            let x2apic = apic_base() & APIC_BASE_X2APIC != 0;
            MODE.store(x2apic.into(), Ordering::Relaxed);
            x2apic
        }
        mode => mode != 0,
    }
}

fn apic_base() -> u64 {
    // SAFETY: every x86_64 CPU with a local APIC has this MSR; reading it has no side effect.
    unsafe { Msr::new(APIC_BASE_MSR).read() }
}
