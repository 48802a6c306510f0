//! Where frames come from and go to.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixDatagram,
    },
    path::PathBuf,
    str::FromStr,
};

use crate::tap;

/// The name of an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A tap device.
    Tap { name: String },
    /// Datagrams between two paths, as QEMU's `-netdev dgram` sends and receives them.
    Unix { ours: PathBuf, theirs: PathBuf },
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected tap:NAME or unix:OUR_PATH:THEIR_PATH".to_owned();
        let (kind, rest) = text.split_once(':').ok_or_else(expected)?;
        match kind {
            "tap" if !rest.is_empty() => Ok(Address::Tap { name: rest.into() }),
            "unix" => {
                let (ours, theirs) = rest.split_once(':').ok_or_else(expected)?;
                Ok(Address::Unix { ours: ours.into(), theirs: theirs.into() })
            }
            _ => Err(expected()),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tap { name } => f.write_str(name),
            Address::Unix { ours, .. } => ours.display().fmt(f),
        }
    }
}

/// An open end. Neither receiving nor sending waits.
#[derive(Debug)]
pub(crate) enum End {
    Tap(File),
    Unix { socket: UnixDatagram, ours: PathBuf, theirs: PathBuf },
}

impl End {
    /// Opens it.
    ///
    /// # Errors
    /// The tap cannot be attached to, or the path cannot be bound.
    pub(crate) fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tap { name } => tap::open(name).map(End::Tap),
            Address::Unix { ours, theirs } => {
                // What a relay that was killed has left.
                let _ = fs::remove_file(ours);
                let socket = UnixDatagram::bind(ours)?;
                socket.set_nonblocking(true)?;
                Ok(End::Unix { socket, ours: ours.clone(), theirs: theirs.clone() })
            }
        }
    }

    /// Takes the next frame.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; any other if there will never be one.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Tap(device) => (&*device).read(buffer),
            End::Unix { socket, .. } => match socket.recv(buffer) {
                // The peer has gone; another may come.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                result => result,
            },
        }
    }

    /// Passes a frame on.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room now; any other if nobody will take this frame.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        match self {
            End::Tap(device) => (&*device).write(frame).map(drop),
            End::Unix { socket, theirs, .. } => match socket.send(frame) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    // Connected, so that a full queue can be waited for. Its owner may be late.
                    socket.connect(theirs)?;
                    socket.send(frame).map(drop)
                }
                result => result.map(drop),
            },
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            End::Tap(device) => device.as_fd(),
            End::Unix { socket, .. } => socket.as_fd(),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let End::Unix { ours, .. } = self {
            let _ = fs::remove_file(ours);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_or_refused() {
        assert_eq!("tap:tap0".parse(), Ok(Address::Tap { name: "tap0".into() }));
        let unix = Address::Unix { ours: "/a".into(), theirs: "/b".into() };
        assert_eq!("unix:/a:/b".parse(), Ok(unix));
        for wrong in ["", "tap0", "tap:", "unix:/a", "veth:x"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong:?}");
        }
    }
}
