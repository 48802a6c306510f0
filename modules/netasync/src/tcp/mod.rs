//! TCP for tasks.
//!
//! | module | what lives there |
//! |---|---|
//! | `listener`, `stream` | [`TcpListener`], [`TcpStream`] |
//! | `socket` | [`TcpSocket`], which sets options before it becomes one of them |
//! | `split` | [`OwnedReadHalf`], [`OwnedWriteHalf`]; the I/O traits |
//! | `pool` | [`Pool`]: connections that clients use again |
//! | `options` | what can be set on both |

mod listener;
mod options;
mod pool;
mod socket;
mod split;
mod stream;

pub use self::{
    listener::{Incoming, TcpListener},
    pool::{Pool, Pooled},
    socket::TcpSocket,
    split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError},
    stream::TcpStream,
};
