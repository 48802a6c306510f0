//! What happens by itself: retransmission, probes, keep-alive, giving up (RFC 9293 section 3.8).

use super::{Connection, End, State};
use crate::{
    flow::Budget,
    time::{Instant, Span, earlier},
};

/// How long a SYN of ours may go unanswered. Shorter than Linux's two minutes, longer than any
/// handshake that is going to succeed.
const CONNECT_TIMEOUT: Span = Span::from_secs(30);
/// By how much a peer may delay its acknowledgement of a lone segment, in a tail loss probe's eyes.
/// Linux delays 40 ms; a probe that is early costs one segment.
const PEER_ACK_DELAY: Span = Span::from_millis(50);
/// The least that a tail loss probe waits: what schedulers take.
const PROBE_MIN: Span = Span::from_millis(10);

/// How long empty buffers keep the memory that a transfer has taken: longer than the gaps within
/// one, short for connections that rest for minutes.
const REST_DELAY: Span = Span::from_secs(1);

impl Connection {
    /// Does what is due. Afterwards [`next_segment`](Self::next_segment) may have something.
    pub(crate) fn on_time(&mut self, now: Instant, budget: &mut Budget) {
        match self.state {
            State::Closed | State::TimeWait => {}
            State::SynSent | State::SynReceived => _ = self.waiting_since.get_or_insert(now),
            _ => self.on_turn(now),
        }
        if self.due.is_some_and(|due| due <= now) {
            self.expire(now, budget);
        }
    }

    /// When there is something to do, whatever happens. Until then [`on_time`](Self::on_time) does not
    /// look for it.
    pub(crate) fn schedule(&mut self) -> Option<Instant> {
        self.due = self.deadline();
        self.due
    }

    fn deadline(&self) -> Option<Instant> {
        let due = match self.state {
            State::Closed => return None,
            State::TimeWait => return self.ack_due,
            State::SynSent | State::SynReceived => self.give_up_due(),
            _ => {
                let probe = self.window_probe_due().or_else(|| self.keep_alive_due());
                let repair = earlier(self.reorder_due, self.tail_probe_due());
                let rest = earlier(self.rest_due(), self.give_up_due());
                earlier(earlier(probe, repair), rest)
            }
        };
        earlier(earlier(due, self.retransmission_due()), self.ack_due)
    }

    /// What depends on when a turn comes.
    fn on_turn(&mut self, now: Instant) {
        let is_waiting = !self.board.is_empty() || self.unsent() > 0 || self.is_fin_due();
        match is_waiting {
            true => _ = self.waiting_since.get_or_insert(now),
            false => self.waiting_since = None,
        }
        self.on_idle(now);
    }

    /// All that could be sent has been.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        match self.is_blocked_by_window() {
            true => _ = self.blocked_since.get_or_insert(now),
            false => self.blocked_since = None,
        }
    }

    fn expire(&mut self, now: Instant, budget: &mut Budget) {
        if self.rest_due().is_some_and(|due| due <= now) {
            self.inbox.rest(budget);
            self.outbox.rest(budget);
        }
        match self.state {
            State::Closed | State::TimeWait => {}
            State::SynSent | State::SynReceived => self.expire_connecting(now),
            _ => self.expire_synchronised(now),
        }
        if self.ack_due.take_if(|due| *due <= now).is_some() {
            self.owed.ack = true;
        }
    }

    fn expire_connecting(&mut self, now: Instant) {
        if self.give_up_due().is_some_and(|due| due <= now) {
            return self.finish(End::TimedOut);
        }
        if self.retransmission_due().is_some_and(|due| due <= now) {
            self.rtt.back_off();
            // Backed off from here, whether there is a way to send it or not.
            self.rto_from = now;
            self.owed.syn = true;
            self.counters.retransmissions += 1;
        }
    }

    fn expire_synchronised(&mut self, now: Instant) {
        if self.give_up_due().is_some_and(|due| due <= now) {
            return self.finish(End::TimedOut);
        }
        if self.reorder_due.is_some_and(|due| due <= now) {
            let outstanding = self.board.outstanding();
            if self.detect_losses(now) > 0 {
                self.congestion.on_loss(self.snd_nxt, outstanding);
                self.congestion.on_delivered(0, self.flying(), false);
            }
        }
        if self.retransmission_due().is_some_and(|due| due <= now) {
            self.on_retransmission_timeout(now);
        } else if self.tail_probe_due().is_some_and(|due| due <= now) {
            self.owed.tail_probe = true;
        }
        self.expire_probes(now);
    }

    /// RFC 6298 section 5, RFC 8985 section 6.3.
    fn on_retransmission_timeout(&mut self, now: Instant) {
        self.counters.timeouts += 1;
        self.congestion.on_timeout(self.snd_nxt);
        self.board.lose_everything();
        self.rtt.back_off();
        self.rto_from = now;
        self.reorder_due = None;
        self.tail_probe = None;
        self.owed.tail_probe = false;
        self.duplicates = 0;
    }

    /// RFC 5681 section 4.1.
    fn on_idle(&mut self, now: Instant) {
        let is_starting = self.board.is_empty() && self.unsent() > 0;
        if is_starting && self.last_sent + self.rtt.rto() < now && self.blocked_since.is_none() {
            self.congestion.after_idle();
        }
    }

    fn expire_probes(&mut self, now: Instant) {
        if self.window_probe_due().is_some_and(|due| due <= now) {
            self.blocked_since = Some(now);
            self.rtt.back_off();
            match self.window_left() {
                0 => self.owed.probe = true,
                _ => self.owed.push = true,
            }
        } else if self.keep_alive_due().is_some_and(|due| due <= now) {
            let count = self.options.keep_alive.map_or(0, |keep_alive| keep_alive.count);
            if self.probes >= count {
                return self.finish(End::TimedOut);
            }
            self.probes += 1;
            self.probed = now;
            self.owed.probe = true;
        }
    }

    /// Nothing is in flight whose acknowledgement could open the peer's window.
    fn is_blocked_by_window(&mut self) -> bool {
        let wants_to_send = self.unsent() > 0 || self.is_fin_due();
        wants_to_send && self.board.is_empty() && !self.can_send_new()
    }

    fn retransmission_due(&self) -> Option<Instant> {
        let is_waiting = match self.is_connecting() {
            true => !self.owed.syn && self.snd_nxt != self.iss,
            false => !self.board.is_empty(),
        };
        is_waiting.then(|| self.rto_from + self.rtt.rto())
    }

    /// RFC 8985 section 7.2.
    fn tail_probe_due(&self) -> Option<Instant> {
        let is_due = self.sack_permitted
            && self.tail_probe.is_none()
            && !self.owed.tail_probe
            && !self.board.is_empty()
            && self.board.sacked() == 0
            && self.board.lost() == 0
            && self.congestion.is_open()
            && !self.rtt.has_backed_off();
        let rtt = self.rtt.smoothed().filter(|_| is_due)?;
        let is_alone = self.board.outstanding() <= u32::from(self.mss);
        let delay = if is_alone { PEER_ACK_DELAY } else { Span::ZERO };
        let due = self.rto_from.max(self.last_new) + (rtt * 2).max(PROBE_MIN) + delay;
        Some(due.min(self.rto_from + self.rtt.rto()))
    }

    /// RFC 9293 section 3.8.6.1.
    fn window_probe_due(&self) -> Option<Instant> {
        self.blocked_since.map(|since| since + self.rtt.rto())
    }

    /// RFC 9293 section 3.8.4.
    fn keep_alive_due(&self) -> Option<Instant> {
        let keep_alive = self.options.keep_alive?;
        if self.waiting_since.is_some() {
            return None;
        }
        Some(match self.probes {
            0 => self.heard + keep_alive.idle,
            _ => self.probed + keep_alive.interval,
        })
    }

    /// When buffers that are empty give their memory back.
    fn rest_due(&self) -> Option<Instant> {
        let is_spacious = self.inbox.is_spacious() || self.outbox.is_spacious();
        is_spacious.then(|| self.heard.max(self.last_sent) + REST_DELAY)
    }

    /// When a peer that does not answer is given up (RFC 9293 section 3.8.3). One that says that it
    /// has no room is there.
    fn give_up_due(&self) -> Option<Instant> {
        let since = self.waiting_since?;
        if self.is_connecting() {
            return Some(since + CONNECT_TIMEOUT.min(self.options.user_timeout));
        }
        let since = if self.snd_wnd == 0 { since.max(self.heard) } else { since };
        Some(since + self.options.user_timeout)
    }
}
