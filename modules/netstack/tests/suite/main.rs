//! What the stack does, seen from outside: two hosts on a link, or one host and hand-made frames.

#[path = "../../fuzz/src/cases/mod.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets are another crate")]
mod cases;
mod dhcp;
mod harness;
mod listener;
mod malformed;
mod memory;
mod neighbour;
mod orphan;
mod replay;
mod scale;
mod tcp;
mod time_wait;
mod transfer;
mod udp;
