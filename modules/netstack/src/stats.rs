//! What the stack counts: every received packet ends in exactly one place.

macro_rules! stats {
    (
        counters { $($(#[$doc:meta])* $name:ident,)* }
        drops { $($(#[$drop_doc:meta])* $reason:ident => $drop:ident,)* }
        gauges { $($(#[$gauge_doc:meta])* $gauge:ident,)* }
    ) => {
        /// Counters since the stack was made, and gauges of what it holds now.
        ///
        /// Every packet received from a device or looped back ends in exactly one of
        /// `packets_delivered`, `packets_answered`, `fragments_held` and the reasons that
        /// [`dropped`](Self::dropped) sums up.
        ///
        /// ```
        /// # mod world {
        /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs"));
        /// # }
        /// # use netstack::*;
        /// # let (stack, mut poll) = world::host();
        /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
        /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
        /// let before: Stats = stack.stats();
        /// here.try_send_to(b"hello", there.local_addr())?;
        /// poll();
        /// let after = stack.stats();
        /// assert_eq!(after.packets_delivered - before.packets_delivered, 1);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            $($(#[$drop_doc])* pub $drop: u64,)*
            $($(#[$gauge_doc])* pub $gauge: u64,)*
        }

        /// Figures taken together.
        impl Stats {
            /// Every figure with its name, in the order of the struct.
            ///
            /// ```
            /// let stats = netstack::Stats { frames_sent: 3, ..Default::default() };
            /// let figures: Vec<_> = stats.iter().filter(|(_, figure)| *figure > 0).collect();
            /// assert_eq!(figures, [("frames_sent", 3)]);
            /// ```
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [
                    $((stringify!($name), self.$name),)*
                    $((stringify!($drop), self.$drop),)*
                    $((stringify!($gauge), self.$gauge),)*
                ].into_iter()
            }

            /// Received packets that were dropped, for whatever reason.
            ///
            /// ```
            /// let dropped = netstack::Stats { dropped_malformed_ip: 2, ..Default::default() };
            /// assert_eq!(netstack::Stats { dropped_no_socket: 1, ..dropped }.dropped(), 3);
            /// ```
            pub fn dropped(&self) -> u64 {
                0 $(+ self.$drop)*
            }

            pub(crate) fn count_drop(&mut self, reason: Reason) {
                match reason { $(Reason::$reason => self.$drop += 1,)* }
            }
        }

        /// Why a received packet was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Reason { $($reason,)* }
    };
}

stats! {
    counters {
        /// Frames taken from devices.
        frames_received,
        /// Packets taken from the loopback interface.
        packets_looped,
        /// Frames handed to devices and to the loopback interface.
        frames_sent,
        /// Bytes of those received, from the Ethernet header on.
        bytes_received,
        /// Bytes of those sent, from the Ethernet header on.
        bytes_sent,
        /// Received packets that a socket or a table took.
        packets_delivered,
        /// Received packets that were answered and needed nothing else.
        packets_answered,
        /// Received fragments that wait for the rest of their datagram, or completed it.
        fragments_held,
        /// Datagrams put together from fragments.
        datagrams_reassembled,
        /// Datagrams whose missing fragments did not come in time.
        reassembly_timed_out,
        /// Datagrams whose fragments overlapped (RFC 5722).
        reassembly_overlapped,
        /// Incomplete datagrams given up for newer ones.
        reassembly_evicted,
        /// Others that claimed an address of ours.
        address_conflicts,
        /// Connections whose handshake this end accepted and completed.
        tcp_accepted,
        /// Connections that this end opened.
        tcp_connected,
        /// Connections that the peer reset.
        tcp_reset,
        /// Connections given up because the peer stopped answering.
        tcp_timed_out,
        /// Half-open connections given up for newer ones.
        evicted_half_open,
        /// Datagrams of ours dropped because the neighbour they were for did not answer.
        dropped_no_neighbour,
        /// Datagrams of ours dropped because their address or route had gone.
        dropped_no_route,
        /// Frames of the stack's own dropped because too many waited for the device.
        dropped_queue_full,
    }
    drops {
        /// Frames shorter than an Ethernet header, or from a group address.
        MalformedFrame => dropped_malformed_frame,
        /// Frames for another station.
        OtherStation => dropped_other_station,
        /// Frames of an unknown EtherType.
        UnknownEthertype => dropped_unknown_ethertype,
        /// ARP packets that are not sound.
        MalformedArp => dropped_malformed_arp,
        /// ARP packets that tell us nothing.
        UnwantedArp => dropped_unwanted_arp,
        /// IP headers that are not sound.
        MalformedIp => dropped_malformed_ip,
        /// Wrong IPv4 header checksums.
        IpChecksum => dropped_ip_checksum,
        /// Packets from addresses that no host may send from (RFC 1122 section 3.2.1.3).
        MartianSource => dropped_martian_source,
        /// Packets for addresses and groups that are not ours.
        OtherHost => dropped_other_host,
        /// Fragments that cannot be part of a datagram, or are of a rejected one.
        BadFragment => dropped_bad_fragment,
        /// IPv6 extension headers that end the packet (RFC 8200 section 4).
        ExtensionHeader => dropped_extension_header,
        /// Packets of a protocol that we do not speak, not answered.
        UnknownProtocol => dropped_unknown_protocol,
        /// ICMP messages that are not sound.
        MalformedIcmp => dropped_malformed_icmp,
        /// Wrong ICMP checksums.
        IcmpChecksum => dropped_icmp_checksum,
        /// ICMP messages that concern nobody.
        UnwantedIcmp => dropped_unwanted_icmp,
        /// Neighbour and router discovery that is not sound (RFC 4861 sections 6.1 and 7.1).
        MalformedNdp => dropped_malformed_ndp,
        /// Group membership messages that are not sound.
        MalformedMembership => dropped_malformed_membership,
        /// What an ICMP error would have answered, had there not been so many.
        RateLimited => dropped_icmp_rate_limited,
        /// UDP headers that are not sound.
        MalformedUdp => dropped_malformed_udp,
        /// Wrong UDP checksums.
        UdpChecksum => dropped_udp_checksum,
        /// Datagrams for a port of nobody that may not be answered.
        NoSocket => dropped_no_socket,
        /// Datagrams for a socket whose buffer was full.
        BufferFull => dropped_buffer_full,
        /// TCP headers that are not sound.
        MalformedTcp => dropped_malformed_tcp,
        /// Wrong TCP checksums.
        TcpChecksum => dropped_tcp_checksum,
        /// Segments to broadcast and multicast addresses (RFC 1122 section 4.2.3.10).
        TcpNotUnicast => dropped_tcp_not_unicast,
        /// Segments for nobody that may not be answered.
        NoConnection => dropped_no_connection,
        /// SYNs dropped because the listener's accept queue was full.
        BacklogFull => dropped_backlog_full,
        /// SYNs and datagrams dropped because the memory budget was spent.
        NoMemory => dropped_no_memory,
        /// Segments of a connection in TIME-WAIT that needed no answer.
        TimeWait => dropped_time_wait,
    }
    gauges {
        /// Gauge: connections that the application holds.
        tcp_open,
        /// Gauge: connections waiting to be accepted.
        tcp_backlog,
        /// Gauge: connections whose handshake has not ended.
        tcp_half_open,
        /// Gauge: connections that the application has dropped and that are still delivering.
        tcp_orphans,
        /// Gauge: connections in TIME-WAIT.
        tcp_time_wait,
        /// Gauge: listeners.
        tcp_listeners,
        /// Gauge: UDP sockets.
        udp_sockets,
        /// Gauge: ICMP and raw sockets.
        raw_sockets,
        /// Gauge: neighbours known or asked for.
        neighbours,
        /// Gauge: bytes of the memory budget in use.
        memory_used,
    }
}

/// What became of a received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A socket or a table took it.
    Delivered,
    /// An answer went back, and that was all.
    Answered,
    /// A fragment whose datagram is not complete.
    Held,
    Dropped(Reason),
}

impl Stats {
    pub(crate) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Delivered => self.packets_delivered += 1,
            Verdict::Answered => self.packets_answered += 1,
            Verdict::Held => self.fragments_held += 1,
            Verdict::Dropped(reason) => self.count_drop(reason),
        }
    }
}
