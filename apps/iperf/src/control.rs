//! The connection by which client and server agree on a measurement.

use alloc::{vec, vec::Vec};
use core::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use axwire::{
    io::AxResult,
    net::{Shutdown, TcpStream},
    time::{Duration, timeout},
};

use crate::protocol::{COOKIE_LEN, Complaint, State};

/// How long a client may take for its cookie, which it sends at once. Nobody else is served in this
/// time.
const COOKIE_TIME: Duration = Duration::from_secs(5);
/// How long a message may take that the client has been asked for. It is ten times what a lossy
/// path takes.
const MESSAGE_TIME: Duration = Duration::from_secs(30);
/// How often a silent client is asked whether it is still there; after five of these it is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a client may take to close its end after we have closed ours.
const LINGER: Duration = Duration::from_secs(2);
/// Clients that are being told that the server is busy. More are not told.
const DENIALS_MAX: usize = 64;

/// Why a measurement came to no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection has closed or broken.
    Gone,
    Terminated,
    /// The client did not send what it was asked for.
    Stalled,
    /// The client is told.
    Complained(Complaint),
}

impl From<Complaint> for Failure {
    fn from(complaint: Complaint) -> Self {
        Failure::Complained(complaint)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Gone => f.write_str("the client has gone"),
            Failure::Terminated => f.write_str("the client has terminated"),
            Failure::Stalled => f.write_str("the client does not answer"),
            Failure::Complained(complaint) => write!(f, "refused: {complaint:?}"),
        }
    }
}

pub(crate) type Cookie = [u8; COOKIE_LEN];

/// A client's first connection.
#[derive(Debug)]
pub(crate) struct Control {
    stream: TcpStream,
    pub(crate) cookie: Cookie,
}

impl Control {
    pub(crate) async fn begin(stream: TcpStream) -> Result<Self, Failure> {
        stream.set_nodelay(true);
        stream.set_keep_alive(Some(KEEP_ALIVE));
        let cookie = read_cookie(&stream).await?;
        Ok(Control { stream, cookie })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr()
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.stream.peer_addr()
    }

    pub(crate) async fn send(&self, state: State) -> Result<(), Failure> {
        self.write(&[state.byte()]).await
    }

    /// Waits for what the client says. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Result<State, Failure> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).await.map_err(|_| Failure::Gone)?;
        match State::of_client(byte[0]).ok_or(Complaint::UnknownMessage)? {
            State::ClientTerminate => Err(Failure::Terminated),
            state => Ok(state),
        }
    }

    /// Waits until the client says `state`, or at most for as long as a message may take.
    pub(crate) async fn expect(&self, state: State) -> Result<(), Failure> {
        let heard = async {
            while self.next().await? != state {}
            Ok(())
        };
        timeout(MESSAGE_TIME, heard).await.unwrap_or(Err(Failure::Stalled))
    }

    /// Reads JSON behind its length; `complaint` is what is said about one that is too long.
    pub(crate) async fn read_json(
        &self,
        len_max: usize,
        complaint: Complaint,
    ) -> Result<Vec<u8>, Failure> {
        let read = async {
            let mut len = [0; 4];
            self.stream.read_exact(&mut len).await.map_err(|_| Failure::Gone)?;
            let len = u32::from_be_bytes(len) as usize;
            if len > len_max {
                return Err(complaint.into());
            }
            let mut json = vec![0; len];
            self.stream.read_exact(&mut json).await.map_err(|_| Failure::Gone)?;
            Ok(json)
        };
        timeout(MESSAGE_TIME, read).await.unwrap_or(Err(Failure::Stalled))
    }

    pub(crate) async fn write_json(&self, json: &[u8]) -> Result<(), Failure> {
        self.write(&(json.len() as u32).to_be_bytes()).await?;
        self.write(json).await
    }

    /// Ends the connection because of a failure, which the client is told if it can be.
    pub(crate) async fn end(self, failure: Failure) {
        match failure {
            Failure::Complained(complaint) => {
                if self.write(&complaint.bytes()).await.is_ok() {
                    close(self.stream).await;
                }
            }
            Failure::Stalled => self.stream.abort(),
            Failure::Gone | Failure::Terminated => {}
        }
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        match timeout(MESSAGE_TIME, self.stream.write_all(bytes)).await {
            Ok(written) => written.map_err(|_| Failure::Gone),
            Err(_) => Err(Failure::Stalled),
        }
    }
}

pub(crate) async fn read_cookie(stream: &TcpStream) -> Result<Cookie, Failure> {
    let mut cookie = [0; COOKIE_LEN];
    match timeout(COOKIE_TIME, stream.read_exact(&mut cookie)).await {
        Ok(read) => read.map(|()| cookie).map_err(|_| Failure::Gone),
        Err(_) => Err(Failure::Stalled),
    }
}

/// Tells a client that the server is busy, in a task of its own.
pub(crate) fn deny(stream: TcpStream) {
    static DENIALS: AtomicUsize = AtomicUsize::new(0);
    if DENIALS.fetch_add(1, Relaxed) >= DENIALS_MAX {
        DENIALS.fetch_sub(1, Relaxed);
        return;
    }
    axwire::task::spawn(async move {
        // A stream's cookie has been read already, a client's has not.
        if write_denial(&stream).await.is_ok() {
            close(stream).await;
        }
        DENIALS.fetch_sub(1, Relaxed);
    });
}

async fn write_denial(stream: &TcpStream) -> AxResult<()> {
    stream.write_all(&[State::AccessDenied.byte()]).await
}

/// Closing with unread input resets the connection, and the reset may overtake the last word.
async fn close(stream: TcpStream) {
    stream.shutdown(Shutdown::Write);
    let mut rest = [0; 256];
    let drained = async { while let Ok(1..) = stream.read(&mut rest).await {} };
    let _ = timeout(LINGER, drained).await;
}
