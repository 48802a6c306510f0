//! The DHCPv4 client (RFC 2131) as a pure machine: messages, time and random numbers go in,
//! messages and a configuration come out.
//!
//! Whoever runs it hands over every datagram for port 68 that comes from port 67, whatever its
//! destination address (an offer may go to the address that is still only offered), calls
//! [`Client::poll`] until it returns `None` after each of them and at [`Client::deadline`], and
//! sends what it is told from port 68 to port 67.
//!
//! | module | what lives there |
//! |---|---|
//! | `message` | the format: requests are written, replies parsed |
//! | `lease` | what an offer or acknowledgement must hold to be believed |

use alloc::{string::String, vec::Vec};
use core::{mem, net::Ipv4Addr, time::Duration};

use netdev::MacAddress;
use rand_core::Rng;

pub(crate) use self::lease::Config;
use self::{
    lease::Lease,
    message::{Reply, ReplyKind, Request, RequestKind},
};
use crate::time::Instant;

mod lease;
mod message;
#[cfg(test)]
mod tests;

/// Waits before each retransmission. RFC 2131 section 4.1 begins with 4 s; the first is shorter,
/// because at boot the first message is often lost (a bridge port that does not forward yet) and
/// the whole machine waits for the answer.
const RETRY_SECS: [u32; 6] = [1, 4, 8, 16, 32, 64];
/// RFC 2131 section 4.1: each wait is randomized by up to a second. A quarter of it for the first.
const RETRY_JITTER_MS: [u32; 6] = [250, 1000, 1000, 1000, 1000, 1000];
/// Requests for one offer: 13 s without an answer, and the server is looked for anew.
const REQUESTS_MAX: usize = 4;
/// The client looks for servers anew no more often than this: a server that refuses what it has
/// just offered would otherwise keep both busy.
const RESTART_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// RFC 2131 section 4.4.5: the shortest wait before a renewal is sent again.
const RENEWAL_RETRY_MIN: Duration = Duration::from_secs(60);
/// A lease too short for waits of a minute is asked for at this part of its length.
const RENEWAL_RETRY_MIN_DIVISOR: u32 = 8;
/// RFC 1035 section 2.3.4: a host name is a label.
const HOSTNAME_LEN_MAX: usize = 63;

/// What the client wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Transmit(Transmit),
    /// The interface is to have this configuration instead of the one before.
    Configured(Config),
    /// The lease is over: the address must not be used any more.
    Deconfigured,
}

/// A datagram to send from port 68 to port 67.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    /// Unspecified as long as there is no lease.
    pub(crate) source: Ipv4Addr,
    /// The server, or the limited broadcast address.
    pub(crate) destination: Ipv4Addr,
    pub(crate) payload: Vec<u8>,
}

/// One interface's client.
#[derive(Debug)]
pub(crate) struct Client {
    mac: MacAddress,
    hostname: Option<String>,
    /// The largest MTU that the link carries.
    mtu_max: u16,
    state: State,
    /// What the last `Configured` said.
    announced: Option<Config>,
    /// When servers were last looked for.
    begun: Option<Instant>,
}

/// The states of RFC 2131 figure 5.
#[derive(Debug)]
enum State {
    Init { at: Instant },
    Selecting(Exchange),
    Requesting { exchange: Exchange, address: Ipv4Addr, server: Ipv4Addr },
    Leased { lease: Lease, since: Instant, phase: Phase },
    Released,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Bound,
    /// The link has come back, and it is not known whether the lease holds there.
    Rebooting(Exchange),
    Renewing(Exchange),
    Rebinding(Exchange),
}

/// One transaction.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    xid: u32,
    begun: Instant,
    /// RFC 2131 section 2: how long it has lasted, as its messages say.
    secs: u16,
    /// When the last message was sent.
    sent: Instant,
    /// How many were.
    count: usize,
    /// When the next one is due.
    next: Instant,
}

impl Exchange {
    fn new(now: Instant, rng: &mut impl Rng) -> Self {
        Exchange { xid: rng.next_u32(), begun: now, secs: 0, sent: now, count: 0, next: now }
    }

    fn note_sent(&mut self, now: Instant, wait: Duration) {
        self.sent = now;
        self.count += 1;
        self.next = now + wait;
    }

    fn note_duration(&mut self, now: Instant) {
        let secs = now.saturating_since(self.begun).as_secs();
        self.secs = u16::try_from(secs).unwrap_or(u16::MAX);
    }
}

impl Client {
    /// A client that begins at once: one machine's boot is not the herd that the wait of up to ten
    /// seconds of RFC 2131 section 4.4.1 is for. A host name longer than 63 bytes is not sent.
    pub(crate) fn new(mac: MacAddress, hostname: Option<&str>, mtu_max: u16, now: Instant) -> Self {
        let fits = |name: &&str| (1..=HOSTNAME_LEN_MAX).contains(&name.len());
        Client {
            mac,
            hostname: hostname.filter(fits).map(String::from),
            mtu_max,
            state: State::Init { at: now },
            announced: None,
            begun: None,
        }
    }

    /// The next thing to do at `now`; `None` until [`Client::deadline`] or the next message.
    pub(crate) fn poll(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Output> {
        loop {
            if let Some(event) = self.event() {
                return Some(event);
            }
            if self.timer()? > now {
                return None;
            }
            if let Some(transmit) = self.step(now, rng) {
                return Some(Output::Transmit(transmit));
            }
        }
    }

    /// Takes a message from a server. Returns whether it was an answer to this client that changed
    /// something.
    pub(crate) fn on_message(&mut self, payload: &[u8], now: Instant) -> bool {
        match Reply::parse(payload, self.mac) {
            Some(reply) if Some(reply.xid) == self.xid() => match reply.kind {
                ReplyKind::Offer => self.on_offer(&reply, now),
                ReplyKind::Ack => self.on_ack(&reply),
                ReplyKind::Nak => self.on_nak(&reply, now),
            },
            _ => false,
        }
    }

    /// When [`Client::poll`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.config() == self.announced.as_ref() {
            true => self.timer(),
            false => Some(Instant::ZERO),
        }
    }

    /// Gives the lease back (RFC 2131 section 4.4.6) and stops. Returns the message to send, which
    /// is sent before the address is taken from the interface.
    pub(crate) fn release(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Transmit> {
        let State::Leased { lease, .. } = mem::replace(&mut self.state, State::Released) else {
            return None;
        };
        let exchange = Exchange::new(now, rng);
        let (source, server) = (lease.config.address, lease.server);
        let request = RequestKind::Release { address: source, server };
        Some(Transmit { source, destination: server, payload: self.message(&exchange, request) })
    }

    /// The link has come back, perhaps elsewhere: asks whether the lease still holds (RFC 2131 section
    /// 3.7), and keeps to it until it hears that it does not. Without a lease it begins anew.
    pub(crate) fn reconnect(&mut self, now: Instant, rng: &mut impl Rng) {
        match &mut self.state {
            State::Leased { phase, .. } => *phase = Phase::Rebooting(Exchange::new(now, rng)),
            _ => self.restart(now),
        }
    }

    fn restart(&mut self, now: Instant) {
        let earliest = self.begun.map_or(now, |begun| begun + RESTART_INTERVAL_MIN);
        self.state = State::Init { at: now.max(earliest) };
    }

    fn config(&self) -> Option<&Config> {
        match &self.state {
            State::Leased { lease, .. } => Some(&lease.config),
            _ => None,
        }
    }

    fn event(&mut self) -> Option<Output> {
        if self.config() == self.announced.as_ref() {
            return None;
        }
        self.announced = self.config().cloned();
        Some(self.announced.clone().map_or(Output::Deconfigured, Output::Configured))
    }

    fn timer(&self) -> Option<Instant> {
        match &self.state {
            State::Init { at } => Some(*at),
            State::Selecting(exchange) | State::Requesting { exchange, .. } => Some(exchange.next),
            State::Leased { lease, since, phase } => Some(match (phase, lease.times) {
                (Phase::Rebooting(exchange), None) => exchange.next,
                (_, None) => return None,
                (Phase::Bound, Some(times)) => *since + times.renew,
                (Phase::Renewing(exchange), Some(times)) => {
                    exchange.next.min(*since + times.rebind)
                }
                (Phase::Rebooting(exchange) | Phase::Rebinding(exchange), Some(times)) => {
                    exchange.next.min(*since + times.expire)
                }
            }),
            State::Released => None,
        }
    }

    /// The transaction that is under way.
    fn xid(&self) -> Option<u32> {
        match &self.state {
            State::Selecting(exchange)
            | State::Requesting { exchange, .. }
            | State::Leased {
                phase:
                    Phase::Rebooting(exchange) | Phase::Renewing(exchange) | Phase::Rebinding(exchange),
                ..
            } => Some(exchange.xid),
            _ => None,
        }
    }

    /// Does what is due. Without a message the state has changed, and [`Client::poll`] looks again.
    fn step(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Transmit> {
        match &mut self.state {
            State::Init { .. } => {
                self.begun = Some(now);
                self.state = State::Selecting(Exchange::new(now, rng));
                None
            }
            State::Selecting(exchange) => {
                exchange.note_duration(now);
                exchange.note_sent(now, retry_wait(exchange.count, rng));
                let exchange = *exchange;
                Some(self.broadcast(&exchange, RequestKind::Discover))
            }
            State::Requesting { exchange, .. } if exchange.count >= REQUESTS_MAX => {
                self.restart(now);
                None
            }
            State::Requesting { exchange, address, server } => {
                // RFC 2131 section 4.4.1: `secs` stays that of the DHCPDISCOVER.
                exchange.note_sent(now, retry_wait(exchange.count, rng));
                let request = RequestKind::Request { address: *address, server: *server };
                let exchange = *exchange;
                Some(self.broadcast(&exchange, request))
            }
            State::Leased { .. } => self.step_leased(now, rng),
            State::Released => None,
        }
    }

    fn step_leased(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Transmit> {
        let State::Leased { lease, since, phase } = &mut self.state else {
            return None;
        };
        let has_expired = lease.times.is_some_and(|times| now >= *since + times.expire);
        if has_expired {
            self.restart(now);
            return None;
        }
        if let Phase::Rebooting(exchange) = phase {
            if exchange.count >= REQUESTS_MAX {
                // Nobody objects: it is used for as long as it lasts.
                *phase = Phase::Bound;
                return None;
            }
            exchange.note_duration(now);
            exchange.note_sent(now, retry_wait(exchange.count, rng));
            let (exchange, address) = (*exchange, lease.config.address);
            return Some(self.broadcast(&exchange, RequestKind::Verify { address }));
        }
        let times = lease.times?;
        let (rebind_at, expire_at) = (*since + times.rebind, *since + times.expire);
        let is_rebinding = now >= rebind_at;
        let mut exchange = match *phase {
            Phase::Renewing(exchange) if !is_rebinding => exchange,
            Phase::Rebinding(exchange) => exchange,
            _ => Exchange::new(now, rng),
        };
        let end = if is_rebinding { expire_at } else { rebind_at };
        // RFC 2131 section 4.4.5: half of what remains, but not less than a minute.
        let wait_min = RENEWAL_RETRY_MIN.min(times.expire / RENEWAL_RETRY_MIN_DIVISOR);
        exchange.note_duration(now);
        exchange.note_sent(now, (end.saturating_since(now) / 2).max(wait_min));
        let (source, server) = (lease.config.address, lease.server);
        let destination = if is_rebinding { Ipv4Addr::BROADCAST } else { server };
        *phase = match is_rebinding {
            true => Phase::Rebinding(exchange),
            false => Phase::Renewing(exchange),
        };
        let payload = self.message(&exchange, RequestKind::Renew { address: source });
        Some(Transmit { source, destination, payload })
    }

    fn on_offer(&mut self, reply: &Reply<'_>, now: Instant) -> bool {
        let State::Selecting(exchange) = self.state else {
            return false;
        };
        let Some(lease) = Lease::of(reply, self.mtu_max) else {
            return false;
        };
        let exchange = Exchange { count: 0, next: now, ..exchange };
        let (address, server) = (lease.config.address, lease.server);
        self.state = State::Requesting { exchange, address, server };
        true
    }

    fn on_ack(&mut self, reply: &Reply<'_>) -> bool {
        let Some(lease) = Lease::of(reply, self.mtu_max) else {
            return false;
        };
        let since = match self.asked(reply.server) {
            Some((address, sent)) if address == lease.config.address => sent,
            _ => return false,
        };
        self.state = State::Leased { lease, since, phase: Phase::Bound };
        true
    }

    fn on_nak(&mut self, reply: &Reply<'_>, now: Instant) -> bool {
        let Some((address, _)) = self.asked(reply.server) else {
            return false;
        };
        let why = reply.message.escape_ascii();
        log::warn!("DHCP: the server refuses {address}: \"{why}\"");
        self.restart(now);
        true
    }

    /// The address that was asked for, and when, if `server` may answer.
    fn asked(&self, server: Option<Ipv4Addr>) -> Option<(Ipv4Addr, Instant)> {
        match &self.state {
            // Not before the request is out: an acknowledgement cannot precede it.
            State::Requesting { exchange, address, server: chosen } => {
                (exchange.count > 0 && server == Some(*chosen)).then_some((*address, exchange.sent))
            }
            State::Leased { lease, phase, .. } => match phase {
                Phase::Renewing(exchange) => {
                    (server == Some(lease.server)).then_some((lease.config.address, exchange.sent))
                }
                Phase::Rebooting(exchange) | Phase::Rebinding(exchange) => {
                    server.map(|_| (lease.config.address, exchange.sent))
                }
                Phase::Bound => None,
            },
            _ => None,
        }
    }

    fn message(&self, exchange: &Exchange, kind: RequestKind) -> Vec<u8> {
        let request = Request {
            kind,
            xid: exchange.xid,
            secs: exchange.secs,
            mac: self.mac,
            hostname: self.hostname.as_deref(),
            mtu: self.mtu_max,
        };
        request.emit()
    }

    fn broadcast(&self, exchange: &Exchange, kind: RequestKind) -> Transmit {
        Transmit {
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
            payload: self.message(exchange, kind),
        }
    }
}

/// How long to wait after the message number `count`, from zero.
fn retry_wait(count: usize, rng: &mut impl Rng) -> Duration {
    let step = count.min(RETRY_SECS.len() - 1);
    let jitter = RETRY_JITTER_MS[step];
    let millis = RETRY_SECS[step] * 1000 - jitter + rng.next_u32() % (2 * jitter + 1);
    Duration::from_millis(millis.into())
}
