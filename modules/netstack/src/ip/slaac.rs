//! Router discovery (RFC 4861 section 6.3) and stateless address configuration (RFC 4862 section
//! 5.5) as a pure machine: router advertisements and time go in; solicitations, and what becomes of
//! addresses, prefixes, routers and name servers, come out.
//!
//! Whoever runs it calls [`Slaac::poll`] until it returns `None` after each advertisement and at
//! [`Slaac::deadline`]. It does duplicate address detection and tells [`Slaac::on_duplicate`]. The
//! machine compares what holds with what it has told, so that no order of events leaves the two
//! apart.

use alloc::vec::Vec;
use core::{net::Ipv6Addr, time::Duration};

use netdev::MacAddress;

pub(crate) use self::advert::Preference;
use self::{
    advert::{Advert, Prefix},
    identifier::IdentifierSource,
};
use crate::time::Instant;

mod advert;
mod identifier;
#[cfg(test)]
mod tests;

/// RFC 4861 section 10: MAX_RTR_SOLICITATIONS and RTR_SOLICITATION_INTERVAL.
const SOLICITATIONS_MAX: u32 = 3;
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// Routers that are remembered: RFC 4861 section 6.3.4 asks for two at least.
const ROUTERS_MAX: usize = 4;
/// Prefixes on the link, and as many of our own addresses: networks have one to three.
const PREFIXES_MAX: usize = 8;
/// Name servers: as many as the resolver asks.
const DNS_SERVERS_MAX: usize = 4;
/// RFC 4862 section 5.5.3 (e): one forged advertisement cannot shorten a life below this.
const VALID_LIFETIME_KEPT: Duration = Duration::from_secs(2 * 60 * 60);
/// RFC 7217 section 7: IDGEN_RETRIES.
const DUPLICATES_MAX: u8 = 3;
/// Addresses are made of a prefix and an interface identifier of 64 bits each (RFC 4291 section
/// 2.5.1).
const PREFIX_LEN: u8 = 64;
/// RFC 8200 section 5: every link carries packets of this length.
const MTU_MIN: u32 = 1280;
/// A forged advertisement must not set a hop limit that keeps packets from reaching anybody.
const HOP_LIMIT_MIN: u8 = 32;
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
const FOREVER: Instant = Instant::from_micros(u64::MAX);

/// What is to be done or has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send a router solicitation to ff02::2 (RFC 4861 section 4.1), from an address that is no
    /// longer tentative or from the unspecified one.
    SolicitRouters,
    /// A new address, to be probed for duplicates. It says nothing about what is on the link (RFC
    /// 5942 section 4).
    AddAddress {
        address: Ipv6Addr,
        prefix_len: u8,
    },
    /// Whether an address may be the source of new connections (RFC 4862 section 5.5.4).
    SetDeprecated {
        address: Ipv6Addr,
        is_deprecated: bool,
    },
    RemoveAddress(Ipv6Addr),
    /// Addresses with this prefix are reached without a router.
    AddPrefix {
        prefix: Ipv6Addr,
        prefix_len: u8,
    },
    RemovePrefix {
        prefix: Ipv6Addr,
        prefix_len: u8,
    },
    /// The router for everything else, by its link-local address.
    DefaultRouter(Option<Ipv6Addr>),
    /// Best first.
    DnsServers(Vec<Ipv6Addr>),
    /// For IPv6 packets on this link; at least 1280.
    Mtu(u32),
    HopLimit(u8),
}

/// What is said about an interface by the routers on its link.
#[derive(Debug)]
pub(crate) struct Slaac {
    identifiers: IdentifierSource,
    mtu_max: u32,
    solicitations: Solicitations,
    addresses: Vec<Address>,
    prefixes: Vec<OnLink>,
    routers: Vec<Router>,
    servers: Vec<Server>,
    mtu: Option<u32>,
    hop_limit: Option<u8>,
    told: Told,
    /// The latest time that it was told.
    now: Instant,
}

#[derive(Debug)]
struct Solicitations {
    sent: u32,
    next: Instant,
}

/// One of our addresses. The first is link-local and lives for ever.
#[derive(Debug)]
struct Address {
    prefix: Ipv6Addr,
    /// `None` after too many duplicates.
    address: Option<Ipv6Addr>,
    duplicates: u8,
    preferred_until: Instant,
    valid_until: Instant,
    told: Option<(Ipv6Addr, IsDeprecated)>,
}

type IsDeprecated = bool;

#[derive(Debug)]
struct OnLink {
    prefix: Ipv6Addr,
    len: u8,
    until: Instant,
    is_told: bool,
}

#[derive(Debug)]
struct Router {
    address: Ipv6Addr,
    preference: Preference,
    until: Instant,
    is_unreachable: bool,
}

#[derive(Debug)]
struct Server {
    address: Ipv6Addr,
    until: Instant,
}

/// What was last told of that of which there is one.
#[derive(Debug, Default)]
struct Told {
    router: Option<Ipv6Addr>,
    servers: Vec<Ipv6Addr>,
    mtu: Option<u32>,
    hop_limit: Option<u8>,
}

impl Slaac {
    /// An interface that begins to look for routers at once: the wait of up to a second of RFC 4861
    /// section 6.3.7 is for many hosts that boot together. `secret` decides its addresses (RFC
    /// 7217): whoever keeps it has the same ones after the next boot.
    pub(crate) fn new(secret: [u64; 2], mac: MacAddress, mtu_max: u32, now: Instant) -> Self {
        let mut slaac = Slaac {
            identifiers: IdentifierSource::new(secret, mac),
            mtu_max,
            solicitations: Solicitations { sent: 0, next: now },
            addresses: Vec::new(),
            prefixes: Vec::new(),
            routers: Vec::new(),
            servers: Vec::new(),
            mtu: None,
            hop_limit: None,
            told: Told::default(),
            now,
        };
        slaac.add_address(LINK_LOCAL, FOREVER, FOREVER);
        slaac
    }

    /// The next thing to do at `now`; `None` until [`Slaac::deadline`] or the next advertisement.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Output> {
        self.now = now;
        let solicit = self.solicitations.poll(now);
        let output = solicit.or_else(|| self.difference(now));
        match &output {
            Some(output) => self.note_told(output),
            None => self.forget(now),
        }
        output
    }

    /// Takes a router advertisement: an ICMPv6 message whose checksum is right, with the source and
    /// the hop limit of its packet. Returns whether it is valid (RFC 4861 section 6.1.2).
    pub(crate) fn on_advert(
        &mut self,
        source: Ipv6Addr,
        hop_limit: u8,
        message: &[u8],
        now: Instant,
    ) -> bool {
        const UNFORWARDED: u8 = 255;
        if hop_limit != UNFORWARDED || !source.is_unicast_link_local() {
            return false;
        }
        let Some(advert) = Advert::parse(message) else {
            return false;
        };
        self.now = now;
        self.forget(now);
        self.take_router(source, &advert, now);
        for prefix in &advert.prefixes {
            self.take_prefix(prefix, now);
        }
        for (lifetime, address) in &advert.dns {
            self.take_server(*address, *lifetime, now);
        }
        let mtu = advert.mtu.filter(|mtu| (MTU_MIN..=self.mtu_max).contains(mtu));
        self.mtu = mtu.or(self.mtu);
        let hop_limit = Some(advert.hop_limit).filter(|limit| *limit >= HOP_LIMIT_MIN);
        self.hop_limit = hop_limit.or(self.hop_limit);
        true
    }

    /// Another host has `address` (RFC 4862 section 5.4): it is replaced by another one of the same
    /// prefix, a few times (RFC 7217 section 6).
    pub(crate) fn on_duplicate(&mut self, address: Ipv6Addr) {
        let found = self.addresses.iter_mut().find(|own| own.address == Some(address));
        if let Some(own) = found {
            own.duplicates += 1;
            let may_retry = own.duplicates <= DUPLICATES_MAX;
            own.address = may_retry.then(|| self.identifiers.address(own.prefix, own.duplicates));
        }
    }

    /// Another router is used, if there is one, until this one is heard again (RFC 4861 section
    /// 6.3.6).
    pub(crate) fn on_router_unreachable(&mut self, address: Ipv6Addr) {
        let routers = self.routers.iter_mut().filter(|router| router.address == address);
        routers.for_each(|router| router.is_unreachable = true);
    }

    /// Looks for routers again: the link has come back. What it knew holds until it ends.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.solicitations = Solicitations { sent: 0, next: now };
    }

    /// When [`Slaac::poll`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.difference(self.now).is_some() {
            return Some(self.now);
        }
        let addresses =
            self.addresses.iter().flat_map(|own| [own.preferred_until, own.valid_until]);
        let prefixes = self.prefixes.iter().map(|prefix| prefix.until);
        let routers = self.routers.iter().map(|router| router.until);
        let servers = self.servers.iter().map(|server| server.until);
        let ends = addresses.chain(prefixes).chain(routers).chain(servers);
        let end = ends.filter(|end| *end > self.now && *end != FOREVER).min();
        self.solicitations.deadline().into_iter().chain(end).min()
    }

    fn add_address(&mut self, prefix: Ipv6Addr, preferred: Instant, valid: Instant) {
        self.addresses.push(Address {
            prefix,
            address: Some(self.identifiers.address(prefix, 0)),
            duplicates: 0,
            preferred_until: preferred,
            valid_until: valid,
            told: None,
        });
    }

    /// RFC 4861 section 6.3.4.
    fn take_router(&mut self, address: Ipv6Addr, advert: &Advert, now: Instant) {
        let until = now + advert.router_lifetime;
        if !advert.router_lifetime.is_zero() {
            self.solicitations.stop();
        }
        let preference = advert.preference;
        if let Some(known) = self.routers.iter_mut().find(|router| router.address == address) {
            *known = Router { address, preference, until, is_unreachable: false };
        } else if until > now && self.has_room_for_router(preference) {
            self.routers.push(Router { address, preference, until, is_unreachable: false });
        }
    }

    /// Among too many routers one of lesser preference gives way.
    fn has_room_for_router(&mut self, preference: Preference) -> bool {
        if self.routers.len() < ROUTERS_MAX {
            return true;
        }
        let worse = self.routers.iter().rposition(|router| router.preference < preference);
        worse.map(|place| self.routers.remove(place)).is_some()
    }

    fn take_prefix(&mut self, prefix: &Prefix, now: Instant) {
        // RFC 4862 section 5.5.3 (b): that of link-local addresses is not the routers' affair.
        if prefix.prefix.is_unicast_link_local() {
            return;
        }
        if prefix.is_on_link {
            self.take_on_link(prefix, now);
        }
        if prefix.is_autonomous && prefix.preferred <= prefix.valid && prefix.len == PREFIX_LEN {
            self.take_autonomous(prefix, now);
        }
    }

    /// RFC 4861 section 6.3.4. A lifetime of zero ends what is known.
    fn take_on_link(&mut self, told: &Prefix, now: Instant) {
        let (prefix, len, until) = (told.prefix, told.len, now + told.valid);
        let is_same = |known: &&mut OnLink| (known.prefix, known.len) == (prefix, len);
        if let Some(known) = self.prefixes.iter_mut().find(is_same) {
            known.until = until;
        } else if until > now && self.prefixes.len() < PREFIXES_MAX {
            self.prefixes.push(OnLink { prefix, len, until, is_told: false });
        }
    }

    /// RFC 4862 section 5.5.3 (d) and (e).
    fn take_autonomous(&mut self, told: &Prefix, now: Instant) {
        let (preferred, valid) = (now + told.preferred, now + told.valid);
        let known = self.addresses.iter_mut().find(|own| own.prefix == told.prefix);
        if let Some(own) = known {
            let kept = own.valid_until.min(now + VALID_LIFETIME_KEPT);
            own.preferred_until = preferred;
            own.valid_until = valid.max(kept);
        } else if valid > now && self.addresses.len() <= PREFIXES_MAX {
            self.add_address(told.prefix, preferred, valid);
        }
    }

    /// RFC 8106 section 6.2: among too many the one that would end first gives way.
    fn take_server(&mut self, address: Ipv6Addr, lifetime: Duration, now: Instant) {
        let until = now + lifetime;
        if let Some(known) = self.servers.iter_mut().find(|server| server.address == address) {
            known.until = until;
            return;
        }
        if until > now && self.servers.len() == DNS_SERVERS_MAX {
            let ends = self.servers.iter().map(|server| server.until);
            let first = ends.enumerate().min_by_key(|(_, end)| *end);
            first.filter(|(_, end)| *end < until).map(|(place, _)| self.servers.remove(place));
        }
        if until > now && self.servers.len() < DNS_SERVERS_MAX {
            self.servers.push(Server { address, until });
        }
    }

    /// Drops what has ended and has been told to have.
    fn forget(&mut self, now: Instant) {
        self.addresses.retain(|own| own.valid_until > now || own.told.is_some());
        self.prefixes.retain(|prefix| prefix.until > now || prefix.is_told);
        self.routers.retain(|router| router.until > now);
        self.servers.retain(|server| server.until > now);
    }

    /// The first thing that is not as it was told.
    fn difference(&self, now: Instant) -> Option<Output> {
        let address = || self.addresses.iter().find_map(|own| own.difference(now));
        let prefix = || self.prefixes.iter().find_map(|prefix| prefix.difference(now));
        address().or_else(prefix).or_else(|| self.difference_of_one(now))
    }

    fn difference_of_one(&self, now: Instant) -> Option<Output> {
        let (told, router) = (&self.told, self.best_router(now));
        let servers: Vec<Ipv6Addr> = self.dns_servers(now).collect();
        if router != told.router {
            Some(Output::DefaultRouter(router))
        } else if servers != told.servers {
            Some(Output::DnsServers(servers))
        } else if self.mtu != told.mtu {
            self.mtu.map(Output::Mtu)
        } else if self.hop_limit != told.hop_limit {
            self.hop_limit.map(Output::HopLimit)
        } else {
            None
        }
    }

    /// The router that answers, is preferred (RFC 4191 section 3.1), and is in use already.
    fn best_router(&self, now: Instant) -> Option<Ipv6Addr> {
        let rank = |router: &&Router| {
            let is_used = Some(router.address) == self.told.router;
            (!router.is_unreachable, router.preference, is_used)
        };
        let living = self.routers.iter().rev().filter(|router| router.until > now);
        living.max_by_key(rank).map(|router| router.address)
    }

    fn dns_servers(&self, now: Instant) -> impl Iterator<Item = Ipv6Addr> {
        let living = self.servers.iter().filter(move |server| server.until > now);
        living.map(|server| server.address)
    }

    fn note_told(&mut self, output: &Output) {
        match output {
            Output::SolicitRouters => {}
            Output::AddAddress { address, .. } => self.note_address(*address, false),
            Output::SetDeprecated { address, is_deprecated } => {
                self.note_address(*address, *is_deprecated);
            }
            Output::RemoveAddress(address) => {
                let is_it = |own: &&mut Address| own.told.is_some_and(|told| told.0 == *address);
                self.addresses.iter_mut().filter(is_it).for_each(|own| own.told = None);
            }
            Output::AddPrefix { prefix, prefix_len } => {
                self.note_prefix(*prefix, *prefix_len, true);
            }
            Output::RemovePrefix { prefix, prefix_len } => {
                self.note_prefix(*prefix, *prefix_len, false);
            }
            Output::DefaultRouter(router) => self.told.router = *router,
            Output::DnsServers(servers) => self.told.servers.clone_from(servers),
            Output::Mtu(mtu) => self.told.mtu = Some(*mtu),
            Output::HopLimit(limit) => self.told.hop_limit = Some(*limit),
        }
    }

    fn note_address(&mut self, address: Ipv6Addr, is_deprecated: IsDeprecated) {
        let is_it = |own: &&mut Address| own.address == Some(address);
        let told = Some((address, is_deprecated));
        self.addresses.iter_mut().filter(is_it).for_each(|own| own.told = told);
    }

    fn note_prefix(&mut self, prefix: Ipv6Addr, len: u8, is_told: bool) {
        let is_it = |known: &&mut OnLink| (known.prefix, known.len) == (prefix, len);
        self.prefixes.iter_mut().filter(is_it).for_each(|known| known.is_told = is_told);
    }
}

impl Solicitations {
    fn poll(&mut self, now: Instant) -> Option<Output> {
        if self.deadline()? > now {
            return None;
        }
        self.sent += 1;
        self.next = now + SOLICITATION_INTERVAL;
        Some(Output::SolicitRouters)
    }

    /// RFC 4861 section 6.3.7: a router has been heard.
    fn stop(&mut self) {
        self.sent = SOLICITATIONS_MAX;
    }

    fn deadline(&self) -> Option<Instant> {
        (self.sent < SOLICITATIONS_MAX).then_some(self.next)
    }
}

impl Address {
    fn difference(&self, now: Instant) -> Option<Output> {
        let living = self.address.filter(|_| self.valid_until > now);
        let is_deprecated = self.preferred_until <= now;
        match (self.told, living) {
            (Some((told, _)), living) if living != Some(told) => Some(Output::RemoveAddress(told)),
            (None, Some(address)) => Some(Output::AddAddress { address, prefix_len: PREFIX_LEN }),
            (Some((address, told)), _) if told != is_deprecated => {
                Some(Output::SetDeprecated { address, is_deprecated })
            }
            _ => None,
        }
    }
}

impl OnLink {
    fn difference(&self, now: Instant) -> Option<Output> {
        let (prefix, prefix_len) = (self.prefix, self.len);
        match (self.is_told, self.until > now) {
            (false, true) => Some(Output::AddPrefix { prefix, prefix_len }),
            (true, false) => Some(Output::RemovePrefix { prefix, prefix_len }),
            _ => None,
        }
    }
}
