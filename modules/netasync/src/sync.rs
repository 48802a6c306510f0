//! The one place that names locks and atomics, so that a model checker can replace them, and that
//! knows where the current runtime is kept.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, Ordering};

#[cfg(not(loom))]
pub(crate) use spin::Mutex;

#[cfg(loom)]
pub(crate) use self::model::{AtomicBool, Mutex, Ordering};

pub(crate) use self::current::{current, replace_current};

/// With threads, each has a runtime of its own.
#[cfg(feature = "std")]
mod current {
    extern crate std;

    use core::cell::RefCell;

    use crate::runtime::Handle;

    std::thread_local! {
        static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
    }

    pub(crate) fn current() -> Option<Handle> {
        CURRENT.with_borrow(Option::clone)
    }

    pub(crate) fn replace_current(handle: Option<Handle>) -> Option<Handle> {
        CURRENT.replace(handle)
    }
}

/// A unikernel has one runtime, whichever of its tasks asks.
#[cfg(not(feature = "std"))]
mod current {
    use super::Mutex;
    use crate::runtime::Handle;

    static CURRENT: Mutex<Option<Handle>> = Mutex::new(None);

    pub(crate) fn current() -> Option<Handle> {
        CURRENT.lock().clone()
    }

    pub(crate) fn replace_current(handle: Option<Handle>) -> Option<Handle> {
        core::mem::replace(&mut *CURRENT.lock(), handle)
    }
}

/// The same under the model checker.
#[cfg(loom)]
mod model {
    pub(crate) use loom::sync::{
        MutexGuard,
        atomic::{AtomicBool, Ordering},
    };

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("nothing panics with a lock")
        }
    }
}
