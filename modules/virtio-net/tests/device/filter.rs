//! The device's filter of received frames, as QEMU has it, and the commands that set it.

use super::{Buffer, CONTROL, F_CTRL_RX, F_CTRL_VQ, Handle, Net, Traits, open};

pub const OK: u8 = 0;
pub const ERR: u8 = 1;

pub const BROADCAST: [u8; 6] = [0xff; 6];

/// What is let through. A device begins with everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub promiscuous: bool,
    pub all_multicast: bool,
    pub groups: Vec<[u8; 6]>,
}

impl Default for Filter {
    fn default() -> Self {
        Filter { promiscuous: true, all_multicast: false, groups: vec![] }
    }
}

impl Filter {
    fn passes(&self, to: [u8; 6], own: [u8; 6]) -> bool {
        let is_group = to[0] & 1 == 1;
        let is_ours = to == own || to == BROADCAST || self.groups.contains(&to);
        self.promiscuous || is_ours || is_group && self.all_multicast
    }

    /// Returns whether the command makes sense.
    fn set(&mut self, command: &[u8]) -> bool {
        match command {
            [0, 0, mode @ (0 | 1)] => self.promiscuous = *mode == 1,
            [0, 1, mode @ (0 | 1)] => self.all_multicast = *mode == 1,
            [1, 0, 0, 0, 0, 0, tables @ ..] => {
                let Some((count, groups)) = tables.split_first_chunk() else { return false };
                let (groups, rest) = groups.as_chunks();
                if u32::from_le_bytes(*count) as usize != groups.len() || !rest.is_empty() {
                    return false;
                }
                self.groups = groups.to_vec();
            }
            _ => return false,
        }
        true
    }
}

/// A device with a control queue, and its driver.
pub fn open_with_control() -> (Net, Handle) {
    open(Traits {
        features: Traits::default().features | F_CTRL_VQ | F_CTRL_RX,
        ..Traits::default()
    })
}

impl Handle {
    pub fn filter(&self) -> Filter {
        self.state().filter.clone()
    }

    /// Takes a command, without answering it.
    pub fn take_command(&self) -> Option<(Vec<u8>, Buffer)> {
        let (request, answer) = self.queue(CONTROL, super::Queue::take_request)?;
        assert_eq!(answer.len, 1);
        Some((request.read(), answer))
    }

    /// Answers a command.
    pub fn answer(&self, answer: Buffer, status: u8) {
        answer.write(&[status]);
        self.put_used(CONTROL, answer.id.into(), 1);
    }

    /// Does what it is asked for next, unless it refuses that. Returns the command.
    pub fn obey(&self, refuses: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let (command, answer) = self.take_command()?;
        let is_done = !refuses(&command) && self.state().filter.set(&command);
        self.answer(answer, if is_done { OK } else { ERR });
        Some(command)
    }

    /// Receives a frame to a station, if the filter lets it through. Returns whether it does.
    pub fn deliver_to(&self, to: [u8; 6]) -> bool {
        let own = self.state().traits.mac;
        let passes = self.filter().passes(to, own);
        let frame = [&to[..], &[2, 0, 0, 0, 0, 9, 0x88, 0xb5], &[7; 46]].concat();
        passes && self.deliver(&frame)
    }
}
