//! ArceOS glue: what the portable crates need from the kernel, and the kernel from them.
//!
//! It holds the few things that touch both sides: DMA memory, the interrupt of the network card,
//! the timer, the sleep between two pieces of work, and the way from a fresh kernel to a running
//! application. It is not a network stack; that is `netstack`, driven by `netasync`.
//!
//! With the feature `smoltcp`, which is on by default and called so upstream, it is also a drop-in
//! for upstream's crate of the same name and version: a program written for `axstd::net` runs on
//! this stack with one line,
//!
//! ```toml
//! [patch.crates-io]
//! axnet = { path = "../axwire/modules/axnet" }
//! ```
//!
//! - `runtime`: [`run`], which sets everything up for an asynchronous application
//! - [`blocking`]: sockets with upstream's interface; here on a host as well
//! - `dropin`: [`init_network`], [`TcpSocket`], [`UdpSocket`], [`dns_query`]: upstream's interface
//! - [`config`]: what the kernel's command line says; here on a host as well
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

#[cfg(any(not(target_os = "none"), feature = "smoltcp"))]
pub mod blocking;
pub mod config;

#[cfg(target_os = "none")]
mod dma;
#[cfg(all(target_os = "none", feature = "smoltcp"))]
mod dropin;
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

#[cfg(all(target_os = "none", feature = "smoltcp"))]
pub use dropin::{
    TcpSocket, UdpSocket, bench_receive, bench_transmit, dns_query, init_network, poll_interfaces,
};
#[cfg(target_os = "none")]
pub use {axlog::ax_println as println, qemu_x86_64::command_line, runtime::run};
