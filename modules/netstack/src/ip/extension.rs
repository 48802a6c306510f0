//! IPv6 extension headers (RFC 8200 section 4), as far as a host that forwards nothing looks at them.

/// Extension headers that one packet may have: each kind once and twice the destination options, as
/// section 4.1 has it, and some to spare.
const HEADERS_MAX: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;

/// Where the IPv6 header has its next header field, in bytes.
const NEXT_HEADER: usize = 6;
const IPV6_HEADER_LEN: usize = 40;
/// Where a routing header has its count of segments.
const SEGMENTS_LEFT: usize = 3;

/// What is behind the extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upper {
    Transport {
        protocol: u8,
        /// From the IPv6 header, in bytes.
        offset: usize,
        /// Where the number of the protocol stands.
        named_at: usize,
    },
    Fragment {
        offset: usize,
        named_at: usize,
    },
    Nothing,
}

/// Why a packet ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is not sound, or says that it be dropped.
    Discard,
    /// And it is to be answered (RFC 4443 section 3.4); `even_to_group` if it was for more than us.
    Problem { code: u8, pointer: u32, even_to_group: bool },
}

/// RFC 4443 section 3.4.
pub(crate) const ERRONEOUS_FIELD: u8 = 0;
pub(crate) const UNKNOWN_NEXT_HEADER: u8 = 1;
const UNKNOWN_OPTION: u8 = 2;

/// Walks over the extension headers of a packet that has its length as the header says.
pub(crate) fn walk(packet: &[u8]) -> Result<Upper, Stop> {
    let mut named_at = NEXT_HEADER;
    let mut offset = IPV6_HEADER_LEN;
    for _ in 0..HEADERS_MAX {
        let next = packet[named_at];
        match next {
            // Section 4.3: only directly behind the IPv6 header.
            HOP_BY_HOP if named_at != NEXT_HEADER => {
                return Err(problem(UNKNOWN_NEXT_HEADER, named_at));
            }
            HOP_BY_HOP | DESTINATION_OPTIONS => {
                let header = header(packet, offset)?;
                check_options(header, offset)?;
                named_at = offset;
                offset += header.len();
            }
            ROUTING => {
                let header = header(packet, offset)?;
                // Section 4.4 and RFC 5095: no type of it is ours to follow.
                if header[SEGMENTS_LEFT] != 0 {
                    return Err(problem(ERRONEOUS_FIELD, offset + 2));
                }
                named_at = offset;
                offset += header.len();
            }
            FRAGMENT => return Ok(Upper::Fragment { offset, named_at }),
            NO_NEXT_HEADER => return Ok(Upper::Nothing),
            protocol => return Ok(Upper::Transport { protocol, offset, named_at }),
        }
    }
    Err(Stop::Discard)
}

/// Whether a packet carries an ICMPv6 error or a redirect, whatever is wrong with what stands before:
/// neither is answered with an error (RFC 4443 section 2.4 (e)).
pub(crate) fn carries_error(packet: &[u8]) -> bool {
    const INFORMATION_MIN: u8 = 128;
    const REDIRECT: u8 = 137;
    const FRAGMENT_LEN: usize = 8;
    let (mut next, mut offset) = (packet[NEXT_HEADER], IPV6_HEADER_LEN);
    for _ in 0..HEADERS_MAX {
        let Some(&following) = packet.get(offset) else {
            return false;
        };
        match next {
            HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING => match header(packet, offset) {
                Ok(header) => offset += header.len(),
                Err(_) => return false,
            },
            FRAGMENT => offset += FRAGMENT_LEN,
            ICMPV6 => return following < INFORMATION_MIN || following == REDIRECT,
            _ => return false,
        }
        next = following;
    }
    false
}

fn problem(code: u8, pointer: usize) -> Stop {
    Stop::Problem { code, pointer: pointer as u32, even_to_group: false }
}

fn header(packet: &[u8], offset: usize) -> Result<&[u8], Stop> {
    let rest = packet.get(offset..).ok_or(Stop::Discard)?;
    let len = 8 + 8 * usize::from(*rest.get(1).ok_or(Stop::Discard)?);
    rest.get(..len).ok_or(Stop::Discard)
}

/// Does what options say that are not known (section 4.2); all but padding are not.
fn check_options(header: &[u8], offset: usize) -> Result<(), Stop> {
    const PAD_1: u8 = 0;
    const PAD_N: u8 = 1;
    /// RFC 2711: for routers.
    const ROUTER_ALERT: u8 = 5;
    let mut at = 2;
    while at < header.len() {
        let kind = header[at];
        if kind == PAD_1 {
            at += 1;
            continue;
        }
        let Some(&len) = header.get(at + 1) else {
            return Err(Stop::Discard);
        };
        let pointer = (offset + at) as u32;
        match kind >> 6 {
            _ if matches!(kind, PAD_N | ROUTER_ALERT) => {}
            0b00 => {}
            0b01 => return Err(Stop::Discard),
            action => {
                let even_to_group = action == 0b10;
                return Err(Stop::Problem { code: UNKNOWN_OPTION, pointer, even_to_group });
            }
        }
        at += 2 + usize::from(len);
    }
    // An option must not reach beyond its header.
    if at == header.len() { Ok(()) } else { Err(Stop::Discard) }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn packet(first: u8, headers: &[&[u8]]) -> Vec<u8> {
        let mut packet = alloc::vec![0; IPV6_HEADER_LEN];
        packet[NEXT_HEADER] = first;
        packet.extend(headers.concat());
        packet
    }

    #[test]
    fn known_headers_are_walked_over() {
        let padding = [1, 4, 0, 0, 0, 0];
        let options = |next: u8| [&[next, 0][..], &padding].concat();
        let headers = [options(ROUTING), alloc::vec![60, 0, 9, 0, 0, 0, 0, 0], options(17)];
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        let upper = walk(&packet(HOP_BY_HOP, &headers));
        assert_eq!(upper, Ok(Upper::Transport { protocol: 17, offset: 64, named_at: 56 }));
        assert_eq!(walk(&packet(NO_NEXT_HEADER, &[])), Ok(Upper::Nothing));
    }

    #[test]
    fn what_must_be_answered_is() {
        let option = |kind| [17, 0, kind, 4, 0, 0, 0, 0];
        let stop = |kind| walk(&packet(DESTINATION_OPTIONS, &[&option(kind)])).unwrap_err();
        assert_eq!(stop(0x40), Stop::Discard);
        let problem = |even_to_group| Stop::Problem { code: 2, pointer: 42, even_to_group };
        assert_eq!((stop(0x80), stop(0xc0)), (problem(true), problem(false)));
        assert!(walk(&packet(DESTINATION_OPTIONS, &[&option(0x1e)])).is_ok());
        let routed = packet(ROUTING, &[&[17, 0, 0, 1, 0, 0, 0, 0]]);
        let answer = Stop::Problem { code: 0, pointer: 42, even_to_group: false };
        assert_eq!(walk(&routed), Err(answer));
        let late = packet(DESTINATION_OPTIONS, &[&[0, 0, 1, 4, 0, 0, 0, 0], &option(0)]);
        let answer = Stop::Problem { code: 1, pointer: 40, even_to_group: false };
        assert_eq!(walk(&late), Err(answer));
    }

    #[test]
    fn chains_end() {
        let more = [DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(walk(&packet(DESTINATION_OPTIONS, &[&more[..]; 100])), Err(Stop::Discard));
        for len in 0..16 {
            let cut = packet(DESTINATION_OPTIONS, &[&[17, 1, 1, 12][..len.min(4)]]);
            assert_eq!(walk(&cut), Err(Stop::Discard));
        }
    }
}
