//! The one place that names locks, so that a model checker can replace them.

pub(crate) use spin::Mutex;
