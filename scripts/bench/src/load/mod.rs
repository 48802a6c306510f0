//! Clients of our own, which check what they get.
//!
//! - `http`: requests on kept and on new connections
//! - `echo`: messages that come back
//! - `bulk`: streams in one direction

pub(crate) mod bulk;
pub(crate) mod echo;
pub(crate) mod http;

use std::time::{Duration, Instant};

/// When there has been enough of something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Count(u64),
    Elapsed(Duration),
}

impl Until {
    fn is_over(self, count: u64, since: Instant) -> bool {
        match self {
            Until::Count(limit) => count >= limit,
            Until::Elapsed(limit) => since.elapsed() >= limit,
        }
    }

    /// Each one's part among several that work at the same time.
    fn share(self, among: usize) -> Self {
        match self {
            Until::Count(limit) => Until::Count(limit.div_ceil(among as u64)),
            elapsed => elapsed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_no_less_than_the_whole() {
        let Until::Count(share) = Until::Count(10).share(4) else {
            panic!("it has become a time");
        };
        assert_eq!(share, 3);
    }
}
