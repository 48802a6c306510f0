//! ArceOS glue: what the portable crates need from the kernel, and the kernel from them.
//!
//! It holds the few things that touch both sides: DMA memory, the interrupt of the network card,
//! the timer, the sleep between two pieces of work, and the way from a fresh kernel to a running
//! application. It is not a network stack, and not the upstream crate of the same name; the stack is
//! `netstack`, driven by `netasync`.
//!
//! - `runtime`: [`run`], which sets all of it up
//! - [`config`]: what the kernel's command line says; the one part that is here on a host as well
//! - `dma`: memory that devices read and write
//! - `idle`: sleeping without a periodic tick
//! - `irq`: the network card's interrupt
//! - [`memory`]: how much is left
//! - `nic`: finding and opening the network card

#![cfg_attr(
    not(target_os = "none"),
    allow(rustdoc::broken_intra_doc_links, reason = "most of it exists on the target alone")
)]
#![no_std]

extern crate alloc;

pub mod config;

#[cfg(target_os = "none")]
mod dma;
#[cfg(target_os = "none")]
mod idle;
#[cfg(target_os = "none")]
mod irq;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
mod nic;
#[cfg(target_os = "none")]
mod runtime;

#[cfg(target_os = "none")]
pub use {axstd::println, qemu_x86_64::command_line, runtime::run};
