//! What the stack does, seen from outside: two hosts on a link, or one host and hand-made frames.

mod dhcp;
mod harness;
mod listener;
mod malformed;
mod memory;
mod neighbour;
mod orphan;
mod scale;
mod tcp;
mod time_wait;
mod transfer;
mod udp;
