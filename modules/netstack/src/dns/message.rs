//! DNS messages (RFC 1035 section 4): questions written, answers parsed and judged.

use alloc::vec::Vec;
use core::{net::IpAddr, time::Duration};

use super::{ADDRESSES_MAX, ALIASES_MAX, Want, name::Name};

/// Records of one answer that are looked at; a datagram without EDNS holds about 30.
const RECORDS_MAX: usize = 128;
const HEADER_LEN: usize = 12;
const CLASS_INTERNET: u16 = 1;
const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_TRUNCATED: u16 = 0x0200;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
const OPCODE_MASK: u16 = 0x7800;
const RCODE_MASK: u16 = 0x000f;
const RCODE_NO_ERROR: u16 = 0;
const RCODE_NAME_ERROR: u16 = 3;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;

/// A kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub(super) const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    pub(super) fn is_ipv4(self) -> bool {
        self == Family::Ipv4
    }

    /// The place in [`Family::ALL`].
    pub(super) fn place(self) -> usize {
        match self {
            Family::Ipv4 => 0,
            Family::Ipv6 => 1,
        }
    }

    pub(super) fn is_wanted(self, want: Want) -> bool {
        match want {
            Want::Ipv4 => self.is_ipv4(),
            Want::Ipv6 => !self.is_ipv4(),
            Want::Any => true,
        }
    }

    /// RFC 1035 section 3.2.2: A; RFC 3596 section 2.1: AAAA.
    fn record_type(self) -> u16 {
        match self {
            Family::Ipv4 => 1,
            Family::Ipv6 => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Family::Ipv4 => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            Family::Ipv6 => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        }
    }
}

/// What an answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// At least one.
    Addresses { addresses: Vec<IpAddr>, ttl: Duration },
    /// The name is an alias, so many times over, of one that the answer says no more about.
    Alias { target: Name, count: u8, ttl: Duration },
    /// NXDOMAIN. Without a SOA record the time is zero (RFC 2308 section 5).
    NotFound { ttl: Duration },
    /// NODATA (RFC 2308 section 2.2).
    NoAddress { ttl: Duration },
    /// The server cannot or will not answer, or makes no sense.
    Failure,
}

pub(super) fn question(xid: u16, name: &Name, family: Family) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_LEN + name.as_bytes().len() + 4);
    for word in [xid, FLAG_RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(name.as_bytes());
    message.extend(family.record_type().to_be_bytes());
    message.extend(CLASS_INTERNET.to_be_bytes());
    message
}

/// What a message says in answer to a question. `None` if it is not one to it (RFC 5452 section
/// 9.1).
pub(super) fn parse(message: &[u8], xid: u16, name: &Name, family: Family) -> Option<Reply> {
    let flags = word(message, 2)?;
    let is_answer = flags & (FLAG_RESPONSE | OPCODE_MASK) == FLAG_RESPONSE;
    if !is_answer || word(message, 0)? != xid || word(message, 4)? != 1 {
        return None;
    }
    let (echo, at) = Name::read(message, HEADER_LEN)?;
    let is_same = echo == *name
        && word(message, at)? == family.record_type()
        && word(message, at + 2)? == CLASS_INTERNET;
    is_same.then(|| judge(message, at + 4, flags, name, family).unwrap_or(Reply::Failure))
}

/// Goes through the records of an answer. `None` if one is malformed.
fn judge(message: &[u8], at: usize, flags: u16, name: &Name, family: Family) -> Option<Reply> {
    let is_truncated = flags & FLAG_TRUNCATED != 0;
    let is_error = match flags & RCODE_MASK {
        RCODE_NO_ERROR => false,
        RCODE_NAME_ERROR => true,
        _ => return Some(Reply::Failure),
    };
    let (answers, authorities) = (word(message, 6)?, word(message, 8)?);
    let (answers, at) = records(message, at, answers, is_truncated)?;
    let (authorities, _) = records(message, at, authorities, is_truncated)?;
    let chain = Chain::follow(message, &answers, name);
    let ttl = authorities.iter().find_map(|record| record.negative_ttl(message));
    let negative_ttl = ttl.unwrap_or(Duration::ZERO).min(chain.ttl);
    if is_error {
        return Some(Reply::NotFound { ttl: negative_ttl });
    }
    let own = || answers.iter().filter(|record| record.is(&chain.end, family.record_type()));
    let addresses = own().filter_map(|record| family.address(record.data));
    let addresses: Vec<IpAddr> = addresses.take(ADDRESSES_MAX).collect();
    Some(if !addresses.is_empty() {
        let ttl = own().map(|record| record.ttl).min().unwrap_or(Duration::ZERO);
        Reply::Addresses { addresses, ttl: ttl.min(chain.ttl) }
    } else if is_truncated || chain.is_endless() {
        Reply::Failure
    } else if chain.count > 0 && ttl.is_none() {
        Reply::Alias { target: chain.end, count: chain.count, ttl: chain.ttl }
    } else {
        Reply::NoAddress { ttl: negative_ttl }
    })
}

/// The aliases of an answer, in whatever order they are.
struct Chain {
    end: Name,
    count: u8,
    /// The shortest.
    ttl: Duration,
}

impl Chain {
    fn follow(message: &[u8], answers: &[Record<'_>], name: &Name) -> Self {
        let mut chain = Chain { end: name.clone(), count: 0, ttl: Duration::MAX };
        while !chain.is_endless()
            && let Some(record) = answers.iter().find(|record| record.is(&chain.end, TYPE_CNAME))
            && let Some((target, _)) = Name::read(message, record.at)
        {
            chain.end = target;
            chain.count += 1;
            chain.ttl = chain.ttl.min(record.ttl);
        }
        chain
    }

    fn is_endless(&self) -> bool {
        self.count > ALIASES_MAX
    }
}

/// A resource record (RFC 1035 section 4.1.3) of the class of the Internet.
struct Record<'a> {
    owner: Name,
    kind: u16,
    ttl: Duration,
    data: &'a [u8],
    /// Where the data lie in the message.
    at: usize,
}

impl Record<'_> {
    fn is(&self, owner: &Name, kind: u16) -> bool {
        self.kind == kind && self.owner == *owner
    }

    /// RFC 2308 section 5: the lesser of the SOA record's own time and its last field.
    fn negative_ttl(&self, message: &[u8]) -> Option<Duration> {
        if self.kind != TYPE_SOA {
            return None;
        }
        let (_, at) = Name::read(message, self.at)?;
        let (_, at) = Name::read(message, at)?;
        let minimum = message.get(at..)?.get(16..20)?;
        Some(self.ttl.min(ttl(u32::from_be_bytes(minimum.try_into().ok()?))))
    }
}

/// The records of a section, and the place after it. Those of a truncated message may end early.
fn records(
    message: &[u8],
    mut at: usize,
    count: u16,
    is_truncated: bool,
) -> Option<(Vec<Record<'_>>, usize)> {
    let mut records = Vec::new();
    for _ in 0..usize::from(count).min(RECORDS_MAX) {
        match record(message, at) {
            Some((record, next)) => {
                records.extend(record);
                at = next;
            }
            None if is_truncated => break,
            None => return None,
        }
    }
    Some((records, at))
}

/// The record at a place, if it is of our class, and the place after it.
fn record(message: &[u8], at: usize) -> Option<(Option<Record<'_>>, usize)> {
    const FIXED_LEN: usize = 10;
    let (owner, at) = Name::read(message, at)?;
    let (kind, class) = (word(message, at)?, word(message, at + 2)?);
    let secs = u32::from(word(message, at + 4)?) << 16 | u32::from(word(message, at + 6)?);
    let len = usize::from(word(message, at + 8)?);
    let at = at + FIXED_LEN;
    let data = message.get(at..at + len)?;
    let record = Record { owner, kind, ttl: ttl(secs), data, at };
    Some(((class == CLASS_INTERNET).then_some(record), at + len))
}

/// RFC 2181 section 8: with the first bit set it means zero.
fn ttl(secs: u32) -> Duration {
    Duration::from_secs(i32::try_from(secs).map_or(0, |_| secs.into()))
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}
