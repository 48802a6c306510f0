//! Domain names (RFC 1035 section 3.1), valid by construction and equal without regard to case.

use alloc::vec::Vec;

/// RFC 1035 section 2.3.4. The length counts the lengths of labels and the root's.
const LABEL_LEN_MAX: usize = 63;
const WIRE_LEN_MAX: usize = 255;
/// Pointers followed for one name: servers write one, or one per name that a name ends in.
const POINTERS_MAX: usize = 16;
/// The two bits that tell a pointer from a length (RFC 1035 section 4.1.4).
const POINTER: u8 = 0xc0;

/// A name as on the wire, without pointers and in lower case. The default is the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(Vec<u8>);

impl Default for Name {
    fn default() -> Self {
        Name([0].to_vec())
    }
}

impl Name {
    /// A host's name as people write it. A dot at the end changes nothing. Letters, digits, hyphens
    /// and underscores; not an address gone wrong, whose last label is a number (RFC 3696 section
    /// 2).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::new();
        for label in text.split('.') {
            let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if !label.bytes().all(is_ours) {
                return None;
            }
            push_label(&mut wire, label.as_bytes())?;
        }
        let last = text.rsplit('.').next()?;
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
        wire.push(0);
        (!is_number).then_some(Name(wire))
    }

    /// The name at a place in a message, and the place after it. Pointers lead backwards only, so
    /// that there is no way around (RFC 1035 section 4.1.4: to a prior occurrence).
    pub(super) fn read(message: &[u8], mut at: usize) -> Option<(Self, usize)> {
        let mut wire = Vec::new();
        let (mut end, mut limit, mut pointers) = (None, at, 0);
        loop {
            let length = *message.get(at)?;
            match length {
                0 => {
                    wire.push(0);
                    return Some((Name(wire), end.unwrap_or(at + 1)));
                }
                1..=63 => {
                    let start = at + 1;
                    at = start + usize::from(length);
                    push_label(&mut wire, message.get(start..at)?)?;
                }
                POINTER.. => {
                    let low = *message.get(at + 1)?;
                    end = end.or(Some(at + 2));
                    at = usize::from(u16::from_be_bytes([length & !POINTER, low]));
                    pointers += 1;
                    if at >= limit || pointers > POINTERS_MAX {
                        return None;
                    }
                    limit = at;
                }
                _ => return None,
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// RFC 6761 section 6.3: `localhost` and all that ends in it.
    pub(super) fn is_localhost(&self) -> bool {
        const LOCALHOST: &[u8] = b"\x09localhost\0";
        self.0.ends_with(LOCALHOST)
    }
}

/// Appends a label in lower case. `None` if it or the name gets too long.
fn push_label(wire: &mut Vec<u8>, label: &[u8]) -> Option<()> {
    // The root's length is still to come.
    let len = wire.len() + 1 + label.len() + 1;
    let fits = (1..=LABEL_LEN_MAX).contains(&label.len()) && len <= WIRE_LEN_MAX;
    if !fits {
        return None;
    }
    wire.push(label.len() as u8);
    wire.extend(label.iter().map(u8::to_ascii_lowercase));
    Some(())
}
