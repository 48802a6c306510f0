//! Errors as the kernel has them: the same as those of the asynchronous API, which the tests
//! compare.

use axerrno::{AxError, AxResult};
use netstack::{
    AcceptError, BindError, ConnectError, ReadError, RecvError, ResolveError, SendError, WriteError,
};

/// An error that an application sees as an [`AxError`].
pub(super) trait ToAxError {
    fn to_ax_error(&self) -> AxError;
}

macro_rules! map {
    ($($error:ident { $($($variant:ident)|+ => $ax:ident,)* })*) => {$(
        impl ToAxError for $error {
            fn to_ax_error(&self) -> AxError {
                match self { $($($error::$variant)|+ => AxError::$ax,)* }
            }
        }
    )*};
}

map! {
    BindError {
        InUse | NoPorts => AddrInUse,
        NotOurs => BadAddress,
        NoMemory => NoMemory,
        NoBacklog | Bound | WrongFamily => InvalidInput,
    }
    ConnectError {
        WouldBlock => WouldBlock,
        Refused => ConnectionRefused,
        TimedOut => TimedOut,
        Unreachable => NotFound,
        Invalid => InvalidInput,
        InUse | NoPorts => AddrInUse,
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
    ResolveError {
        WouldBlock => WouldBlock,
        InvalidName => InvalidInput,
        TooMany => ResourceBusy,
        NotFound | NoAddress => NotFound,
        ServerFailure => Io,
        TimedOut => TimedOut,
        NoServers => Unsupported,
    }
}

pub(super) fn ax<T>(result: Result<T, impl ToAxError>) -> AxResult<T> {
    result.map_err(|error| error.to_ax_error())
}
