//! State machines whose next deadline follows from their state, and is looked up at every turn.

use core::ops::{Deref, DerefMut};

use crate::time::Instant;

/// When something is to be done next.
pub(crate) trait Deadline {
    fn deadline(&self) -> Option<Instant>;
}

/// A state and its deadline, which is computed anew only after the state may have changed: whenever
/// it was borrowed mutably.
#[derive(Debug, Default)]
pub(crate) struct Timed<T> {
    state: T,
    /// `None` if it is to be computed.
    deadline: Option<Option<Instant>>,
}

impl<T: Deadline> Timed<T> {
    #[inline]
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        match self.deadline {
            Some(deadline) => deadline,
            None => self.update(),
        }
    }

    #[cold]
    fn update(&mut self) -> Option<Instant> {
        let deadline = self.state.deadline();
        self.deadline = Some(deadline);
        deadline
    }
}

impl<T> Deref for Timed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> DerefMut for Timed<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.deadline = None;
        &mut self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Deadline for Option<Instant> {
        fn deadline(&self) -> Option<Instant> {
            *self
        }
    }

    #[test]
    fn a_change_is_seen() {
        let mut timed = Timed::<Option<Instant>>::default();
        assert_eq!(timed.deadline(), None);
        for micros in [5, 3, 8] {
            let soon = Some(Instant::from_micros(micros));
            *timed = soon;
            assert_eq!((timed.deadline(), timed.deadline()), (soon, soon));
        }
        timed.take();
        assert_eq!(timed.deadline(), None);
    }

    #[test]
    fn reading_computes_nothing_anew() {
        struct Once(core::cell::Cell<bool>);
        impl Deadline for Once {
            fn deadline(&self) -> Option<Instant> {
                assert!(!self.0.replace(true), "asked twice");
                None
            }
        }
        let mut timed = Timed { state: Once(false.into()), deadline: None };
        for _ in 0..2 {
            assert_eq!(timed.deadline(), None);
            assert!(timed.0.get());
        }
    }
}
