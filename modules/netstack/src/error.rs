//! What can go wrong, one small enum per operation.

use core::fmt;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }

        impl core::error::Error for $name {}
    )*};
}

errors! {
    /// Why a socket could not be bound or could not listen.
    BindError {
        /// Another socket has the port.
        InUse = "the address is already in use",
        /// No interface has the address.
        NotOurs = "the address is not one of ours",
        /// Every ephemeral port is taken.
        NoPorts = "no ephemeral port is free",
        /// The memory budget is spent.
        NoMemory = "the stack's memory budget is spent",
        /// The backlog is zero.
        NoBacklog = "the backlog is zero",
    }

    /// Why a connection was not made.
    ConnectError {
        /// The handshake has not ended; ask again when woken.
        WouldBlock = "the connection is not yet established",
        /// The peer answered with a reset.
        Refused = "the connection was refused",
        /// The peer did not answer.
        TimedOut = "the connection attempt timed out",
        /// The interface has no address or no route to the peer.
        Unreachable = "the network is unreachable",
        /// The peer's address or port is unspecified, broadcast or multicast.
        Invalid = "not an address that can be connected to",
        /// The local address is taken, with the same peer.
        InUse = "the address is already in use",
        /// Every ephemeral port is taken.
        NoPorts = "no ephemeral port is free",
        /// The memory budget is spent.
        NoMemory = "the stack's memory budget is spent",
    }

    /// Why no connection could be accepted.
    AcceptError {
        /// None is waiting; ask again when woken.
        WouldBlock = "no connection is waiting",
    }

    /// Why a stream could not be read.
    ReadError {
        /// Nothing is there; ask again when woken.
        WouldBlock = "no data is waiting",
        /// The peer reset the connection.
        Reset = "the connection was reset by the peer",
        /// The peer stopped answering.
        TimedOut = "the connection timed out",
    }

    /// Why a stream could not be written.
    WriteError {
        /// The send buffer is full; ask again when woken.
        WouldBlock = "the send buffer is full",
        /// This end has shut its writing half down, or the connection has ended.
        Closed = "the connection is closed for writing",
        /// The peer reset the connection.
        Reset = "the connection was reset by the peer",
        /// The peer stopped answering.
        TimedOut = "the connection timed out",
    }

    /// Why a datagram could not be sent.
    SendError {
        /// The send buffer is full; ask again when woken.
        WouldBlock = "the send buffer is full",
        /// The interface has no address or no route to the peer.
        Unreachable = "the network is unreachable",
        /// The peer's address or port is unspecified, or of the other IP version.
        Invalid = "not an address that can be sent to",
        /// The datagram exceeds 65,507 bytes (IPv4) or the MTU (IPv6).
        TooLong = "the datagram is too long",
    }

    /// Why no datagram could be received.
    RecvError {
        /// None is waiting; ask again when woken.
        WouldBlock = "no datagram is waiting",
    }
}
