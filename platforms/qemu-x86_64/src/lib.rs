//! QEMU's x86_64 machines (q35, pc) as the network glue needs them.
//!
//! It finds and reads hardware that ArceOS leaves alone or gets wrong: a calibrated clock, the
//! kernel command line, boot-time entropy, the network card, page tables of large pages. It is not a
//! platform crate of ArceOS: booting and interrupt dispatch stay with `axplat-x86-pc`. It keeps no
//! policy either; DMA memory and interrupt handlers come from the caller.
//!
//! - [`clock`]: nanoseconds since boot, from a TSC calibrated at start
//! - [`cpu`]: local APIC id, one-shot timer, halting
//! - [`entropy`]: the seed of all randomness
//! - [`fw_cfg`]: the command line and files that QEMU hands over
//! - [`paging`]: the kernel's address space
//! - [`pci`]: configuration space and the search for the network card

#![cfg_attr(
    not(target_os = "none"),
    allow(rustdoc::broken_intra_doc_links, reason = "the modules exist on the target alone")
)]
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

pub mod clock;
pub mod cpu;
pub mod entropy;
pub mod fw_cfg;
pub mod paging;
pub mod pci;

pub use fw_cfg::command_line;

/// The interrupt vector of the network card's queues: the first that ArceOS leaves free below 0xff
/// (it takes 0xf0 to 0xf3), and above the range that goes through the IOAPIC.
pub const NIC_VECTOR: u8 = 0xf4;

/// The interrupt vector by which the network card says that its configuration has changed.
pub const NIC_CONFIG_VECTOR: u8 = 0xf5;

/// The interrupt vector by which one processor ends another's halt.
pub const KICK_VECTOR: u8 = 0xf6;
