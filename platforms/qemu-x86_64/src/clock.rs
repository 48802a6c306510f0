//! A monotonic clock: the time stamp counter, calibrated against a timer of known rate.
//!
//! ArceOS's own clock assumes 4 GHz where the CPU does not tell its frequency, which under QEMU is
//! always.

use core::arch::x86_64::_rdtsc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use axhal::mem::{pa, phys_to_virt};
use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

const FEMTOS_PER_SEC: u128 = 1_000_000_000_000_000;
const NANOS_PER_SEC: u128 = 1_000_000_000;

/// Fraction bits of [`NANOS_PER_TICK`]: below 1e-9 of error at any frequency above 250 MHz.
const FRACTION_BITS: u32 = 32;

/// The counter's value at [`init`].
static BASE_TICKS: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick, in units of 2^-32; 0 before [`init`].
static NANOS_PER_TICK: AtomicU64 = AtomicU64::new(0);

/// What the clock was measured against, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// High precision event timer: within 10 ppm.
    Hpet,
    /// ACPI power management timer: within 100 ppm.
    PmTimer,
    /// Programmable interval timer: within 0.2 %.
    Pit,
    /// Nothing answered: the kernel's assumption, which may be far off.
    Assumed,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hpet => "HPET",
            Self::PmTimer => "ACPI PM timer",
            Self::Pit => "PIT",
            Self::Assumed => "assumption",
        })
    }
}

/// The result of [`init`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    /// What was measured against.
    pub reference: Reference,
    /// The time stamp counter's frequency.
    pub hertz: u64,
}

/// Measures the time stamp counter, for 1 to 10 ms, and starts the clock at 0. Call it once.
pub fn init() -> Calibration {
    let calibration = calibrate();
    let nanos_per_tick = (NANOS_PER_SEC << FRACTION_BITS) / u128::from(calibration.hertz);
    BASE_TICKS.store(ticks(), Ordering::Relaxed);
    NANOS_PER_TICK.store(nanos_per_tick as u64, Ordering::Release);
    if calibration.reference == Reference::Assumed {
        log::error!("no HPET, ACPI PM timer or PIT: the clock's rate is a guess");
    }
    calibration
}

/// Nanoseconds since [`init`]; 0 before. Never goes back, and lasts for centuries.
pub fn now_nanos() -> u64 {
    let rate = NANOS_PER_TICK.load(Ordering::Acquire);
    let elapsed = ticks().saturating_sub(BASE_TICKS.load(Ordering::Relaxed));
    ((u128::from(elapsed) * u128::from(rate)) >> FRACTION_BITS) as u64
}

fn ticks() -> u64 {
    // SAFETY: every x86_64 CPU has the instruction, and the kernel leaves it enabled.
    unsafe { _rdtsc() }
}

fn calibrate() -> Calibration {
    let found = [hpet, pm_timer, pit].into_iter().find_map(|probe| {
        let counter = probe()?;
        Some(Calibration { reference: counter.reference, hertz: measure(&counter)? })
    });
    found.unwrap_or_else(|| Calibration {
        reference: Reference::Assumed,
        hertz: axhal::time::nanos_to_ticks(NANOS_PER_SEC as u64).max(1),
    })
}

/// A counter of known rate that counts up and wraps at `mask`.
struct Counter {
    reference: Reference,
    read: fn() -> u32,
    mask: u32,
    period_femtos: u64,
    /// How long to measure, in nanoseconds: well below the time to wrap.
    window_nanos: u64,
}

/// The frequency of the time stamp counter in hertz, or `None` if the reference stands still.
fn measure(counter: &Counter) -> Option<u64> {
    /// More ticks than any window has at any plausible frequency: 0.1 s at 10 GHz.
    const TICKS_MAX: u64 = 1 << 30;
    const WARM_UP_SAMPLES: usize = 8;
    let window_femtos = u128::from(counter.window_nanos) * 1_000_000;
    // An emulator is slow, and unevenly so, at what it does for the first time.
    for _ in 0..WARM_UP_SAMPLES {
        Sample::take(counter);
    }
    let start = Sample::take(counter);
    loop {
        let end = Sample::take(counter);
        let elapsed_ticks = end.ticks.saturating_sub(start.ticks);
        let count = end.count.wrapping_sub(start.count) & counter.mask;
        let femtos = u128::from(count) * u128::from(counter.period_femtos);
        if femtos >= window_femtos {
            let hertz = u128::from(elapsed_ticks) * FEMTOS_PER_SEC / femtos;
            return Some(hertz as u64).filter(|&hertz| hertz > 0);
        }
        if elapsed_ticks > TICKS_MAX {
            return None;
        }
    }
}

/// Both counters at the same moment.
struct Sample {
    ticks: u64,
    count: u32,
}

impl Sample {
    /// Takes the tightest of several readings, so that a preempted one does no harm.
    ///
    /// Not inlined: the readings compared must come from the same code, equally warm.
    #[inline(never)]
    fn take(counter: &Counter) -> Self {
        const READINGS: usize = 8;
        let reading = || {
            let before = ticks();
            let count = (counter.read)();
            let spread = ticks().saturating_sub(before);
            (spread, Self { ticks: before + spread / 2, count })
        };
        let mut best = reading();
        for _ in 1..READINGS {
            let next = reading();
            if next.0 < best.0 {
                best = next;
            }
        }
        best.1
    }
}

/// IA-PC HPET specification 1.0a, 2.3: registers by byte offset.
const HPET_BASE: usize = 0xfed0_0000;
const HPET_PERIOD: usize = 0x04;
const HPET_CONFIGURATION: usize = 0x10;
const HPET_COUNTER: usize = 0xf0;
/// Longest period the specification allows: 100 ns.
const HPET_PERIOD_FEMTOS_MAX: u32 = 100_000_000;

fn hpet() -> Option<Counter> {
    const ENABLE: u32 = 1;
    // SAFETY: the kernel maps the page at HPET_BASE as device memory. Reading is harmless if no
    // HPET is there (0 or all ones); enabling one starts its counter and nothing else.
    let period = unsafe {
        let period = hpet_register(HPET_PERIOD).read_volatile();
        let configuration = hpet_register(HPET_CONFIGURATION);
        configuration.write_volatile(configuration.read_volatile() | ENABLE);
        period
    };
    (1..=HPET_PERIOD_FEMTOS_MAX).contains(&period).then_some(Counter {
        reference: Reference::Hpet,
        // SAFETY: as above.
        read: || unsafe { hpet_register(HPET_COUNTER).read_volatile() },
        mask: u32::MAX,
        period_femtos: period.into(),
        window_nanos: 1_000_000,
    })
}

fn hpet_register(offset: usize) -> *mut u32 {
    phys_to_virt(pa!(HPET_BASE + offset)).as_mut_ptr().cast()
}

/// The port at which the firmware of both machine types places the 24-bit counter (ACPI 4.8.3.3).
const PM_TIMER_PORT: u16 = 0x608;

fn pm_timer() -> Option<Counter> {
    /// 1 / 3.579545 MHz.
    const PERIOD_FEMTOS: u64 = 279_365_115;
    // SAFETY: reading the counter, or a port without a device, has no side effect.
    let read = || unsafe { PortReadOnly::<u32>::new(PM_TIMER_PORT).read() };
    (read() != u32::MAX).then_some(Counter {
        reference: Reference::PmTimer,
        read,
        mask: 0xff_ffff,
        period_femtos: PERIOD_FEMTOS,
        window_nanos: 4_000_000,
    })
}

/// Intel 8254: channel 0 and the mode register.
const PIT_CHANNEL_0: u16 = 0x40;
const PIT_MODE: u16 = 0x43;

fn pit() -> Option<Counter> {
    /// 1 / 1.193182 MHz.
    const PERIOD_FEMTOS: u64 = 838_095_110;
    const CHANNEL_0_RATE_GENERATOR: u8 = 0b0011_0100;
    // SAFETY: nobody else uses channel 0, whose interrupt is masked. A count of 0 means 65536.
    unsafe {
        PortWriteOnly::<u8>::new(PIT_MODE).write(CHANNEL_0_RATE_GENERATOR);
        PortWriteOnly::<u8>::new(PIT_CHANNEL_0).write(0);
        PortWriteOnly::<u8>::new(PIT_CHANNEL_0).write(0);
    }
    Some(Counter {
        reference: Reference::Pit,
        read: read_pit,
        mask: 0xffff,
        period_femtos: PERIOD_FEMTOS,
        window_nanos: 10_000_000,
    })
}

/// The channel counts down; the result counts up.
fn read_pit() -> u32 {
    const LATCH_CHANNEL_0: u8 = 0;
    // SAFETY: latching and reading the count changes nothing but the latch.
    let count = unsafe {
        PortWriteOnly::<u8>::new(PIT_MODE).write(LATCH_CHANNEL_0);
        let mut channel = PortReadOnly::<u8>::new(PIT_CHANNEL_0);
        let low = channel.read();
        u16::from_le_bytes([low, channel.read()])
    };
    count.wrapping_neg().into()
}
