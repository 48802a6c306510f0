//! Non-blocking sockets: `try_*` answers `WouldBlock`, `register` says when to try again.
//!
//! The rule for a task that must not miss an event: try, register, try again, then wait; if it does not
//! wait to the end, deregister. `is_ready` tells whether trying makes sense, and takes nothing.
//! Dropping a socket releases it; what it has written is still delivered.

mod icmp;
mod raw;
mod tcp;
mod udp;

pub use self::{
    icmp::IcmpSocket,
    raw::RawSocket,
    tcp::{TcpListener, TcpStream},
    udp::UdpSocket,
};
