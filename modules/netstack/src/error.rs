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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
    /// let second = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8);
    /// assert_eq!(second.unwrap_err(), BindError::InUse);
    /// assert_eq!(BindError::InUse.to_string(), "the address is already in use");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let stream = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
    /// assert_eq!(stream.try_connected(), Err(ConnectError::WouldBlock));
    /// poll();
    /// assert_eq!(stream.try_connected(), Err(ConnectError::Refused));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
    /// assert_eq!(listener.try_accept().unwrap_err(), AcceptError::WouldBlock);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    AcceptError {
        /// None is waiting; ask again when woken.
        WouldBlock = "no connection is waiting",
    }

    /// Why a stream could not be read.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// assert_eq!(client.try_read(&mut [0; 100]), Err(ReadError::WouldBlock));
    /// server.abort();
    /// poll();
    /// assert_eq!(client.try_read(&mut [0; 100]), Err(ReadError::Reset));
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// client.shutdown(Shutdown::Write);
    /// assert_eq!(client.try_write(b"hello"), Err(WriteError::Closed));
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// let sent = here.try_send_to(&[0; 70_000], there.local_addr());
    /// assert_eq!(sent, Err(SendError::TooLong));
    /// assert_eq!(here.try_send(b"hello"), Err(SendError::NotConnected));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert_eq!(here.try_recv(&mut [0; 100]), Err(RecvError::WouldBlock));
    /// here.connect("127.0.0.1:1000".parse()?)?;
    /// here.try_send(b"is anybody there?")?;
    /// poll();
    /// assert_eq!(here.try_recv(&mut [0; 100]), Err(RecvError::Refused));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    RecvError {
        /// None is waiting; ask again when woken.
        WouldBlock = "no datagram is waiting",
        /// The peer has answered an earlier datagram with "port unreachable".
        Refused = "the peer has nobody at that port",
    }

    /// Why a group was not joined or left.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert_eq!(here.join([10, 0, 0, 2].into(), None), Err(JoinError::Invalid));
    /// assert_eq!(here.leave([224, 0, 0, 251].into(), None), Err(JoinError::NotFound));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert_eq!(here.set_receive_buffer(100), Err(BufferError::TooSmall));
    /// assert_eq!(here.set_send_buffer(1 << 30), Err(BufferError::TooLarge));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    BufferError {
        /// Less than 2 KiB.
        TooSmall = "the buffer is too small for a datagram",
        /// More than 4 MiB.
        TooLarge = "the buffer is larger than a socket may have",
    }

    /// Why a name has no address.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let lookup = stack.resolve("no..name", Want::Any)?;
    /// assert_eq!(lookup.try_result(), Err(ResolveError::WouldBlock));
    /// poll();
    /// assert_eq!(lookup.try_result(), Err(ResolveError::InvalidName));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
