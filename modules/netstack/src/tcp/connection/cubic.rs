//! CUBIC congestion control (RFC 9438), in bytes and integers.

use crate::time::{Instant, Span};

/// Segments that may be sent at first (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
/// The smallest window after a loss (RFC 5681 section 3.1, equation 4).
const SEGMENTS_MIN: u32 = 2;
/// The multiplicative decrease in tenths (RFC 9438 section 4.6).
const BETA_TENTHS: u32 = 7;
/// No path needs more; keeps the arithmetic in range.
const WINDOW_MAX: u32 = 1 << 30;
/// Beyond this distance from the plateau the cube is not told apart: 200 s.
const CUBE_MS_MAX: u64 = 200_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cubic {
    mss: u32,
    cwnd: u32,
    ssthresh: u32,
    /// The window before the last decrease: where the plateau lies.
    w_max: u32,
    /// The window that Reno would have (RFC 9438 section 4.3).
    w_reno: u32,
    /// The window before the last decrease, up to which Reno's growth is slowed.
    cwnd_prior: u32,
    /// When the present growth began, in congestion avoidance.
    epoch: Option<Instant>,
    /// From the epoch's start to the plateau, in ms.
    k_ms: u64,
}

impl Cubic {
    pub(crate) fn new(mss: u32) -> Self {
        Cubic {
            mss,
            cwnd: initial_window(mss),
            ssthresh: WINDOW_MAX,
            w_max: 0,
            w_reno: 0,
            cwnd_prior: 0,
            epoch: None,
            k_ms: 0,
        }
    }

    /// Bytes that may be in flight.
    pub(crate) fn window(&self) -> u32 {
        self.cwnd
    }

    pub(crate) fn slow_start_threshold(&self) -> u32 {
        self.ssthresh
    }

    /// The segment size has changed: with the path's MTU, or by the peer's SYN.
    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }

    /// The peer's SYN is there: the window may be what the segment size allows.
    pub(crate) fn begin(&mut self, mss: u32) {
        *self = Cubic::new(mss);
    }

    /// `acked` bytes arrived while the window was used up, outside of recovery.
    pub(crate) fn grow(&mut self, acked: u32, rtt: Span, now: Instant) {
        if self.cwnd < self.ssthresh {
            // Slow start, RFC 5681 section 3.1. By all that arrived, not by RFC 3465's two segments for
            // each acknowledgement: whoever takes segments in batches acknowledges them in batches.
            self.cwnd = (self.cwnd + acked).min(self.ssthresh.max(self.cwnd)).min(WINDOW_MAX);
            return;
        }
        let epoch = self.begin_epoch(now);
        let elapsed = (now.since(epoch) + rtt).millis();
        let target = self.cubic_at(elapsed).clamp(self.cwnd, self.cwnd / 2 * 3);
        self.grow_reno(acked);
        let step = u64::from(target - self.cwnd) * u64::from(acked) / u64::from(self.cwnd);
        let grown = self.cwnd.saturating_add(step as u32);
        self.cwnd = grown.max(self.w_reno).min(WINDOW_MAX);
    }

    fn begin_epoch(&mut self, now: Instant) -> Instant {
        if let Some(epoch) = self.epoch {
            return epoch;
        }
        self.epoch = Some(now);
        self.w_reno = self.cwnd;
        if self.w_max <= self.cwnd {
            self.w_max = self.cwnd;
            self.k_ms = 0;
        } else {
            // K = cbrt((W_max - cwnd) / C) with C = 0.4 segments per cubic second.
            let distance = u64::from(self.w_max - self.cwnd);
            self.k_ms = cube_root(distance * 2_500_000_000 / u64::from(self.mss));
        }
        now
    }

    /// W_cubic, `elapsed` ms after the epoch's start (RFC 9438 section 4.2).
    fn cubic_at(&self, elapsed: u64) -> u32 {
        let distance = elapsed.abs_diff(self.k_ms).min(CUBE_MS_MAX);
        let cube = u128::from(distance).pow(3) * u128::from(self.mss) * 4 / 10_000_000_000;
        let cube = u32::try_from(cube).unwrap_or(WINDOW_MAX).min(WINDOW_MAX);
        match elapsed < self.k_ms {
            true => self.w_max.saturating_sub(cube),
            false => self.w_max.saturating_add(cube),
        }
    }

    /// RFC 9438 section 4.3: by alpha segments per window, alpha = 3 (1 - beta) / (1 + beta) = 9/17
    /// until the window is what it was before the decrease, then 1.
    fn grow_reno(&mut self, acked: u32) {
        let (num, den) = if self.w_reno < self.cwnd_prior { (9, 17) } else { (1, 1) };
        let step = u64::from(acked) * u64::from(self.mss) * num / (u64::from(self.cwnd) * den);
        self.w_reno = self.w_reno.saturating_add(step as u32);
    }

    /// Something was lost: where the window goes (RFC 9438 sections 4.6 and 4.7). Not by what was in
    /// flight: the window grows only while all of it is used, and a lost tail says nothing about the
    /// path. The window itself follows at [`set_window`](Self::set_window).
    pub(crate) fn on_loss(&mut self) {
        // Fast convergence: leave room for a flow that has just come.
        self.w_max = if self.cwnd < self.w_max {
            (u64::from(self.cwnd) * 17 / 20) as u32
        } else {
            self.cwnd
        };
        self.cwnd_prior = self.cwnd;
        self.ssthresh = (u64::from(self.cwnd) * u64::from(BETA_TENTHS) / 10)
            .max(u64::from(self.mss * SEGMENTS_MIN)) as u32;
        self.epoch = None;
    }

    /// The retransmission timeout ran out: one segment, then slow start (RFC 5681 section 3.1).
    pub(crate) fn on_timeout(&mut self) {
        self.cwnd = self.mss;
        self.epoch = None;
    }

    pub(crate) fn set_window(&mut self, window: u32) {
        self.cwnd = window.clamp(self.mss, WINDOW_MAX);
    }

    /// Nothing was sent for longer than the timeout (RFC 5681 section 4.1): what was known of the path
    /// no longer holds.
    pub(crate) fn after_idle(&mut self) {
        self.cwnd = self.cwnd.min(initial_window(self.mss));
        self.epoch = None;
    }
}

fn initial_window(mss: u32) -> u32 {
    INITIAL_SEGMENTS * mss
}

fn cube_root(n: u64) -> u64 {
    // The largest whose cube fits is 2,642,245.
    let (mut low, mut high) = (0_u64, 2_642_245);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle * middle * middle <= n { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;
    const RTT: Span = Span::from_millis(100);

    #[test]
    fn cube_roots() {
        for n in [0, 1, 7, 8, 9, 26, 27, 1_000_000, 999_999] {
            let root = cube_root(n);
            assert!(root.pow(3) <= n && (root + 1).pow(3) > n);
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }

    #[test]
    fn slow_start_doubles_and_stops_at_the_threshold() {
        let mut cubic = Cubic::new(MSS);
        assert_eq!(cubic.window(), 10 * MSS);
        cubic.grow(10 * MSS, RTT, Instant::ZERO);
        assert_eq!(cubic.window(), 20 * MSS);
        cubic.on_loss();
        assert_eq!(cubic.slow_start_threshold(), 14 * MSS);
        cubic.on_timeout();
        assert_eq!(cubic.window(), MSS);
        for _ in 0..10 {
            cubic.grow(2 * MSS, RTT, Instant::ZERO);
        }
        assert!(cubic.window() >= 14 * MSS && cubic.window() < 16 * MSS);
    }

    /// RFC 9438 section 4.2: concave up to the old window, flat there, convex beyond.
    #[test]
    fn it_returns_to_the_plateau_in_k_seconds() {
        let mut cubic = Cubic::new(MSS);
        cubic.set_window(100 * MSS);
        cubic.on_loss();
        cubic.set_window(cubic.slow_start_threshold());
        // K = cbrt(30 / 0.4) = 4.217 s.
        let mut windows = alloc::vec::Vec::new();
        for round in 0..100_u64 {
            let now = Instant::from_micros(round * 100_000);
            cubic.grow(cubic.window(), RTT, now);
            windows.push(cubic.window() / MSS);
        }
        assert_eq!(cubic.k_ms, 4217);
        assert!((97..=100).contains(&windows[40]), "{windows:?}");
        assert!(windows[20] > 85 && windows[10] < windows[20]);
        assert!(windows[99] > 150, "{windows:?}");
    }

    /// RFC 9438 section 4.3: where Reno would be faster, it is Reno.
    #[test]
    fn on_a_short_path_it_grows_like_reno() {
        let mut cubic = Cubic::new(MSS);
        cubic.set_window(10 * MSS);
        cubic.on_loss();
        cubic.set_window(cubic.slow_start_threshold());
        let before = cubic.window();
        for round in 0..17 {
            let now = Instant::from_micros(round * 1000);
            cubic.grow(cubic.window(), Span::from_millis(1), now);
        }
        // 9/17 of a segment per round, then a whole one.
        assert!(cubic.window() >= before + 7 * MSS, "{}", cubic.window());
    }
}
