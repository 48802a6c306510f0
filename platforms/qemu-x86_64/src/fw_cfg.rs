//! What QEMU hands over through its firmware configuration device: the kernel command line and
//! named files (`-fw_cfg name=opt/...,file=...`).
//!
//! The command line in memory is gone when `main` runs, because it lies where the heap begins;
//! the device keeps a copy. Transfers use DMA: by bytes, a megabyte takes 50 ms and more.
//!
//! Specification: QEMU, docs/specs/fw_cfg.rst; Multiboot 0.6.96, 3.3.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;

use axhal::mem::{VirtAddr, virt_to_phys};
use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

const PORT_SELECTOR: u16 = 0x510;
const PORT_BYTES: u16 = 0x511;
const PORT_DMA_HIGH: u16 = 0x514;
const PORT_DMA_LOW: u16 = 0x518;

const ITEM_SIGNATURE: u16 = 0x00;
const ITEM_FEATURES: u16 = 0x01;
/// Where the image that [`ITEM_IMAGE`] holds is loaded.
const ITEM_IMAGE_ADDRESS: u16 = 0x07;
/// The kernel, its modules and its command line, as they lie in memory.
const ITEM_IMAGE: u16 = 0x11;
const ITEM_MULTIBOOT_INFORMATION: u16 = 0x12;
const ITEM_DIRECTORY: u16 = 0x19;

const FEATURE_DMA: u8 = 1 << 1;

/// The longest command line that is read, in bytes; what follows is ignored.
pub const COMMAND_LINE_LEN_MAX: usize = 4096;
/// The largest file that is read, in bytes.
pub const FILE_LEN_MAX: usize = 1 << 30;
/// More entries than QEMU puts in its directory.
const FILES_MAX: u32 = 4096;

/// The kernel command line (QEMU's `-append`), without the word that names the kernel file.
///
/// `None` if the machine has no such device or was not booted with `-kernel`.
pub fn command_line() -> Option<String> {
    /// Bit of the flags in the multiboot information that says the command line is there.
    const HAS_COMMAND_LINE: u32 = 1 << 2;
    let device = Device::probe()?;
    let mut information = [0; 20];
    device.read(ITEM_MULTIBOOT_INFORMATION, 0, &mut information)?;
    if le_u32(&information, 0) & HAS_COMMAND_LINE == 0 {
        return None;
    }
    let mut image_address = [0; 4];
    device.read(ITEM_IMAGE_ADDRESS, 0, &mut image_address)?;
    let offset = le_u32(&information, 16).checked_sub(le_u32(&image_address, 0))?;
    let mut line = vec![0; COMMAND_LINE_LEN_MAX];
    device.read(ITEM_IMAGE, offset, &mut line)?;
    let end = line.iter().position(|&byte| byte == 0).unwrap_or(line.len());
    let line = String::from_utf8_lossy(&line[..end]);
    Some(line.split_once(' ').map_or("", |(_kernel, rest)| rest.trim()).into())
}

/// The content of the file `name` given with QEMU's `-fw_cfg`.
///
/// `None` if there is no such file or it is larger than [`FILE_LEN_MAX`].
pub fn file(name: &str) -> Option<Vec<u8>> {
    let device = Device::probe()?;
    let (item, len) = device.find(name)?;
    if len > FILE_LEN_MAX {
        return None;
    }
    let mut content = vec![0; len];
    device.read(item, 0, &mut content)?;
    Some(content)
}

/// Proof that the device is there and does DMA.
struct Device;

impl Device {
    fn probe() -> Option<Self> {
        let mut signature = [0; 4];
        read_bytes(ITEM_SIGNATURE, &mut signature);
        let mut features = [0; 4];
        read_bytes(ITEM_FEATURES, &mut features);
        (signature == *b"QEMU" && features[0] & FEATURE_DMA != 0).then_some(Self)
    }

    /// The item and the length of a named file.
    fn find(&self, name: &str) -> Option<(u16, usize)> {
        const ENTRY_LEN: usize = 64;
        let mut count = [0; 4];
        self.read(ITEM_DIRECTORY, 0, &mut count)?;
        let count = u32::from_be_bytes(count).min(FILES_MAX) as usize;
        let mut entries = vec![0; count * ENTRY_LEN];
        self.read(ITEM_DIRECTORY, 4, &mut entries)?;
        let entry = entries.chunks_exact(ENTRY_LEN).find(|entry| {
            entry[8..].strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
        })?;
        let len = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]);
        Some((u16::from_be_bytes([entry[4], entry[5]]), len as usize))
    }

    /// Fills `buffer` from byte `offset` of an item; QEMU gives zeros beyond its end.
    fn read(&self, item: u16, offset: u32, buffer: &mut [u8]) -> Option<()> {
        const READ: u32 = 1 << 1;
        const SKIP: u32 = 1 << 2;
        const SELECT: u32 = 1 << 3;
        if buffer.is_empty() {
            return Some(());
        }
        // SAFETY: a skip writes no memory.
        unsafe { transfer(u32::from(item) << 16 | SELECT | SKIP, offset, 0)? };
        let physical = virt_to_phys(VirtAddr::from_mut_ptr_of(buffer.as_mut_ptr())).as_usize();
        let len = u32::try_from(buffer.len()).ok()?;
        // SAFETY: the device fills exactly `buffer`, which is ours and, like the whole heap and
        // every stack, contiguous in physical memory.
        unsafe { transfer(READ, len, physical as u64) }
    }
}

/// One DMA access, big-endian.
#[repr(C, align(16))]
struct Access {
    control: u32,
    length: u32,
    address: u64,
}

/// Has the device execute one access. QEMU completes it before the port write returns.
///
/// # Safety
/// If `control` asks for a read, the `length` bytes of physical memory at `address` must be free
/// for the device to overwrite.
unsafe fn transfer(control: u32, length: u32, address: u64) -> Option<()> {
    let access =
        Access { control: control.to_be(), length: length.to_be(), address: address.to_be() };
    let pointer = &raw const access;
    let physical = virt_to_phys(VirtAddr::from_ptr_of(pointer)).as_usize() as u64;
    // SAFETY: the port takes the upper half of an address and does nothing with it yet. The lower
    // half starts the access, whose memory lives until the end of this function; as the assembly
    // is not `nomem`, the compiler stores it before, and reads it and the buffer anew after.
    unsafe {
        PortWriteOnly::new(PORT_DMA_HIGH).write(((physical >> 32) as u32).to_be());
        asm!(
            "out dx, eax",
            in("dx") PORT_DMA_LOW,
            in("eax") (physical as u32).to_be(),
            options(nostack, preserves_flags),
        );
        (pointer.read_volatile().control == 0).then_some(())
    }
}

/// Reads a few bytes without DMA.
fn read_bytes(item: u16, buffer: &mut [u8]) {
    // SAFETY: selecting and reading an item changes no memory; without the device the writes go
    // nowhere and the reads give all ones.
    unsafe {
        PortWriteOnly::new(PORT_SELECTOR).write(item);
        for byte in buffer {
            *byte = PortReadOnly::new(PORT_BYTES).read();
        }
    }
}

/// # Panics
/// When `bytes` ends before `offset + 4`.
fn le_u32(bytes: &[u8], offset: usize) -> u32 {
    let word = [bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]];
    u32::from_le_bytes(word)
}
