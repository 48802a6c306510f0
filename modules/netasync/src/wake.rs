//! The flag that keeps a runner from sleeping.

use alloc::{sync::Arc, task::Wake};

use crate::sync::{AtomicBool, Ordering};

/// Raised by whoever gives the runner something to do; looked at by the runner before it sleeps.
#[derive(Debug, Default)]
pub(crate) struct WakeFlag(AtomicBool);

impl WakeFlag {
    pub(crate) fn raise(&self) {
        // Not a store: that would hide what was done before another one's raise.
        self.0.swap(true, Ordering::Release);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Lowers the flag, before the runner looks at what it was raised for.
    pub(crate) fn lower(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}
