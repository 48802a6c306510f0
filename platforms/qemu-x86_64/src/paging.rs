//! The kernel's address space: all memory at its address plus an offset, as ArceOS has it.
//!
//! At boot it is one piece in which everything can be written and executed, and a second time at
//! its address itself, so that a null pointer can be read. [`init`] maps it again, each part with
//! rights of its own, and only once.
//!
//! `axmm` can do that as well, with pages of 4 KiB: 1 MiB of tables for a machine of 256 MiB, filled
//! at every start. Pages of 2 MiB need 40 KiB. A kernel with the feature `paging`, which programs for
//! `axstd::net` have, has used `axmm` before anything here runs, and keeps what that has made.

use core::marker::PhantomData;

use axhal::mem::{MemRegionFlags, memory_regions, mmio_ranges, pa, phys_to_virt};
use virtio_drivers::{BufferDirection, Hal};
use x86_64::{
    PhysAddr, VirtAddr,
    registers::control::Cr3,
    structures::paging::{
        FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags,
        PhysFrame, Size2MiB, Size4KiB, mapper::MapToError,
    },
};

/// Leaves the address space of the boot, if that is where the kernel still is, with tables in the
/// DMA memory of `H`. Other CPUs stay in it: nothing of the network runs on them.
///
/// # Panics
/// When there is no memory for page tables.
pub fn init<H: Hal>() {
    let (root, cache) = Cr3::read();
    if !is_boots(root.start_address()) {
        return;
    }
    let root = new_table::<H>().expect("no memory for page tables");
    for region in memory_regions() {
        map::<H>(root, region.paddr.as_usize() as u64, region.size, flags(region.flags));
    }
    // SAFETY: all that the kernel has is at the same address in it.
    unsafe { Cr3::write(root, cache) };
}

/// Maps device registers, unless they are since the start: those in BARs above 4 GiB are not.
///
/// # Panics
/// When there is no memory for page tables.
pub fn map_device<H: Hal>(start: usize, len: usize) {
    let is_inside =
        |&(area, area_len): &(usize, usize)| area <= start && start + len <= area + area_len;
    if !mmio_ranges().iter().any(is_inside) {
        log::debug!("mapping device registers at {start:#x}");
        let flags = MemRegionFlags::READ | MemRegionFlags::WRITE | MemRegionFlags::DEVICE;
        map::<H>(Cr3::read().0, start as u64, len, self::flags(flags));
    }
}

/// The boot's tables are a part of the image; later ones are in memory that was free.
fn is_boots(root: PhysAddr) -> bool {
    let root = pa!(root.as_u64() as usize);
    memory_regions().any(|region| {
        let is_inside = region.paddr <= root && root < region.paddr + region.size;
        is_inside && !region.flags.contains(MemRegionFlags::FREE)
    })
}

fn flags(rights: MemRegionFlags) -> PageTableFlags {
    let mut flags = PageTableFlags::PRESENT;
    flags.set(PageTableFlags::WRITABLE, rights.contains(MemRegionFlags::WRITE));
    flags.set(PageTableFlags::NO_EXECUTE, !rights.contains(MemRegionFlags::EXECUTE));
    let is_device = rights.intersects(MemRegionFlags::DEVICE | MemRegionFlags::UNCACHED);
    flags.set(PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH, is_device);
    flags
}

/// Maps the pages that an area touches, in pages as large as they can be. What is mapped stays.
fn map<H: Hal>(root: PhysFrame, start: u64, len: usize, flags: PageTableFlags) {
    let offset = phys_to_virt(pa!(0)).as_usize() as u64;
    let table = VirtAddr::new(offset + root.start_address().as_u64()).as_mut_ptr::<PageTable>();
    // SAFETY: a table that is in use, or will be, in memory that is mapped at that offset; nobody
    // else changes it, because only the boot CPU is here, and only at start.
    let mut tables = unsafe { OffsetPageTable::new(&mut *table, VirtAddr::new(offset)) };
    let end = (start + len as u64).next_multiple_of(Size4KiB::SIZE);
    let mut at = start & !(Size4KiB::SIZE - 1);
    while at < end {
        let is_large = at.is_multiple_of(Size2MiB::SIZE) && at + Size2MiB::SIZE <= end;
        at += match is_large {
            true => map_page::<H, Size2MiB>(&mut tables, at, offset, flags),
            false => map_page::<H, Size4KiB>(&mut tables, at, offset, flags),
        };
    }
}

/// Maps a page and returns its size.
fn map_page<'a, H: Hal, S: PageSize>(
    tables: &mut OffsetPageTable<'a>,
    at: u64,
    offset: u64,
    flags: PageTableFlags,
) -> u64
where
    OffsetPageTable<'a>: Mapper<S>,
{
    let page = Page::<S>::containing_address(VirtAddr::new(offset + at));
    let frame = PhysFrame::containing_address(PhysAddr::new(at));
    // SAFETY: memory and registers are mapped where the kernel expects them, and nowhere else.
    match unsafe { tables.map_to(page, frame, flags, &mut Frames::<H>(PhantomData)) } {
        // There was nothing in the TLB.
        Ok(flush) => flush.ignore(),
        Err(MapToError::PageAlreadyMapped(_) | MapToError::ParentEntryHugePage) => {}
        Err(MapToError::FrameAllocationFailed) => panic!("no memory for page tables"),
    }
    S::SIZE
}

fn new_table<H: Hal>() -> Option<PhysFrame> {
    let (address, _) = H::dma_alloc(1, BufferDirection::Both);
    (address != 0).then(|| PhysFrame::containing_address(PhysAddr::new(address)))
}

/// Memory for page tables, which stays theirs.
struct Frames<H>(PhantomData<H>);

// SAFETY: pages of DMA memory are whole, and nobody else's.
unsafe impl<H: Hal> FrameAllocator<Size4KiB> for Frames<H> {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        new_table::<H>()
    }
}
