//! The one mapping from the stack's errors to ArceOS's, for every API above the stack.
//!
//! ```
//! use axerrno::AxError;
//! use netasync::error::{ToAxError, ax};
//!
//! let sent: Result<(), _> = Err(netstack::SendError::TooLong);
//! assert_eq!(ax(sent), Err(AxError::OutOfRange));
//! assert_eq!(netstack::AcceptError::WouldBlock.to_ax_error(), AxError::WouldBlock);
//! ```

use axerrno::{AxError, AxResult};
use netstack::{
    AcceptError, BindError, BufferError, ConnectError, JoinError, ReadError, RecvError,
    ResolveError, SendError, WriteError,
};

/// An error that an application sees as an [`AxError`].
///
/// ```
/// use axerrno::AxError;
/// use netasync::error::ToAxError;
/// use netstack::{BindError, WriteError};
///
/// assert_eq!(BindError::InUse.to_ax_error(), AxError::AddrInUse);
/// assert_eq!(WriteError::Closed.to_ax_error(), AxError::BrokenPipe);
/// ```
pub trait ToAxError {
    /// As which one.
    ///
    /// ```
    /// use netasync::error::ToAxError;
    ///
    /// let error = netstack::ConnectError::Refused.to_ax_error();
    /// assert_eq!(error, axerrno::AxError::ConnectionRefused);
    /// ```
    fn to_ax_error(&self) -> AxError;
}

macro_rules! map {
    ($($error:ident { $($variant:ident => $ax:ident,)* })*) => {$(
        impl ToAxError for $error {
            fn to_ax_error(&self) -> AxError {
                match self { $($error::$variant => AxError::$ax,)* }
            }
        }
    )*};
}

map! {
    BindError {
        InUse => AddrInUse,
        NotOurs => BadAddress,
        NoPorts => AddrInUse,
        NoMemory => NoMemory,
        NoBacklog => InvalidInput,
        Bound => InvalidInput,
        WrongFamily => InvalidInput,
    }
    ConnectError {
        WouldBlock => WouldBlock,
        Refused => ConnectionRefused,
        TimedOut => TimedOut,
        Unreachable => NotFound,
        Invalid => InvalidInput,
        InUse => AddrInUse,
        NoPorts => AddrInUse,
        NoMemory => NoMemory,
    }
    AcceptError {
        WouldBlock => WouldBlock,
    }
    ReadError {
        WouldBlock => WouldBlock,
        Reset => ConnectionReset,
        TimedOut => TimedOut,
        Unreachable => NotFound,
    }
    WriteError {
        WouldBlock => WouldBlock,
        Closed => BrokenPipe,
        Reset => ConnectionReset,
        TimedOut => TimedOut,
        Unreachable => NotFound,
    }
    SendError {
        WouldBlock => WouldBlock,
        Unreachable => NotFound,
        Invalid => InvalidInput,
        TooLong => OutOfRange,
        NoBroadcast => PermissionDenied,
        NotConnected => NotConnected,
        Refused => ConnectionRefused,
        NoPorts => AddrInUse,
        NoMemory => NoMemory,
    }
    RecvError {
        WouldBlock => WouldBlock,
        Refused => ConnectionRefused,
    }
    JoinError {
        Invalid => InvalidInput,
        NoInterface => NoSuchDevice,
        TooMany => StorageFull,
        Exists => AddrInUse,
        NotFound => NotFound,
    }
    BufferError {
        TooSmall => InvalidInput,
        TooLarge => InvalidInput,
    }
    ResolveError {
        WouldBlock => WouldBlock,
        InvalidName => InvalidInput,
        TooMany => ResourceBusy,
        NotFound => NotFound,
        NoAddress => NotFound,
        ServerFailure => Io,
        TimedOut => TimedOut,
        NoServers => Unsupported,
    }
}

/// A result of the stack's as an application sees it.
///
/// # Errors
/// That of `result`.
///
/// ```
/// use axerrno::AxError;
/// use netasync::error::ax;
///
/// assert_eq!(ax::<()>(Err(netstack::ReadError::Reset)), Err(AxError::ConnectionReset));
/// ```
pub fn ax<T>(result: Result<T, impl ToAxError>) -> AxResult<T> {
    result.map_err(|error| error.to_ax_error())
}
