//! The time of this machine's processors, and how much of it others have had.

use std::fs;

use crate::Result;

/// The fields of `/proc/stat`'s first line behind its name, as proc(5) numbers them from zero: time
/// that others had, and the first one that is contained in another.
const STEAL: usize = 7;
const GUEST: usize = 8;

/// Ticks of all processors since the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessorTime {
    total: u64,
    stolen: u64,
}

impl ProcessorTime {
    /// That of this machine.
    ///
    /// # Errors
    /// The kernel does not tell it.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        parse(&text).ok_or_else(|| "/proc/stat is malformed".into())
    }

    /// The share of the time since then that whoever runs this machine has given to others.
    pub(crate) fn stolen_since(self, begin: ProcessorTime) -> f64 {
        let total = self.total.saturating_sub(begin.total);
        self.stolen.saturating_sub(begin.stolen) as f64 / total.max(1) as f64
    }
}

fn parse(text: &str) -> Option<ProcessorTime> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Option<Vec<u64>> =
        line.split_ascii_whitespace().take(GUEST).map(|field| field.parse().ok()).collect();
    let fields = fields?;
    Some(ProcessorTime { total: fields.iter().sum(), stolen: *fields.get(STEAL)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_had() {
        let begin = parse("cpu  10 20 30 40 50 60 70 80 999 999\ncpu0 1 1 1 1\n");
        let begin = begin.expect("well-formed");
        assert_eq!(begin, ProcessorTime { total: 360, stolen: 80 });
        let end = parse("cpu  90 20 30 40 50 60 70 100 0 0\n").expect("well-formed");
        assert_eq!(end.stolen_since(begin), 0.2);
        assert_eq!(begin.stolen_since(begin), 0.0);
    }

    #[test]
    fn malformed() {
        for text in ["", "cpu 1 2 3", "cpu 1 2 3 4 5 6 7 x", "cpu0 1 2 3 4 5 6 7 8"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
