//! futures-io.

extern crate std;

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::io::{Error, ErrorKind};

use axerrno::{AxError, AxResult};

use crate::{
    OwnedReadHalf, OwnedWriteHalf, TcpStream,
    io::{AsyncRead, AsyncWrite},
};

macro_rules! read {
    ($($reader:ty)*) => {$(
        impl futures_io::AsyncRead for $reader {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<Result<usize, Error>> {
                std(AsyncRead::poll_read(self, cx, buffer))
            }
        }
    )*};
}

macro_rules! write {
    ($($writer:ty)*) => {$(
        impl futures_io::AsyncWrite for $writer {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<Result<usize, Error>> {
                std(AsyncWrite::poll_write(self, cx, data))
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
                std(AsyncWrite::poll_flush(self, cx))
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
                std(AsyncWrite::poll_close(self, cx))
            }
        }
    )*};
}

read!(TcpStream &TcpStream OwnedReadHalf);
write!(TcpStream &TcpStream OwnedWriteHalf);

fn std<T>(polled: Poll<AxResult<T>>) -> Poll<Result<T, Error>> {
    polled.map_err(|error| {
        let kind = match error {
            AxError::BrokenPipe => ErrorKind::BrokenPipe,
            AxError::ConnectionReset => ErrorKind::ConnectionReset,
            AxError::TimedOut => ErrorKind::TimedOut,
            AxError::NotFound => ErrorKind::HostUnreachable,
            _ => ErrorKind::Other,
        };
        Error::new(kind, std::format!("{error}"))
    })
}
