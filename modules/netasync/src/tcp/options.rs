//! What can be set on a connection, and on a socket for the connections that it is to make.

use core::time::Duration;

use netstack::{KeepAlive, TcpOptions};

use super::{TcpSocket, TcpStream};

/// What an example of an option has around it.
macro_rules! example {
    ($($line:expr),*) => {
        concat!(
            "\n```\n# mod world { include!(concat!(env!(\"CARGO_MANIFEST_DIR\"), ",
            "\"/tests/world/example.rs\")); }\n",
            "# use core::time::Duration;\n# use netasync::*;\n# use netstack::KeepAlive;\n",
            "# let minute = Duration::from_secs(60);\n# world::run(async {\n",
            "# let (client, _server) = world::pair().await?;\n",
            $($line,)* "# Ok(()) });\n```"
        )
    };
}

/// Each with its default and another value, for the examples.
macro_rules! options {
    ($(
        $(#[$doc:meta])*
        $get:ident, $set:ident: $kind:ty = $field:ident, $default:literal, $other:literal;
    )*) => {
        /// Options. A value out of range is taken as the nearest in it; what is read back is what
        /// holds.
        impl TcpStream {
            $(
                $(#[$doc])*
                #[doc = example!(
                    "client.", stringify!($set), "(", $other, ");\n",
                    "assert_eq!(client.", stringify!($get), "(), ", $other, ");\n"
                )]
                pub fn $set(&self, value: $kind) {
                    self.change_options(|options| options.$field = value);
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set.")]
                #[doc = example!("assert_eq!(client.", stringify!($get), "(), ", $default, ");\n")]
                pub fn $get(&self) -> $kind {
                    self.options().$field
                }
            )*
        }

        /// Options of the connections that the socket makes or accepts.
        impl TcpSocket {
            $(
                #[doc = concat!(
                    "As [`TcpStream::", stringify!($set), "`]; has no effect once the socket ",
                    "listens or is connected."
                )]
                #[doc = example!(
                    "let mut socket = TcpSocket::new();\n",
                    "socket.", stringify!($set), "(", $other, ");\n",
                    "assert_eq!(socket.", stringify!($get), "(), ", $other, ");\n"
                )]
                pub fn $set(&mut self, value: $kind) {
                    self.options.connection.$field = value;
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set.")]
                #[doc = example!(
                    "assert_eq!(TcpSocket::new().", stringify!($get), "(), ", $default, ");\n"
                )]
                pub fn $get(&self) -> $kind {
                    self.options.connection.$field
                }
            )*
        }
    };
}

options! {
    /// Sends small writes at once instead of gathering them while data is in flight (RFC 9293
    /// section 3.7.4). Off by default.
    nodelay, set_nodelay: bool = nodelay, "false", "true";
    /// Probes a silent peer (RFC 9293 section 3.8.4): after `idle`, then `count` times, `interval`
    /// apart; if none is answered, the connection has timed out. At least a second each, and one
    /// probe. `None`, the default, never probes.
    keep_alive, set_keep_alive_probes: Option<KeepAlive> = keep_alive,
        "None", "Some(KeepAlive { idle: minute, interval: minute, count: 3 })";
    /// How long a dropped connection may go on delivering before it is reset; zero resets it at
    /// once. `None`, the default, is five minutes.
    linger, set_linger: Option<Duration> = linger, "None", "Some(Duration::ZERO)";
    /// How long data may go unacknowledged before the connection has timed out (RFC 5482): at least
    /// a second, two minutes by default.
    user_timeout, set_user_timeout: Duration = user_timeout, "2 * minute", "minute / 2";
    /// Hops that a packet may take, IPv4's time to live and IPv6's hop limit: at least 1, 64 by
    /// default.
    ttl, set_ttl: u8 = hop_limit, "64", "3";
    /// Bytes that may be written and not acknowledged: 512 to 16 MiB, 256 KiB by default.
    send_buffer_size, set_send_buffer_size: usize = send_buffer_len, "256 * 1024", "1 << 20";
    /// Bytes that may arrive and not be read: 512 to 16 MiB, 1 MiB by default. A connection's
    /// cannot exceed what the window scale of its handshake can say; a [`TcpSocket`]'s can.
    recv_buffer_size, set_recv_buffer_size: usize = receive_buffer_len, "1 << 20", "64 * 1024";
}

impl TcpStream {
    /// [`set_keep_alive_probes`](Self::set_keep_alive_probes) with one time for all, and four
    /// probes.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use core::time::Duration;
    /// # world::run(async {
    /// # let (client, _server) = world::pair().await?;
    /// client.set_keep_alive(Some(Duration::from_secs(60)));
    /// assert_eq!(client.keep_alive().expect("just set").count, 4);
    /// # Ok(()) });
    /// ```
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        self.set_keep_alive_probes(interval.map(probes));
    }

    fn change_options(&self, change: impl FnOnce(&mut TcpOptions)) {
        let mut options = self.options();
        change(&mut options);
        self.set_options(options);
    }
}

impl TcpSocket {
    /// As [`TcpStream::set_keep_alive`]; has no effect once the socket listens or is connected.
    ///
    /// ```
    /// # use core::time::Duration;
    /// let mut socket = netasync::TcpSocket::new();
    /// socket.set_keep_alive(Some(Duration::from_secs(60)));
    /// assert_eq!(socket.keep_alive().expect("just set").count, 4);
    /// ```
    pub fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.set_keep_alive_probes(interval.map(probes));
    }
}

/// Four probes, each as long after the one before as the first after the last sign of life.
fn probes(interval: Duration) -> KeepAlive {
    const COUNT: u8 = 4;
    KeepAlive { idle: interval, interval, count: COUNT }
}
