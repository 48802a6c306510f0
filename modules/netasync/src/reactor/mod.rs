//! What joins tasks to non-blocking sockets. It has two faces.
//!
//! | module | what lives there |
//! |---|---|
//! | `readiness` | a call that would block becomes a future; all sockets are built on it |
//! | `submission` | [`IoReactor`]: requests go in, completions come out |
//! | `operation` | [`IoOperation`], [`Completion`]: both own their buffers |
//! | `backend` | [`AsyncIoBackend`] and [`SocketBackend`], which does the work with our sockets |

mod backend;
mod operation;
mod readiness;
mod submission;

#[cfg(all(test, loom))]
pub(crate) use self::backend::model;
pub(crate) use self::readiness::{PollPlace, Source, Wait, Waiting, ready_io};
pub use self::{
    backend::{AsyncIoBackend, RequestId, SocketBackend},
    operation::{Completion, IoOperation, Outcome},
    submission::{IoReactor, Rejected},
};
