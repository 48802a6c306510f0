//! What can be asked of a reactor, and what it answers.

use alloc::{sync::Arc, vec::Vec};
use core::{
    mem,
    net::SocketAddr,
    task::{Context, Poll},
};

use axerrno::AxResult;
use netstack::Interest;

use super::readiness::{Source, Wait};
use crate::{TcpListener, TcpStream, UdpSocket};

/// An operation with all that it needs. Its buffer belongs to it until it has ended.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use std::sync::Arc;
/// # use netasync::{IoOperation, IoReactor, UdpSocket};
/// # let mut reactor = IoReactor::new(1);
/// let socket = Arc::new(UdpSocket::bind("0.0.0.0:7").await?);
/// reactor.submit(IoOperation::RecvFrom { socket, buffer: vec![0; 1500] })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum IoOperation {
    /// Connects to an address.
    Connect {
        /// Whereto.
        remote: SocketAddr,
    },
    /// Takes a connection.
    Accept {
        /// Whence.
        listener: Arc<TcpListener>,
    },
    /// Reads from a connection what is there, at most the buffer's length.
    Read {
        /// Whence.
        stream: Arc<TcpStream>,
        /// Whereto.
        buffer: Vec<u8>,
    },
    /// Writes to a connection as much of the buffer as there is room for.
    Write {
        /// Whereto.
        stream: Arc<TcpStream>,
        /// What.
        buffer: Vec<u8>,
    },
    /// Sends a datagram to the peer of a connected socket.
    Send {
        /// By which socket.
        socket: Arc<UdpSocket>,
        /// The datagram.
        buffer: Vec<u8>,
    },
    /// Sends a datagram.
    SendTo {
        /// By which socket.
        socket: Arc<UdpSocket>,
        /// The datagram.
        buffer: Vec<u8>,
        /// To whom.
        remote: SocketAddr,
    },
    /// Receives a datagram, cut to the buffer's length.
    Recv {
        /// By which socket.
        socket: Arc<UdpSocket>,
        /// Whereto.
        buffer: Vec<u8>,
    },
    /// Receives a datagram, cut to the buffer's length, and tells who sent it.
    RecvFrom {
        /// By which socket.
        socket: Arc<UdpSocket>,
        /// Whereto.
        buffer: Vec<u8>,
    },
}

/// How an operation has ended.
///
/// ```no_run
/// # use netasync::{Completion, Outcome};
/// # fn example(completion: Completion) -> axerrno::AxResult<()> {
/// let Completion { result, buffer } = completion;
/// match result? {
///     Outcome::Connected(stream) => println!("connected to {}", stream.peer_addr()),
///     Outcome::Accepted(_stream, peer) => println!("{peer} is here"),
///     Outcome::Transferred(len) => println!("{:?}", &buffer[..len]),
///     Outcome::ReceivedFrom(len, peer) => println!("{:?} from {peer}", &buffer[..len]),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Completion {
    /// What it has achieved; its errors are those of the method of the same name.
    pub result: AxResult<Outcome>,
    /// The operation's buffer; empty if it had none.
    pub buffer: Vec<u8>,
}

/// What an operation has achieved.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # let (client, server) = world::pair().await?;
/// # use std::sync::Arc;
/// # let client = Arc::new(client);
/// # let mut reactor = IoReactor::new(8);
/// reactor.submit(IoOperation::Write { stream: client, buffer: vec![7; 100] })?;
/// reactor.ready().await;
/// for (_, completion) in reactor.poll() {
///     assert!(matches!(completion.result?, Outcome::Transferred(100)));
/// }
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub enum Outcome {
    /// Of [`IoOperation::Connect`].
    Connected(TcpStream),
    /// Of [`IoOperation::Accept`]: a connection and its peer.
    Accepted(TcpStream, SocketAddr),
    /// So many bytes were read, written, sent or received. Zero bytes read are the end of the
    /// stream.
    Transferred(usize),
    /// Of [`IoOperation::RecvFrom`]: the datagram's length and its sender.
    ReceivedFrom(usize, SocketAddr),
}

impl IoOperation {
    /// The buffer, when the operation is not to go on.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        match self {
            IoOperation::Connect { .. } | IoOperation::Accept { .. } => Vec::new(),
            IoOperation::Read { buffer, .. }
            | IoOperation::Write { buffer, .. }
            | IoOperation::Send { buffer, .. }
            | IoOperation::SendTo { buffer, .. }
            | IoOperation::Recv { buffer, .. }
            | IoOperation::RecvFrom { buffer, .. } => mem::take(buffer),
        }
    }

    /// What its socket is waited for; nothing while it has none.
    pub(crate) fn source(&self) -> Option<Source<'_>> {
        Some(match self {
            IoOperation::Connect { .. } => return None,
            IoOperation::Accept { listener } => listener.source(),
            IoOperation::Read { stream, .. } => stream.source(Interest::Read),
            IoOperation::Write { stream, .. } => stream.source(Interest::Write),
            IoOperation::Send { socket, .. } | IoOperation::SendTo { socket, .. } => {
                socket.source(Interest::Write)
            }
            IoOperation::Recv { socket, .. } | IoOperation::RecvFrom { socket, .. } => {
                socket.source(Interest::Read)
            }
        })
    }

    /// Does it, if it can be done now; if not, `wait` is the task's place among those that wait.
    /// `connecting` keeps a connection that is being made.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wait: &mut Wait,
        connecting: &mut Option<TcpStream>,
    ) -> Poll<AxResult<Outcome>> {
        match self {
            IoOperation::Connect { remote } => poll_connect(cx, *remote, wait, connecting),
            IoOperation::Accept { listener } => wait
                .poll(cx, listener.source(), || listener.try_accept())
                .map_ok(|(stream, peer)| Outcome::Accepted(stream, peer)),
            IoOperation::Read { stream, buffer } => wait
                .poll(cx, stream.source(Interest::Read), || stream.socket().try_read(buffer))
                .map_ok(Outcome::Transferred),
            IoOperation::Write { stream, buffer } => wait
                .poll(cx, stream.source(Interest::Write), || stream.socket().try_write(buffer))
                .map_ok(Outcome::Transferred),
            IoOperation::Send { socket, buffer } => {
                let send = || socket.socket().try_send(buffer);
                let sent = wait.poll(cx, socket.source(Interest::Write), send);
                sent.map_ok(|()| Outcome::Transferred(buffer.len()))
            }
            IoOperation::SendTo { socket, buffer, remote } => {
                let send = || socket.socket().try_send_to(buffer, *remote);
                let sent = wait.poll(cx, socket.source(Interest::Write), send);
                sent.map_ok(|()| Outcome::Transferred(buffer.len()))
            }
            IoOperation::Recv { socket, buffer } => wait
                .poll(cx, socket.source(Interest::Read), || socket.socket().try_recv(buffer))
                .map_ok(Outcome::Transferred),
            IoOperation::RecvFrom { socket, buffer } => wait
                .poll(cx, socket.source(Interest::Read), || socket.socket().try_recv_from(buffer))
                .map_ok(|(len, from)| Outcome::ReceivedFrom(len, from)),
        }
    }
}

fn poll_connect(
    cx: &mut Context<'_>,
    remote: SocketAddr,
    wait: &mut Wait,
    connecting: &mut Option<TcpStream>,
) -> Poll<AxResult<Outcome>> {
    let stream = match connecting.take() {
        Some(stream) => stream,
        None => TcpStream::begin(None, remote, Default::default())?,
    };
    let source = stream.source(Interest::Write);
    match wait.poll(cx, source, || stream.socket().try_connected()) {
        Poll::Pending => {
            *connecting = Some(stream);
            Poll::Pending
        }
        Poll::Ready(result) => Poll::Ready(result.map(|()| Outcome::Connected(stream))),
    }
}
