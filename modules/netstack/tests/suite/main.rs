//! What the stack does, seen from outside: two hosts on a link, or one host and hand-made frames.

#[path = "../../fuzz/src/cases/mod.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets are another crate")]
mod cases;
mod counters;
mod dhcp;
mod dns;
mod fragments;
mod groups;
mod harness;
mod icmp;
mod interfaces;
mod listen_options;
mod listener;
mod loopback;
mod malformed;
mod memory;
mod ndp;
mod neighbour;
mod offload;
mod options;
mod orphan;
mod replay;
mod scale;
mod slaac;
mod statistics;
mod tcp;
mod time_wait;
mod timeline;
mod transfer;
mod udp;
mod waiting;
