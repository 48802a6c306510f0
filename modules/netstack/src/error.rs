//! What can go wrong, one small enum per operation.

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
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
        /// The socket is bound already.
        Bound = "the socket is bound already",
        /// The address is of another IP version than the socket.
        WrongFamily = "the address is of another IP version",
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
        /// The interface has lost its address or its way to the peer.
        Unreachable = "the network is unreachable",
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
        /// The interface has lost its address or its way to the peer.
        Unreachable = "the network is unreachable",
    }

    /// Why a datagram could not be sent.
    SendError {
        /// The send buffer is full; ask again when woken.
        WouldBlock = "the send buffer is full",
        /// The interface has no address or no route to the peer.
        Unreachable = "the network is unreachable",
        /// The peer's address or port is unspecified, or of the other IP version.
        Invalid = "not an address that can be sent to",
        /// The datagram exceeds 65,507 bytes (IPv4) or 65,527 (IPv6).
        TooLong = "the datagram is too long",
        /// A broadcast address, and the socket may not send there.
        NoBroadcast = "the socket may not send to broadcast addresses",
        /// No address was given, and the socket has no peer.
        NotConnected = "the socket is not connected",
        /// The peer has answered an earlier datagram with "port unreachable".
        Refused = "the peer has nobody at that port",
        /// Every ephemeral port is taken.
        NoPorts = "no ephemeral port is free",
        /// The memory budget is spent.
        NoMemory = "the stack's memory budget is spent",
    }

    /// Why no datagram could be received.
    RecvError {
        /// None is waiting; ask again when woken.
        WouldBlock = "no datagram is waiting",
        /// The peer has answered an earlier datagram with "port unreachable".
        Refused = "the peer has nobody at that port",
    }

    /// Why a group was not joined or left.
    JoinError {
        /// It is not a multicast address, or of the other IP version.
        Invalid = "not a group that the socket can join",
        /// There is no such interface, or none with an address of this IP version.
        NoInterface = "there is no such interface",
        /// A socket may be in 20 groups, an interface in 64.
        TooMany = "too many groups have been joined",
        /// The socket is in the group already.
        Exists = "the group has been joined already",
        /// The socket is not in the group.
        NotFound = "the group has not been joined",
    }

    /// Why a buffer did not get another size.
    BufferError {
        /// Less than 2 KiB.
        TooSmall = "the buffer is too small for a datagram",
        /// More than 4 MiB.
        TooLarge = "the buffer is larger than a socket may have",
    }

    /// Why a name has no address.
    ResolveError {
        /// It is being looked for; ask again when woken.
        WouldBlock = "the name is being looked for",
        /// It cannot be a name.
        InvalidName = "not a valid name",
        /// Too many names are being looked for.
        TooMany = "too many names are being looked for",
        /// The name does not exist.
        NotFound = "the name does not exist",
        /// It exists, but has no address of the kind wanted.
        NoAddress = "the name has no such address",
        /// Every server has failed or refused to answer.
        ServerFailure = "the name servers have failed",
        /// No server has answered.
        TimedOut = "the name servers do not answer",
        /// There is no server to ask.
        NoServers = "there is no name server",
    }
}
