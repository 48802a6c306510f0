//! How busy a host is: turns and polls per virtual second.

use std::time::Duration;

use netstack::Instant;

/// The busiest second of a host, each figure for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Turns in which no frame moved and no task was polled.
    pub fruitless_turns: u64,
    /// Turns and polls of tasks beyond four per frame that moved.
    pub excess: u64,
    /// Frames both ways.
    pub frames: u64,
}

/// Work that a frame may make, in turns and polls: a turn to take it, one to settle, and the tasks
/// at both halves of its stream.
const WORK_PER_FRAME: u64 = 4;

#[derive(Debug, Default)]
pub(crate) struct ActivityLog {
    since: Instant,
    second: Second,
    worst: Activity,
}

#[derive(Debug, Default)]
struct Second {
    turns: u64,
    fruitless_turns: u64,
    polls: u64,
    frames: u64,
}

impl ActivityLog {
    pub(crate) fn turned(&mut self, now: Instant, frames: u64, polls: u64) {
        if now - self.since >= Duration::from_secs(1) {
            self.worst = self.worst();
            self.second = Second::default();
            self.since = now;
        }
        let second = &mut self.second;
        second.turns += 1;
        second.polls += polls;
        second.frames += frames;
        second.fruitless_turns += u64::from(frames == 0 && polls == 0);
    }

    pub(crate) fn worst(&self) -> Activity {
        let Second { turns, fruitless_turns, polls, frames } = self.second;
        Activity {
            fruitless_turns: self.worst.fruitless_turns.max(fruitless_turns),
            excess: self.worst.excess.max((turns + polls).saturating_sub(WORK_PER_FRAME * frames)),
            frames: self.worst.frames.max(frames),
        }
    }
}
