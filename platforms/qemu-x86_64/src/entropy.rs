//! Boot-time entropy: one seed, mixed from everything that the machine offers.
//!
//! It is not a random number generator: it is asked once, and a generator is seeded from it.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step, _rdtsc};
use core::fmt;

use blake2::{Blake2s256, Digest};
use virtio_drivers::Hal;
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};

use crate::{cpu, fw_cfg, pci};

/// The fw_cfg file whose content is mixed in:
/// `-fw_cfg name=opt/org.axwire/seed,file=...`, a fresh one for each boot.
pub const SEED_FILE: &str = "opt/org.axwire/seed";

/// Length of the seed in bytes.
pub const SEED_LEN: usize = 32;

/// 32 bytes to seed a generator with. Has no `Debug`, so that it does not end in a log.
pub struct Seed {
    /// The seed itself.
    pub bytes: [u8; SEED_LEN],
    /// Where it comes from.
    pub sources: Sources,
}

/// The sources that took part in a [`Seed`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sources {
    /// The CPU's RDSEED or RDRAND instruction.
    pub cpu: bool,
    /// A virtio-rng device.
    pub virtio_rng: bool,
    /// At least [`SEED_LEN`] bytes in [`SEED_FILE`].
    pub file: bool,
    /// The jitter of timer interrupts, used only if there is nothing better. Weak.
    pub jitter: bool,
}

impl Sources {
    /// Whether any of the sources is a proper one.
    pub fn is_strong(&self) -> bool {
        self.cpu || self.virtio_rng || self.file
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.cpu, "CPU"),
            (self.virtio_rng, "virtio-rng"),
            (self.file, "seed file"),
            (self.jitter, "timer jitter"),
        ];
        let mut separator = "";
        for (_, name) in names.iter().filter(|(used, _)| *used) {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Gathers a seed, with the DMA memory of `H`.
///
/// Takes microseconds to a few milliseconds, or some 70 ms, and a warning, if the machine has no
/// proper source. Call it with interrupts enabled.
pub fn seed<H: Hal>() -> Seed {
    let mut pool = Blake2s256::new();
    let mut sources = Sources {
        cpu: mix_cpu(&mut pool),
        virtio_rng: mix_virtio_rng::<H>(&mut pool),
        file: mix_file(&mut pool),
        jitter: false,
    };
    if !sources.is_strong() {
        log::warn!(
            "entropy is weak: the machine has no random source; start QEMU with \
             `-device virtio-rng-pci` or `-cpu max`"
        );
        mix_jitter(&mut pool);
        sources.jitter = true;
    }
    pool.update(ticks().to_le_bytes());
    Seed { bytes: pool.finalize().into(), sources }
}

/// Mixes [`SEED_LEN`] bytes in from the CPU; false if it has no such instruction or it fails.
fn mix_cpu(pool: &mut Blake2s256) -> bool {
    let Some(instruction) = cpu_instruction() else { return false };
    for _ in 0..SEED_LEN / size_of::<u64>() {
        let Some(word) = draw(instruction) else { return false };
        pool.update(word.to_le_bytes());
    }
    true
}

/// Tries until the instruction succeeds, with a limit.
fn draw(instruction: fn(&mut u64) -> bool) -> Option<u64> {
    /// Intel asks for 10 tries of RDRAND; RDSEED runs dry more easily.
    const TRIES: usize = 128;
    let mut word = 0;
    (0..TRIES).any(|_| instruction(&mut word)).then_some(word)
}

/// The better of the CPU's instructions, if it has any (Intel SDM vol. 2, CPUID).
fn cpu_instruction() -> Option<fn(&mut u64) -> bool> {
    const RDSEED_EBX: u32 = 1 << 18;
    const RDRAND_ECX: u32 = 1 << 30;
    let leaf_max = __cpuid(0).eax;
    if leaf_max >= 7 && __cpuid_count(7, 0).ebx & RDSEED_EBX != 0 {
        // SAFETY: CPUID says that the CPU has the instruction.
        return Some(|word| unsafe { rdseed(word) });
    }
    if leaf_max >= 1 && __cpuid(1).ecx & RDRAND_ECX != 0 {
        // SAFETY: CPUID says that the CPU has the instruction.
        return Some(|word| unsafe { rdrand(word) });
    }
    None
}

#[target_feature(enable = "rdseed")]
fn rdseed(word: &mut u64) -> bool {
    _rdseed64_step(word) == 1
}

#[target_feature(enable = "rdrand")]
fn rdrand(word: &mut u64) -> bool {
    _rdrand64_step(word) == 1
}

/// Mixes [`SEED_LEN`] bytes in from the first virtio-rng device, if there is one that works.
fn mix_virtio_rng<H: Hal>(pool: &mut Blake2s256) -> bool {
    let is_rng = |info: &_| virtio_device_type(info) == Some(DeviceType::EntropySource);
    let Some((function, _)) = pci::functions().into_iter().find(|(_, info)| is_rng(info)) else {
        return false;
    };
    match read_virtio_rng::<H>(function) {
        Ok(bytes) => pool.update(bytes),
        Err(error) => {
            log::warn!("virtio-rng at {function}: {error}");
            return false;
        }
    }
    true
}

fn read_virtio_rng<H: Hal>(
    function: pci::DeviceFunction,
) -> Result<[u8; SEED_LEN], virtio_drivers::Error> {
    let mut root = pci::root();
    pci::disable(&mut root, function);
    let transport = PciTransport::new::<H, _>(&mut root, function)
        .map_err(|_| virtio_drivers::Error::Unsupported)?;
    pci::enable(&mut root, function);
    let mut device = VirtIORng::<H, _>::new(transport)?;
    let mut bytes = [0; SEED_LEN];
    let mut filled = 0;
    while filled < SEED_LEN {
        match device.request_entropy(&mut bytes[filled..])? {
            0 => return Err(virtio_drivers::Error::IoError),
            len => filled = (filled + len).min(SEED_LEN),
        }
    }
    Ok(bytes)
}

/// Mixes [`SEED_FILE`] in. A file shorter than the seed is mixed in, but does not count.
fn mix_file(pool: &mut Blake2s256) -> bool {
    let Some(content) = fw_cfg::file(SEED_FILE) else { return false };
    pool.update(&content);
    if content.len() < SEED_LEN {
        log::warn!("{SEED_FILE} holds {} bytes; a seed needs {SEED_LEN}", content.len());
    }
    content.len() >= SEED_LEN
}

/// Mixes in how late timer interrupts end a halt. Busy loops show no jitter under emulation.
fn mix_jitter(pool: &mut Blake2s256) {
    /// At four bits each, as many as the seed has; six were seen.
    const HALTS: usize = SEED_LEN * 8 / 4;
    const HALT_NANOS: u64 = 1_000_000;
    for _ in 0..HALTS {
        axhal::asm::disable_irqs();
        cpu::arm_timer(HALT_NANOS);
        cpu::enable_interrupts_and_halt();
        pool.update(ticks().to_le_bytes());
    }
}

fn ticks() -> u64 {
    // SAFETY: every x86_64 CPU has the instruction, and the kernel leaves it enabled.
    unsafe { _rdtsc() }
}
