//! Router advertisements (RFC 4861 section 4.2), parsed and bounded.
//!
//! smoltcp's `NdiscRepr` keeps one prefix and no name servers, so the options are walked here; each
//! of those that smoltcp knows is parsed by it.

use alloc::vec::Vec;
use core::{net::Ipv6Addr, time::Duration};

use smoltcp::wire::{
    Icmpv6Message, Icmpv6Packet, NdiscOption, NdiscOptionRepr, NdiscPrefixInfoFlags,
    NdiscPrefixInformation,
};

/// Prefixes of one advertisement that are looked at. Those in use may come after those that are
/// not.
const PREFIXES_MAX: usize = 16;
/// Name servers of one advertisement that are looked at.
const DNS_SERVERS_MAX: usize = 8;
/// RFC 4861 section 4.6.2, RFC 8106 section 5.1: for ever.
const LIFETIME_INFINITE_SECS: u64 = u32::MAX as u64;

/// How much its network wants a router to be used (RFC 4191 section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Preference {
    Low,
    Medium,
    High,
}

/// A prefix information option (RFC 4861 section 4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Without bits beyond its length.
    pub(super) prefix: Ipv6Addr,
    /// From 1 to 128.
    pub(super) len: u8,
    pub(super) is_on_link: bool,
    pub(super) is_autonomous: bool,
    pub(super) valid: Duration,
    pub(super) preferred: Duration,
}

/// What an advertisement says to hosts without DHCPv6.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advert {
    /// Zero if it does not say.
    pub(super) hop_limit: u8,
    pub(super) preference: Preference,
    pub(super) router_lifetime: Duration,
    pub(super) mtu: Option<u32>,
    pub(super) prefixes: Vec<Prefix>,
    /// Name servers, and for how long each is one.
    pub(super) dns: Vec<(Duration, Ipv6Addr)>,
}

impl Advert {
    /// `None` if it must be discarded as a whole (RFC 4861 section 6.1.2).
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        const HEADER_LEN: usize = 16;
        const FLAGS_AT: usize = 5;
        let packet = Icmpv6Packet::new_checked(message).ok()?;
        let options = message.get(HEADER_LEN..)?;
        if packet.msg_type() != Icmpv6Message::RouterAdvert || packet.msg_code() != 0 {
            return None;
        }
        let mut advert = Advert {
            hop_limit: packet.current_hop_limit(),
            preference: Preference::of_flags(message[FLAGS_AT]),
            router_lifetime: Duration::from_secs(packet.router_lifetime().secs()),
            mtu: None,
            prefixes: Vec::new(),
            dns: Vec::new(),
        };
        advert.take_options(options)?;
        Some(advert)
    }

    /// One that is malformed makes the whole message so, one that is unknown does not.
    fn take_options(&mut self, mut options: &[u8]) -> Option<()> {
        const UNIT: usize = 8;
        while let [_, units, ..] = *options {
            let len = usize::from(units) * UNIT;
            let (option, rest) = options.split_at_checked(len).filter(|_| len > 0)?;
            let option = NdiscOption::new_checked(option);
            if let Ok(option) = option.and_then(|option| NdiscOptionRepr::parse(&option)) {
                self.take(option);
            }
            options = rest;
        }
        options.is_empty().then_some(())
    }

    fn take(&mut self, option: NdiscOptionRepr<'_>) {
        const RDNSS: u8 = 25;
        match option {
            NdiscOptionRepr::Mtu(mtu) => self.mtu = Some(mtu),
            NdiscOptionRepr::PrefixInformation(prefix) => {
                let room = PREFIXES_MAX - self.prefixes.len();
                self.prefixes.extend(Prefix::new(&prefix).into_iter().take(room));
            }
            NdiscOptionRepr::Unknown { type_: RDNSS, data, .. } => self.take_dns(data),
            _ => {}
        }
    }

    /// RFC 8106 section 5.1: two reserved bytes, a lifetime, addresses.
    fn take_dns(&mut self, data: &[u8]) {
        const ADDRESS_LEN: usize = 16;
        let Some((&[_, _, a, b, c, d], addresses)) = data.split_first_chunk() else {
            return;
        };
        let lifetime = lifetime(u32::from_be_bytes([a, b, c, d]).into());
        let addresses = addresses.as_chunks::<ADDRESS_LEN>().0.iter().copied();
        let is_host =
            |ip: &Ipv6Addr| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
        let servers = addresses.map(Ipv6Addr::from).filter(is_host).map(|ip| (lifetime, ip));
        self.dns.extend(servers.take(DNS_SERVERS_MAX - self.dns.len()));
    }
}

impl Preference {
    /// RFC 4191 section 2.2: the reserved value means the middle.
    fn of_flags(flags: u8) -> Self {
        match flags >> 3 & 0b11 {
            0b01 => Preference::High,
            0b11 => Preference::Low,
            _ => Preference::Medium,
        }
    }
}

impl Prefix {
    /// `None` for one that is not a prefix of hosts, or of every address there is.
    fn new(option: &NdiscPrefixInformation) -> Option<Self> {
        let len = option.prefix_len;
        let host_bits = u32::from(128_u8.checked_sub(len)?);
        let mask = u128::MAX.checked_shl(host_bits)?;
        let prefix = Ipv6Addr::from(u128::from(option.prefix) & mask);
        let is_of_hosts =
            !prefix.is_multicast() && !prefix.is_unspecified() && !prefix.is_loopback();
        is_of_hosts.then(|| Prefix {
            prefix,
            len,
            is_on_link: option.flags.contains(NdiscPrefixInfoFlags::ON_LINK),
            is_autonomous: option.flags.contains(NdiscPrefixInfoFlags::ADDRCONF),
            valid: lifetime(option.valid_lifetime.secs()),
            preferred: lifetime(option.preferred_lifetime.secs()),
        })
    }
}

fn lifetime(secs: u64) -> Duration {
    if secs == LIFETIME_INFINITE_SECS { Duration::MAX } else { Duration::from_secs(secs) }
}
