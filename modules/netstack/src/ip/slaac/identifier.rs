//! Interface identifiers that are the same for a prefix as long as a secret is, and tell neither
//! the hardware address nor where else the host has been (RFC 7217).

use core::{hash::Hasher, net::Ipv6Addr, ops::RangeInclusive};

use netdev::MacAddress;
use siphasher::sip::SipHasher24;

/// RFC 5453 section 4.1 and IANA's registry: anycast addresses of a subnet, of protocols and of
/// mobile hosts.
const RESERVED: [RangeInclusive<u64>; 3] = [
    0..=0,
    0x0200_5eff_fe00_0000..=0x0200_5eff_feff_ffff,
    0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff,
];

#[derive(Debug)]
pub(super) struct IdentifierSource {
    secret: [u64; 2],
    mac: MacAddress,
}

impl IdentifierSource {
    pub(super) fn new(secret: [u64; 2], mac: MacAddress) -> Self {
        IdentifierSource { secret, mac }
    }

    /// The address with a prefix of 64 bits after so many duplicates (RFC 7217 section 5).
    pub(super) fn address(&self, prefix: Ipv6Addr, duplicates: u8) -> Ipv6Addr {
        // One in 2^40 is reserved, so two in a row do not happen.
        let first = self.identifier(prefix, duplicates, 0);
        let is_reserved = RESERVED.iter().any(|reserved| reserved.contains(&first));
        let identifier = if is_reserved { self.identifier(prefix, duplicates, 1) } else { first };
        Ipv6Addr::from(u128::from(prefix) | u128::from(identifier))
    }

    fn identifier(&self, prefix: Ipv6Addr, duplicates: u8, attempt: u8) -> u64 {
        const PREFIX_OCTETS: usize = 8;
        let mut hash = SipHasher24::new_with_keys(self.secret[0], self.secret[1]);
        hash.write(&prefix.octets()[..PREFIX_OCTETS]);
        hash.write(&self.mac);
        hash.write(&[duplicates, attempt]);
        hash.finish()
    }
}
