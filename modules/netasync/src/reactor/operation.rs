//! What can be asked of a reactor, and what it answers.

use alloc::{sync::Arc, vec::Vec};
use core::{
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use axerrno::AxResult;

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
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        match self {
            IoOperation::Connect { .. } | IoOperation::Accept { .. } => Vec::new(),
            IoOperation::Read { buffer, .. }
            | IoOperation::Write { buffer, .. }
            | IoOperation::Send { buffer, .. }
            | IoOperation::SendTo { buffer, .. }
            | IoOperation::Recv { buffer, .. }
            | IoOperation::RecvFrom { buffer, .. } => buffer,
        }
    }

    /// Does it, if it can be done now. `connecting` keeps a connection that is being made.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connecting: &mut Option<TcpStream>,
    ) -> Poll<AxResult<Outcome>> {
        let len = match self {
            IoOperation::Connect { remote } => return poll_connect(cx, *remote, connecting),
            IoOperation::Accept { listener } => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                return Poll::Ready(Ok(Outcome::Accepted(stream, peer)));
            }
            IoOperation::RecvFrom { socket, buffer } => {
                let (len, from) = ready!(socket.poll_recv_from(cx, buffer))?;
                return Poll::Ready(Ok(Outcome::ReceivedFrom(len, from)));
            }
            IoOperation::Read { stream, buffer } => ready!(stream.poll_read_from(cx, buffer)),
            IoOperation::Write { stream, buffer } => ready!(stream.poll_write_to(cx, buffer)),
            IoOperation::Send { socket, buffer } => ready!(socket.poll_send(cx, buffer)),
            IoOperation::SendTo { socket, buffer, remote } => {
                ready!(socket.poll_send_to(cx, buffer, *remote))
            }
            IoOperation::Recv { socket, buffer } => ready!(socket.poll_recv(cx, buffer)),
        };
        Poll::Ready(len.map(Outcome::Transferred))
    }
}

fn poll_connect(
    cx: &mut Context<'_>,
    remote: SocketAddr,
    connecting: &mut Option<TcpStream>,
) -> Poll<AxResult<Outcome>> {
    let stream = match connecting.take() {
        Some(stream) => stream,
        None => TcpStream::begin(None, remote, Default::default())?,
    };
    match stream.poll_connected(cx) {
        Poll::Pending => {
            *connecting = Some(stream);
            Poll::Pending
        }
        Poll::Ready(result) => Poll::Ready(result.map(|()| Outcome::Connected(stream))),
    }
}
