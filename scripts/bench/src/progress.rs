//! How far a run is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with what is being done beside it.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar of so many steps.
    pub(crate) fn new(steps: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {elapsed}: {wide_msg}");
        let bar = ProgressBar::new(steps).with_style(style.expect("a valid template"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Progress { bar }
    }

    /// A step begins.
    pub(crate) fn begin(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A step has ended, with something to say.
    pub(crate) fn end(&self, outcome: &str) {
        self.bar.inc(1);
        self.bar.suspend(|| println!("{outcome}"));
    }
}
