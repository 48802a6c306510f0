//! A stub resolver for addresses (RFC 1035, RFC 3596) as a pure machine: names, answers and time go
//! in; questions to send and results come out.
//!
//! Whoever runs it calls [`Resolver::poll`] until it returns `None` after each call and at
//! [`Resolver::deadline`]; sends each [`Transmit`] from a port of its own choice, random and new
//! each time (RFC 5452 section 9.2), and names that end to [`Resolver::sent_from`]; hands over what
//! [`Resolver::awaits`]. A question whose end is not named is asked again later.
//!
//! Not here: TCP, EDNS, search lists, DNSSEC, and names in other scripts (they come as `xn--`). The
//! case of names is not randomized: servers that do not echo it would cost a try each.
//!
//! | module | what lives there |
//! |---|---|
//! | `name` | names, valid and without regard to case |
//! | `message` | questions written, answers parsed and judged |
//! | `cache` | what has been answered, for as long as it holds |

use alloc::vec::Vec;
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use rand_core::Rng;

use self::{
    cache::Cache,
    message::{Family, Reply},
    name::Name,
};
use crate::time::Instant;

mod cache;
mod message;
mod name;
#[cfg(test)]
mod tests;

/// Servers that are asked, best first.
pub(crate) const SERVERS_MAX: usize = 4;
/// Queries under way, or done and not yet collected.
const QUERIES_MAX: usize = 32;
/// Addresses of one result.
const ADDRESSES_MAX: usize = 16;
/// Aliases followed for one name: longer chains are loops or mistakes.
const ALIASES_MAX: u8 = 8;
/// The wait for an answer when every server is asked for the first time. It doubles each time they
/// have all been asked.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_DOUBLINGS_MAX: u32 = 3;
/// When a question is given up: people do not wait longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// When addresses of one family are known, those of the other get this much longer: some servers
/// never answer questions for IPv6 addresses.
const OTHER_FAMILY_PATIENCE: Duration = Duration::from_secs(1);
const SERVER_PORT: u16 = 53;

/// Which addresses are wanted.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let lookup = stack.resolve("localhost", Want::Ipv6)?;
/// poll();
/// assert_eq!(lookup.try_result()?, ["::1".parse::<std::net::IpAddr>()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Those of IPv4.
    Ipv4,
    /// Those of IPv6.
    Ipv6,
    /// Both.
    Any,
}

/// Why a query cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartError {
    /// No name that could be in the DNS (RFC 1035 section 2.3.1, but underscores are fine).
    InvalidName,
    /// Too many queries are under way.
    TooMany,
}

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// The name does not exist.
    NotFound,
    /// It does, but without an address of the kind that is wanted.
    NoAddress,
    /// Every server has failed or refused to answer.
    ServerFailure,
    /// No server has answered.
    TimedOut,
    /// There is no server to ask.
    NoServers,
}

/// A query under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueryId(u64);

/// A question to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) question: QuestionId,
    pub(crate) server: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

/// A question that goes out, until it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuestionId(u64);

type Outcome = Result<Vec<IpAddr>, ResolveError>;

/// The resolver of a stack.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    servers: Vec<IpAddr>,
    queries: Vec<Query>,
    /// One for each name and family, however many queries wait for it: more of the same would help
    /// those who forge answers (RFC 5452 section 5).
    questions: Vec<Question>,
    cache: Cache,
    last_id: u64,
}

/// What one caller waits for.
#[derive(Debug)]
struct Query {
    id: QueryId,
    name: Name,
    slots: [Slot; 2],
    /// When it does with what it has.
    give_up: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Unwanted,
    Pending,
    Done(Outcome),
}

/// What the servers are asked.
#[derive(Debug)]
struct Question {
    name: Name,
    family: Family,
    /// What `name` is an alias of, as far as is known.
    target: Name,
    aliases: u8,
    /// The shortest life of those aliases.
    ttl: Duration,
    /// How many servers have been asked for this target, those that were passed over included.
    tries: usize,
    /// The servers, by their places, that have failed.
    failed: [bool; SERVERS_MAX],
    asked: Option<Asked>,
    /// When the next server is asked.
    next: Instant,
    give_up: Instant,
}

/// The question that is out.
#[derive(Debug)]
struct Asked {
    id: QuestionId,
    xid: u16,
    server: IpAddr,
    place: usize,
    /// Where it came from.
    local: Option<SocketAddr>,
}

impl Resolver {
    /// The servers to ask, best first. What others have said is forgotten.
    pub(crate) fn set_servers(&mut self, servers: &[IpAddr]) {
        let servers = &servers[..servers.len().min(SERVERS_MAX)];
        if servers != self.servers {
            self.servers = servers.to_vec();
            self.cache = Cache::default();
            self.questions.iter_mut().for_each(|question| question.failed = Default::default());
        }
    }

    /// Begins to look for a name's addresses. A name that is an address, `localhost` or lately
    /// looked for is done at once.
    ///
    /// # Errors
    /// It is no name, or too many are being looked for.
    pub(crate) fn start(
        &mut self,
        name: &str,
        want: Want,
        now: Instant,
    ) -> Result<QueryId, StartError> {
        if self.queries.len() >= QUERIES_MAX {
            return Err(StartError::TooMany);
        }
        let known = literal(name);
        let name = match known {
            Some(_) => Name::default(),
            None => Name::parse(name).ok_or(StartError::InvalidName)?,
        };
        let known = known.or_else(|| name.is_localhost().then(|| LOCALHOST.to_vec()));
        let slots = Family::ALL.map(|family| match &known {
            _ if !family.is_wanted(want) => Slot::Unwanted,
            Some(known) => Slot::Done(only(known, family)),
            None => self.look_up(&name, family, now),
        });
        self.last_id += 1;
        let id = QueryId(self.last_id);
        self.queries.push(Query { id, name, slots, give_up: None });
        Ok(id)
    }

    /// Whether [`Resolver::result`] has one.
    #[cfg(test)]
    pub(crate) fn is_done(&self, id: QueryId) -> bool {
        self.queries.iter().any(|query| query.id == id && query.is_done())
    }

    /// Takes the result of a query, IPv4 addresses first. `None` as long as it is under way, and
    /// once its result has been taken.
    pub(crate) fn result(&mut self, id: QueryId) -> Option<Outcome> {
        let is_it = |query: &Query| query.id == id && query.is_done();
        let place = self.queries.iter().position(is_it)?;
        Some(self.queries.remove(place).into_outcome())
    }

    /// Ends a query whose result nobody wants any more.
    pub(crate) fn cancel(&mut self, id: QueryId) {
        self.queries.retain(|query| query.id != id);
        self.drop_unwanted();
    }

    /// The next question to send at `now`; `None` until [`Resolver::deadline`] or the next call.
    pub(crate) fn poll(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Transmit> {
        self.hurry(now);
        loop {
            let place = self.questions.iter().position(|question| question.next <= now)?;
            let question = &mut self.questions[place];
            match question.ask(&self.servers, now, QuestionId(self.last_id + 1), rng) {
                Ok(transmit) => {
                    self.last_id += 1;
                    return Some(transmit);
                }
                Err(error) => self.finish(place, &Err(error), now),
            }
        }
    }

    /// Names the end that a question was sent from.
    pub(crate) fn sent_from(&mut self, id: QuestionId, local: SocketAddr) {
        let mut asked = self.questions.iter_mut().filter_map(|question| question.asked.as_mut());
        if let Some(asked) = asked.find(|asked| asked.id == id) {
            asked.local = Some(local);
        }
    }

    /// Whether an answer is awaited at a port.
    pub(crate) fn owns_port(&self, port: u16) -> bool {
        let mut asked = self.questions.iter().filter_map(|question| question.asked.as_ref());
        asked.any(|asked| asked.local.is_some_and(|local| local.port() == port))
    }

    /// Whether an answer is awaited between these ends. To all others the port is nobody's, so that
    /// no scan finds it.
    pub(crate) fn awaits(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.questions.iter().any(|question| question.asked_at(from, to).is_some())
    }

    /// Takes a datagram. Returns whether it answers a question: all else changes nothing (RFC 5452
    /// section 9.1).
    pub(crate) fn on_message(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> bool {
        let reply = |question: &Question| {
            let asked = question.asked_at(from, to)?;
            message::parse(payload, asked.xid, &question.target, question.family)
        };
        let mut replies = self.questions.iter().map(reply).enumerate();
        match replies.find_map(|(place, reply)| Some((place, reply?))) {
            Some((place, reply)) => {
                self.take(place, reply, now);
                true
            }
            None => false,
        }
    }

    /// Nobody listens where a question was sent (ICMP): the next server is asked.
    pub(crate) fn on_unreachable(&mut self, server: SocketAddr, local: SocketAddr, now: Instant) {
        let mut questions = self.questions.iter_mut();
        if let Some(question) = questions.find(|one| one.asked_at(server, local).is_some()) {
            question.note_failure(now);
        }
    }

    /// When [`Resolver::poll`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let questions = self.questions.iter().map(|question| question.next);
        questions.chain(self.queries.iter().filter_map(|query| query.give_up)).min()
    }

    /// What is known of a name, or the beginning of a question.
    fn look_up(&mut self, name: &Name, family: Family, now: Instant) -> Slot {
        if let Some(outcome) = self.cache.get(name, family, now) {
            return Slot::Done(outcome);
        }
        if !self.questions.iter().any(|question| question.is_for(name, family)) {
            self.questions.push(Question::new(name.clone(), family, now));
        }
        Slot::Pending
    }

    fn take(&mut self, place: usize, reply: Reply, now: Instant) {
        let question = &mut self.questions[place];
        let ttl = |own: Duration| own.min(question.ttl);
        let (outcome, ttl) = match reply {
            Reply::Addresses { addresses, ttl: own } => (Ok(addresses), ttl(own)),
            Reply::NotFound { ttl: own } => (Err(ResolveError::NotFound), ttl(own)),
            Reply::NoAddress { ttl: own } => (Err(ResolveError::NoAddress), ttl(own)),
            Reply::Alias { target, count, ttl: own } => {
                let ttl = ttl(own);
                match question.follow(target, count, ttl, now) {
                    Ok(()) => return,
                    Err(error) => (Err(error), Duration::ZERO),
                }
            }
            Reply::Failure => return question.note_failure(now),
        };
        self.cache.insert(&question.name, question.family, &outcome, now, ttl);
        self.finish(place, &outcome, now);
    }

    /// Tells everybody who waits for a question.
    fn finish(&mut self, place: usize, outcome: &Outcome, now: Instant) {
        let question = self.questions.remove(place);
        let waiting = self.queries.iter_mut().filter(|query| query.name == question.name);
        for query in waiting {
            query.note(question.family, outcome, now);
        }
    }

    /// Ends the queries that have waited long enough for their second family.
    fn hurry(&mut self, now: Instant) {
        let is_late = |query: &Query| query.give_up.is_some_and(|give_up| give_up <= now);
        if self.queries.iter().any(is_late) {
            let late = self.queries.iter_mut().filter(|query| is_late(query));
            late.for_each(Query::do_without);
            self.drop_unwanted();
        }
    }

    fn drop_unwanted(&mut self) {
        let queries = &self.queries;
        self.questions.retain(|question| queries.iter().any(|query| query.awaits(question)));
    }
}

impl Query {
    fn is_done(&self) -> bool {
        !self.slots.contains(&Slot::Pending)
    }

    fn awaits(&self, question: &Question) -> bool {
        self.name == question.name && self.slots[question.family.place()] == Slot::Pending
    }

    fn note(&mut self, family: Family, outcome: &Outcome, now: Instant) {
        let slot = &mut self.slots[family.place()];
        if *slot == Slot::Pending {
            *slot = Slot::Done(outcome.clone());
            let is_waiting = outcome.is_ok() && !self.is_done();
            self.give_up = is_waiting.then(|| now + OTHER_FAMILY_PATIENCE);
        }
    }

    fn do_without(&mut self) {
        self.give_up = None;
        for slot in &mut self.slots {
            if *slot == Slot::Pending {
                *slot = Slot::Done(Err(ResolveError::TimedOut));
            }
        }
    }

    /// Both families' addresses. Without any the error that says most: a name without addresses of
    /// one family may have some of the other, which an error hides.
    fn into_outcome(self) -> Outcome {
        let mut addresses = Vec::new();
        let mut error = ResolveError::NoAddress;
        for slot in self.slots {
            match slot {
                Slot::Done(Ok(some)) => addresses.extend(some),
                Slot::Done(Err(ResolveError::NoAddress)) | Slot::Unwanted | Slot::Pending => {}
                Slot::Done(Err(_)) if error == ResolveError::NotFound => {}
                Slot::Done(Err(other)) => error = other,
            }
        }
        if addresses.is_empty() { Err(error) } else { Ok(addresses) }
    }
}

impl Question {
    fn new(name: Name, family: Family, now: Instant) -> Self {
        Question {
            target: name.clone(),
            name,
            family,
            aliases: 0,
            ttl: Duration::MAX,
            tries: 0,
            failed: Default::default(),
            asked: None,
            next: now,
            give_up: now + PATIENCE,
        }
    }

    fn is_for(&self, name: &Name, family: Family) -> bool {
        self.name == *name && self.family == family
    }

    /// What was asked, if `from` was and the answer goes to where it was asked from.
    fn asked_at(&self, from: SocketAddr, to: SocketAddr) -> Option<&Asked> {
        let asked = self.asked.as_ref()?;
        let is_it = asked.local == Some(to) && from == SocketAddr::new(asked.server, SERVER_PORT);
        is_it.then_some(asked)
    }

    /// Asks the next server that has not failed.
    fn ask(
        &mut self,
        servers: &[IpAddr],
        now: Instant,
        id: QuestionId,
        rng: &mut impl Rng,
    ) -> Result<Transmit, ResolveError> {
        if now >= self.give_up {
            return Err(ResolveError::TimedOut);
        }
        if servers.is_empty() {
            return Err(ResolveError::NoServers);
        }
        let mut tries = self.tries..self.tries + servers.len();
        let this = tries.find(|&number| !self.failed[number % servers.len()]);
        let this = this.ok_or(ResolveError::ServerFailure)?;
        let place = this % servers.len();
        let doublings = u32::try_from(this / servers.len()).unwrap_or(WAIT_DOUBLINGS_MAX);
        let wait = WAIT_MIN * (1 << doublings.min(WAIT_DOUBLINGS_MAX));
        self.tries = this + 1;
        self.next = self.give_up.min(now + wait);
        let (server, xid) = (servers[place], rng.next_u32() as u16);
        self.asked = Some(Asked { id, xid, server, place, local: None });
        Ok(Transmit {
            question: id,
            server: SocketAddr::new(server, SERVER_PORT),
            payload: message::question(xid, &self.target, self.family),
        })
    }

    fn note_failure(&mut self, now: Instant) {
        if let Some(asked) = self.asked.take() {
            self.failed[asked.place] = true;
            self.next = now;
        }
    }

    /// Goes on with the name that the last one is an alias of.
    fn follow(
        &mut self,
        target: Name,
        count: u8,
        ttl: Duration,
        now: Instant,
    ) -> Result<(), ResolveError> {
        self.aliases = self.aliases.saturating_add(count);
        if self.aliases > ALIASES_MAX {
            return Err(ResolveError::ServerFailure);
        }
        (self.target, self.ttl, self.tries) = (target, ttl, 0);
        (self.asked, self.next) = (None, now);
        Ok(())
    }
}

/// RFC 6761 section 6.3.
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The address that a name is.
fn literal(name: &str) -> Option<Vec<IpAddr>> {
    name.parse().ok().map(|ip: IpAddr| [ip].to_vec())
}

fn only(known: &[IpAddr], family: Family) -> Outcome {
    let own: Vec<_> = known.iter().copied().filter(|ip| ip.is_ipv4() == family.is_ipv4()).collect();
    if own.is_empty() { Err(ResolveError::NoAddress) } else { Ok(own) }
}
