//! TCP for tasks.
//!
//! | module | what lives there |
//! |---|---|
//! | `listener`, `stream` | [`TcpListener`], [`TcpStream`] |
//! | `socket` | [`TcpSocket`], which sets options before it becomes one of them |
//! | `options` | what can be set on both |

mod listener;
mod options;
mod socket;
mod stream;

pub use self::{listener::TcpListener, socket::TcpSocket, stream::TcpStream};
