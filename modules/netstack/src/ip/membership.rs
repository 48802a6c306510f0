//! Which multicast groups an interface belongs to, and what is said about it: IGMPv2 (RFC 2236) and
//! MLDv2 (RFC 3810), as a pure machine.
//!
//! Joins are counted, so that sockets and addresses (solicited-node groups, [`solicited_node`])
//! share a group. Queries of every version are answered with IGMPv2 and MLDv2 reports: IGMPv3
//! routers take the former (RFC 3376 section 7.3.2). Routers that know IGMPv1 or MLDv1 only are not
//! provided for, and neither are sources: a query for some of a group's sources is answered for all
//! of them.
//!
//! Whoever runs it calls [`Membership::poll`] until it returns `None` after each call and at
//! its deadline.

use alloc::vec::Vec;
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use rand_core::Rng;
use smoltcp::wire::MldRecordType;

use self::message::{IgmpMessage, MldQuery};
pub(crate) use self::message::{MldReport, Transmit};
use crate::{time::Instant, timed::Deadline};

mod message;
#[cfg(test)]
mod tests;

/// Groups of one interface. Each costs a report per query, and network cards filter for about as
/// many.
const GROUPS_MAX: usize = 64;
/// How often a change is reported: RFC 2236 section 8.1, RFC 3810 section 9.1.
const ROBUSTNESS: u8 = 2;
/// RFC 2236 section 8.10: within this time the first report is repeated.
const IGMP_REPEAT_WITHIN: Duration = Duration::from_secs(10);
/// RFC 3810 section 9.11.
const MLD_REPEAT_WITHIN: Duration = Duration::from_secs(1);
/// Answers are spread over this much at least, whatever a query says: a flood of queries that want
/// an answer at once is not answered one by one.
const ANSWER_WITHIN_MIN: Duration = Duration::from_millis(100);
/// Records of one report: with all its headers it fits the smallest IPv6 MTU.
const RECORDS_MAX: usize = 50;

/// RFC 1112 section 4.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// RFC 4291 section 2.7.1.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Why a group cannot be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinError {
    NotMulticast,
    /// The interface belongs to as many as it can.
    TooMany,
}

/// One interface's groups.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// In the order of their addresses.
    groups: Vec<Group>,
    /// The device has been told which these are.
    is_filtered: bool,
}

#[derive(Debug)]
struct Group {
    address: IpAddr,
    /// Joins less leaves. Without any it is only here until that has been said.
    members: u32,
    /// When something is to be said about it.
    next: Option<Instant>,
    /// How often the last change is still to be reported.
    changes: u8,
    /// RFC 2236 section 3: whether a Leave is owed.
    is_last_reporter: bool,
}

impl Membership {
    /// Joins a group, once more if it has been joined already.
    ///
    /// # Errors
    /// The address is no group's, or there are too many groups.
    pub(crate) fn join(&mut self, address: IpAddr, now: Instant) -> Result<(), JoinError> {
        if !address.is_multicast() {
            return Err(JoinError::NotMulticast);
        }
        if let Ok(place) = self.place(address) {
            let group = &mut self.groups[place];
            group.members += 1;
            if group.members == 1 {
                group.report_change(now);
                self.is_filtered = false;
            }
            return Ok(());
        }
        self.make_room()?;
        let place = self.place(address).unwrap_or_else(|place| place);
        let mut group =
            Group { address, members: 1, next: None, changes: 0, is_last_reporter: false };
        group.report_change(now);
        self.groups.insert(place, group);
        self.is_filtered = false;
        Ok(())
    }

    /// Takes one join back. Returns whether the group has been left with it; it has not if others
    /// have joined it, or nobody had.
    pub(crate) fn leave(&mut self, address: IpAddr, now: Instant) -> bool {
        let Ok(place) = self.place(address) else {
            return false;
        };
        let group = &mut self.groups[place];
        match group.members {
            0 => return false,
            1 => {}
            _ => {
                group.members -= 1;
                return false;
            }
        }
        group.members = 0;
        self.is_filtered = false;
        group.report_change(now);
        if !group.owes_leave() {
            self.groups.remove(place);
        }
        true
    }

    /// Whether packets to a multicast address are for this interface. Every host belongs to the
    /// groups of all hosts (RFC 1112 section 4, RFC 4291 section 2.8).
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        is_all_hosts(address)
            || self.place(address).is_ok_and(|place| self.groups[place].members > 0)
    }

    /// Whether the groups are those that [`for_filter`](Self::for_filter) has told last.
    pub(crate) fn is_filtered(&self) -> bool {
        self.is_filtered
    }

    /// Every group whose packets are for this interface.
    pub(crate) fn for_filter(&mut self) -> impl Iterator<Item = IpAddr> {
        self.is_filtered = true;
        [ALL_HOSTS.into(), ALL_NODES.into()].into_iter().chain(self.groups())
    }

    /// The groups that were joined, in the order of their addresses.
    pub(crate) fn groups(&self) -> impl Iterator<Item = IpAddr> {
        self.groups.iter().filter(|group| group.members > 0).map(|group| group.address)
    }

    /// Takes an IGMP message. Returns whether it is well formed.
    pub(crate) fn on_igmp(&mut self, message: &[u8], now: Instant, rng: &mut impl Rng) -> bool {
        match IgmpMessage::parse(message) {
            Some(IgmpMessage::Query { group, within }) => {
                let is_asked = |address: IpAddr| {
                    address.is_ipv4() && group.is_none_or(|group| address == IpAddr::V4(group))
                };
                let asked = self.groups.iter_mut().filter(|group| is_asked(group.address));
                asked.for_each(|group| group.answer(now + delay(within, rng)));
                true
            }
            Some(IgmpMessage::Report { group }) => {
                if let Ok(place) = self.place(group.into()) {
                    self.groups[place].suppress();
                }
                true
            }
            Some(IgmpMessage::Other) => true,
            None => false,
        }
    }

    /// Takes an MLD query: an ICMPv6 message whose checksum is right, with the source and the hop
    /// limit of its packet. Returns whether it is valid (RFC 3810 section 6.2).
    pub(crate) fn on_mld(
        &mut self,
        source: Ipv6Addr,
        hop_limit: u8,
        message: &[u8],
        now: Instant,
        rng: &mut impl Rng,
    ) -> bool {
        let Some(query) = MldQuery::parse(message) else {
            return false;
        };
        if hop_limit != Transmit::HOP_LIMIT || !source.is_unicast_link_local() {
            return false;
        }
        // One delay for all, so that one report answers for all.
        let at = now + delay(query.within, rng);
        let is_asked = |address: IpAddr| {
            address.is_ipv6() && query.group.is_none_or(|group| address == IpAddr::V6(group))
        };
        let asked = self.groups.iter_mut().filter(|group| is_asked(group.address));
        asked.for_each(|group| group.answer(at));
        true
    }

    /// The next message to send at `now`; `None` until its deadline or the next call.
    pub(crate) fn poll(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Transmit> {
        let place = self.groups.iter().position(|group| group.is_due(now))?;
        let transmit = match self.groups[place].address {
            IpAddr::V4(address) => self.groups[place].igmp(address, now, rng),
            IpAddr::V6(_) => self.mld(now, rng),
        };
        self.groups.retain(|group| group.members > 0 || group.next.is_some());
        Some(transmit)
    }

    /// Says everything again: the link has come back, perhaps elsewhere.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.groups.retain(|group| group.members > 0);
        self.groups.iter_mut().for_each(|group| group.report_change(now));
    }

    fn place(&self, address: IpAddr) -> Result<usize, usize> {
        self.groups.binary_search_by_key(&address, |group| group.address)
    }

    /// A group that has been left gives way, said or not.
    fn make_room(&mut self) -> Result<(), JoinError> {
        if self.groups.len() < GROUPS_MAX {
            return Ok(());
        }
        let left = self.groups.iter().position(|group| group.members == 0);
        self.groups.remove(left.ok_or(JoinError::TooMany)?);
        Ok(())
    }

    /// One report about every IPv6 group that is due, as many as fit.
    fn mld(&mut self, now: Instant, rng: &mut impl Rng) -> Transmit {
        let repeat_at = now + delay(MLD_REPEAT_WITHIN, rng);
        let is_due = |group: &&mut Group| group.address.is_ipv6() && group.is_due(now);
        let due = self.groups.iter_mut().filter(is_due).take(RECORDS_MAX);
        let record = |group: &mut Group| match group.address {
            IpAddr::V6(address) => Some((group.mld_record(repeat_at), address)),
            IpAddr::V4(_) => None,
        };
        Transmit::Mld(MldReport { records: due.filter_map(record).collect() })
    }
}

impl Deadline for Membership {
    /// When [`Membership::poll`] has something to say.
    fn deadline(&self) -> Option<Instant> {
        self.groups.iter().filter_map(|group| group.next).min()
    }
}

impl Group {
    fn report_change(&mut self, now: Instant) {
        if is_reported(self.address) {
            self.changes = ROBUSTNESS;
            self.next = Some(now);
        }
    }

    /// RFC 2236 section 3: whoever reported last says when it leaves. RFC 3810 section 6.1:
    /// everybody does.
    fn owes_leave(&self) -> bool {
        is_reported(self.address) && (self.address.is_ipv6() || self.is_last_reporter)
    }

    /// RFC 2236 section 3, RFC 3810 section 6.2: an answer that is to be sent sooner stays as it
    /// is.
    fn answer(&mut self, at: Instant) {
        if self.members > 0 && is_reported(self.address) {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    /// RFC 2236 section 3: another member has reported the group.
    fn suppress(&mut self) {
        if self.members > 0 {
            self.next = None;
            self.changes = 0;
            self.is_last_reporter = false;
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    fn igmp(&mut self, address: Ipv4Addr, now: Instant, rng: &mut impl Rng) -> Transmit {
        if self.members == 0 {
            self.next = None;
            return Transmit::igmp_leave(address);
        }
        self.is_last_reporter = true;
        self.note_said(now + delay(IGMP_REPEAT_WITHIN, rng));
        Transmit::igmp_report(address)
    }

    /// RFC 3810 section 5.2.12: a change while there is one to report, else the state.
    fn mld_record(&mut self, repeat_at: Instant) -> MldRecordType {
        let is_change = self.changes > 0;
        self.note_said(repeat_at);
        match (self.members > 0, is_change) {
            (true, true) => MldRecordType::ChangeToExclude,
            (true, false) => MldRecordType::ModeIsExclude,
            (false, _) => MldRecordType::ChangeToInclude,
        }
    }

    fn note_said(&mut self, repeat_at: Instant) {
        self.changes = self.changes.saturating_sub(1);
        self.next = (self.changes > 0).then_some(repeat_at);
    }
}

/// The group in which neighbours ask for an address (RFC 4291 section 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

fn is_all_hosts(address: IpAddr) -> bool {
    address == IpAddr::V4(ALL_HOSTS) || address == IpAddr::V6(ALL_NODES)
}

/// RFC 2236 section 6, RFC 3810 section 6: not those that everybody belongs to, nor those that no
/// packet on a link is for.
fn is_reported(address: IpAddr) -> bool {
    const SCOPE_LINK: u8 = 2;
    let is_on_link = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.octets()[1] & 0x0f >= SCOPE_LINK,
    };
    is_on_link && !is_all_hosts(address)
}

/// A random time of at most `within`, which is at most a few hours.
fn delay(within: Duration, rng: &mut impl Rng) -> Duration {
    let micros = within.max(ANSWER_WITHIN_MIN).as_micros() as u64;
    Duration::from_micros(rng.next_u64() % (micros + 1))
}
