//! The control queue: which frames the device lets through (5.1.6.5).
//!
//! Commands go one by one, and nobody waits for answers: they are looked at before the device's owner
//! goes to sleep, and interrupt a sleep. A device that refuses a command gets another one, which lets
//! more through.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use netdev::MacAddress;
use spin::Mutex;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal};

use crate::OpenError;
use crate::ring::Ring;

/// The index of `controlq`, without `VIRTIO_NET_F_MQ` (5.1.2).
pub(crate) const QUEUE: u16 = 2;

/// Groups that the device is told at most; with more it lets all of them through. QEMU has room for as
/// many.
const GROUPS_MAX: usize = 64;

/// `VIRTIO_NET_CTRL_RX` and its commands (5.1.6.5.1).
const CLASS_RX: u8 = 0;
const RX_PROMISC: u8 = 0;
const RX_ALLMULTI: u8 = 1;
/// `VIRTIO_NET_CTRL_MAC` and its command (5.1.6.5.2).
const CLASS_MAC: u8 = 1;
const MAC_TABLE_SET: u8 = 0;

/// `VIRTIO_NET_OK` (5.1.6.5).
const OK: u8 = 0;
/// What stands in the answer's place until there is one.
const NO_ANSWER: u8 = 0xff;

/// The descriptors of a request, which the next one follows.
const REQUEST: u16 = 0;
pub(crate) const DESCRIPTORS: u32 = 2;
/// Where the answer is, and then the request, in a cache line of its own.
const ANSWER_AT: usize = 0;
const REQUEST_AT: usize = 64;
/// Class and command, the table of stations, which is empty, and that of groups.
const REQUEST_LEN_MAX: usize = 2 + 4 + 4 + size_of::<MacAddress>() * GROUPS_MAX;

#[derive(Debug)]
enum Command {
    Promiscuous(bool),
    AllMulticast(bool),
    Groups(Vec<MacAddress>),
}

/// The control queue of a device.
pub(crate) struct Control<H: Hal, T: Transport> {
    ring: Ring<H, T>,
    /// What the device is to let through; everything until the owner has said that.
    wanted: Option<Vec<MacAddress>>,
    /// What the device has accepted. As long as it has not, anything may be the case.
    groups: Option<Vec<MacAddress>>,
    all_multicast: Option<bool>,
    promiscuous: Option<bool>,
    /// What the device has refused once is not tried again.
    refuses_groups: bool,
    refuses_all_multicast: bool,
    /// What the device has not answered yet.
    pending: Option<Command>,
    /// There is nothing to say and nothing to hear, as nearly always.
    is_settled: bool,
}

impl<H: Hal, T: Transport> Control<H, T> {
    pub(crate) fn new(transport: &Arc<Mutex<T>>) -> Result<Self, OpenError> {
        let len = REQUEST_AT + REQUEST_LEN_MAX;
        Ok(Self {
            ring: Ring::new(transport, QUEUE, BufferDirection::Both, |_| len)?,
            wanted: None,
            groups: None,
            all_multicast: None,
            promiscuous: None,
            refuses_groups: false,
            refuses_all_multicast: false,
            pending: None,
            is_settled: true,
        })
    }

    /// Has the device let through what is for its own address, for everybody and for these groups.
    pub(crate) fn set_groups(&mut self, groups: &[MacAddress]) {
        self.wanted = Some(groups.to_vec());
        self.is_settled = false;
        self.advance();
    }

    pub(crate) fn mask_interrupts(&mut self) {
        self.ring.set_interrupts(false);
    }

    /// Asks for an interrupt if the device owes an answer, unless it has given one. Then false.
    pub(crate) fn unmask_interrupts(&mut self) -> bool {
        self.go_on();
        self.is_settled || self.ring.unmask_interrupts()
    }

    /// Goes on if the device owes an answer.
    pub(crate) fn go_on(&mut self) {
        if !self.is_settled {
            self.advance();
        }
    }

    /// Takes an answer, and sends the next command, if there is one.
    fn advance(&mut self) {
        if self.ring.pop().is_some()
            && let Some(command) = self.pending.take()
        {
            // SAFETY: the device has returned the only request.
            let is_accepted = unsafe { self.ring.bytes(ANSWER_AT, 1) } == [OK];
            self.note_answer(command, is_accepted);
        }
        if self.pending.is_none()
            && !self.ring.is_broken()
            && let Some(command) = self.next_command()
        {
            self.send(command);
        }
        self.is_settled = self.pending.is_none() || self.ring.is_broken();
    }

    /// In an order in which nothing is kept away that is wanted.
    fn next_command(&self) -> Option<Command> {
        let wanted = self.wanted.as_ref()?;
        let all_multicast = wanted.len() > GROUPS_MAX || self.refuses_groups;
        let promiscuous = all_multicast && self.refuses_all_multicast;
        if !promiscuous && !all_multicast && self.groups.as_ref() != Some(wanted) {
            return Some(Command::Groups(wanted.clone()));
        }
        if !promiscuous && self.all_multicast != Some(all_multicast) {
            return Some(Command::AllMulticast(all_multicast));
        }
        (self.promiscuous != Some(promiscuous)).then_some(Command::Promiscuous(promiscuous))
    }

    fn send(&mut self, command: Command) {
        let request = command.encode();
        // SAFETY: the device has no request: none is pending.
        let bytes = unsafe { self.ring.bytes(0, REQUEST_AT + request.len()) };
        bytes[ANSWER_AT] = NO_ANSWER;
        bytes[REQUEST_AT..].copy_from_slice(&request);
        self.ring.place_request(REQUEST, (REQUEST_AT, request.len()), (ANSWER_AT, 1));
        self.ring.post(REQUEST);
        self.ring.announce();
        self.pending = Some(command);
    }

    /// A device that does not let less through is left alone.
    fn note_answer(&mut self, command: Command, is_accepted: bool) {
        if !is_accepted {
            log::warn!("virtio-net: device refuses {command}");
        }
        match command {
            Command::Groups(_) if !is_accepted => self.refuses_groups = true,
            Command::Groups(groups) => self.groups = Some(groups),
            Command::AllMulticast(true) if !is_accepted => self.refuses_all_multicast = true,
            Command::AllMulticast(enabled) => self.all_multicast = Some(enabled),
            Command::Promiscuous(enabled) => self.promiscuous = Some(enabled),
        }
    }
}

impl Command {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Promiscuous(enabled) => [CLASS_RX, RX_PROMISC, u8::from(*enabled)].to_vec(),
            Self::AllMulticast(enabled) => [CLASS_RX, RX_ALLMULTI, u8::from(*enabled)].to_vec(),
            Self::Groups(groups) => {
                let mut request = [CLASS_MAC, MAC_TABLE_SET].to_vec();
                request.extend_from_slice(&0_u32.to_le_bytes());
                request.extend_from_slice(&(groups.len() as u32).to_le_bytes());
                request.extend_from_slice(groups.as_flattened());
                request
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enabled = |enabled: &bool| if *enabled { "on" } else { "off" };
        match self {
            Self::Promiscuous(is_on) => write!(f, "promiscuous mode {}", enabled(is_on)),
            Self::AllMulticast(is_on) => write!(f, "all multicast groups {}", enabled(is_on)),
            Self::Groups(groups) => write!(f, "a filter of {} multicast groups", groups.len()),
        }
    }
}
