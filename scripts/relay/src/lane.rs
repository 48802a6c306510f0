//! One direction: frames are received, impaired, kept until they are due, and passed on.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant as HostInstant},
};

use netstack::Instant;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
};
use sim::{
    Rng,
    impairment::{Counters, Impairment, Rules},
};

use crate::end::End;

/// An Ethernet frame with an MTU of 1500 and a VLAN tag. What is longer comes from a kernel that
/// leaves segmentation to us.
const FRAME_LEN_MAX: usize = 1518;
/// Received at once before anything is passed on: at 100,000 frames/s they take 0.6 ms.
const BATCH: usize = 64;
/// Frames that are not due yet: a second of 1 Gbit/s in full frames. More are lost.
const DELAYED_MAX: usize = 80_000;
/// Frames that are due while the far end has no room: as many as a tap device holds itself.
const DUE_MAX: usize = 1000;

/// What the relay itself has counted.
#[derive(Debug, Clone, Copy, Default)]
struct Passage {
    passed: u64,
    /// Nobody was at the far end.
    refused: u64,
    /// No room, here or at the far end.
    crowded: u64,
    /// Longer than a frame may be.
    giants: u64,
    /// By how much frames were passed on after they were due, all together.
    lateness: Duration,
}

/// One direction between two ends.
pub(crate) struct Lane<'a> {
    from: &'a End,
    to: &'a End,
    began: HostInstant,
    rng: Rng,
    impairment: Impairment,
    /// By the time when they are due; the number keeps the order of equal ones.
    delayed: BTreeMap<(Instant, u64), Vec<u8>>,
    due: VecDeque<(Instant, Vec<u8>)>,
    delayed_ever: u64,
    passage: Passage,
}

/// What became of a lane's frames.
pub(crate) struct Report(Counters, Passage);

impl<'a> Lane<'a> {
    /// A lane without frames.
    pub(crate) fn new(from: &'a End, to: &'a End, rules: Rules, rng: Rng) -> Self {
        Lane {
            from,
            to,
            began: HostInstant::now(),
            rng,
            impairment: Impairment::new(rules),
            delayed: BTreeMap::new(),
            due: VecDeque::new(),
            delayed_ever: 0,
            passage: Passage::default(),
        }
    }

    /// Passes frames until `stop` is readable.
    ///
    /// # Errors
    /// The end that frames come from has gone.
    pub(crate) fn run(&mut self, stop: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        while !self.wait(stop)? {
            self.receive(&mut buffer)?;
            self.pass_on();
        }
        Ok(())
    }

    /// What has happened so far.
    pub(crate) fn report(&self) -> Report {
        Report(self.impairment.counters(), self.passage)
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    /// Sleeps until there is something to do. Returns whether it is to stop.
    fn wait(&self, stop: BorrowedFd<'_>) -> io::Result<bool> {
        let readable = PollFlags::POLLIN;
        let mut all = [
            PollFd::new(stop, readable),
            PollFd::new(self.from.as_fd(), readable),
            PollFd::new(self.to.as_fd(), PollFlags::POLLOUT),
        ];
        let is_blocked = !self.due.is_empty();
        let watched = if is_blocked { &mut all[..] } else { &mut all[..2] };
        let deadline = self.delayed.first_key_value().map(|((at, _), _)| *at);
        let timeout = deadline.map(|at| at.saturating_since(self.now()).into());
        match ppoll(watched, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => Ok(all[0].any() == Some(true)),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            match self.from.receive(buffer) {
                Ok(len) if len > FRAME_LEN_MAX => self.passage.giants += 1,
                Ok(len) => self.accept(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn accept(&mut self, frame: &[u8]) {
        for delivery in self.impairment.apply(frame, self.now(), &mut self.rng) {
            if self.delayed.len() >= DELAYED_MAX {
                self.passage.crowded += 1;
                continue;
            }
            self.delayed_ever += 1;
            self.delayed.insert((delivery.at, self.delayed_ever), delivery.frame);
        }
    }

    fn pass_on(&mut self) {
        let now = self.now();
        while let Some(first) = self.delayed.first_entry()
            && first.key().0 <= now
        {
            let ((at, _), frame) = first.remove_entry();
            match self.due.len() < DUE_MAX {
                true => self.due.push_back((at, frame)),
                false => self.passage.crowded += 1,
            }
        }
        while let Some((at, frame)) = self.due.front() {
            match self.to.send(frame) {
                Ok(()) => {
                    self.passage.passed += 1;
                    self.passage.lateness += self.now() - *at;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.passage.refused += 1,
            }
            self.due.pop_front();
        }
    }
}

impl Report {
    /// Whether the sender's kernel has left its work to the card.
    pub(crate) fn has_giants(&self) -> bool {
        self.1.giants > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report(rules, here) = self;
        write!(f, "{} received, {} passed, {} lost", rules.offered, here.passed, rules.lost)?;
        for (count, what) in [
            (rules.overflowed, "over the queue"),
            (rules.duplicated, "doubled"),
            (rules.corrupted, "corrupted"),
            (rules.reordered, "reordered"),
            (here.crowded, "without room"),
            (here.refused, "refused"),
            (here.giants, "too long"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        let lateness = here.lateness.as_micros() as f64 / here.passed.max(1) as f64;
        write!(f, "; {lateness:.0} us late on average")
    }
}
