//! What is done with a connection.

use std::{pin::Pin, sync::Arc, task::Poll, time::Duration};

use axerrno::AxResult;
use futures_util::future::{join, poll_fn};
use netasync::{
    JoinHandle, Shutdown, TcpSocket, TcpStream,
    io::{AsyncRead, AsyncWrite},
    sleep, timeout,
};

use crate::{
    peers::{ECHO, SOURCE, content},
    probe::Probe,
};

/// Bytes that are read at a time.
pub(crate) const PIECE_LEN: usize = 700;
/// Small, so that writes wait.
pub(crate) const SEND_LEN: usize = 512;

/// Reads to the end by the call given, which fills `$buffer`; that is the content.
macro_rules! read_content {
    ($probe:ident, $buffer:ident => $read:expr) => {{
        let mut received = vec![];
        loop {
            let mut $buffer = [0; $crate::streams::PIECE_LEN];
            match $probe.attempt($read).await.transpose().expect("it is connected") {
                None => {}
                Some(0) => break,
                Some(len) => received.extend_from_slice(&$buffer[..len]),
            }
        }
        assert!(received == $crate::peers::content());
    }};
}

/// Writes all of the content by the call given, which writes as much as it will of `$data`.
macro_rules! write_content {
    ($probe:ident, $data:ident => $write:expr) => {
        let content = $crate::peers::content();
        let mut $data = &content[..];
        while !$data.is_empty() {
            if let Some(len) = $probe.attempt($write).await {
                $data = &$data[len.expect("it is connected")..];
            }
        }
    };
}

pub(crate) use {read_content, write_content};

/// A connection to the echo, whose writes wait.
pub(crate) async fn echo() -> TcpStream {
    let stream = TcpStream::connect(ECHO).await.expect("it listens");
    stream.set_send_buffer_size(SEND_LEN);
    stream
}

pub(crate) async fn source() -> TcpStream {
    TcpStream::connect(SOURCE).await.expect("it listens")
}

/// What comes until the end.
pub(crate) async fn rest(stream: &TcpStream) -> Vec<u8> {
    let (mut received, mut buffer) = (vec![], [0; PIECE_LEN]);
    while let len @ 1.. = stream.read(&mut buffer).await.expect("it is connected") {
        received.extend_from_slice(&buffer[..len]);
    }
    received
}

/// Ends the stream; all that was written comes back.
pub(crate) async fn expect_echo(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write);
    assert!(rest(stream).await == content());
}

pub(crate) async fn read(probe: Probe) {
    let stream = source().await;
    read_content!(probe, buffer => stream.read(&mut buffer));
}

pub(crate) async fn read_by_half(probe: Probe) {
    let (reader, writer) = source().await.into_split();
    read_content!(probe, buffer => reader.read(&mut buffer));
    drop(writer);
}

pub(crate) async fn read_by_socket(probe: Probe) {
    let mut socket = TcpSocket::new();
    socket.connect(SOURCE).await.expect("it listens");
    read_content!(probe, buffer => socket.read(&mut buffer));
}

pub(crate) async fn poll_read(probe: Probe) {
    let stream = source().await;
    read_content!(probe, buffer => poll_fn(|cx| Pin::new(&mut &stream).poll_read(cx, &mut buffer)));
}

pub(crate) async fn peek(probe: Probe) {
    let stream = source().await;
    read_content!(probe, buffer => async {
        let seen = stream.peek(&mut buffer).await?;
        // It is there and is still the next.
        let mut again = [0; PIECE_LEN];
        stream.read_exact(&mut again[..seen]).await?;
        assert!(again[..seen] == buffer[..seen]);
        AxResult::Ok(seen)
    });
}

/// What has come stays in the buffer; the next call goes on behind it.
macro_rules! read_exactly {
    ($probe:ident, $buffer:ident => $read:expr) => {{
        let (content, mut received) = (content(), vec![]);
        while received.len() < content.len() {
            let mut buffer = vec![0; (content.len() - received.len()).min(1800)];
            let $buffer = &mut buffer;
            if let Some(result) = $probe.attempt($read).await {
                result.expect("the stream is long enough");
            }
            // No byte of the content is zero.
            let len = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
            assert!(buffer[len..].iter().all(|byte| *byte == 0));
            received.extend_from_slice(&buffer[..len]);
        }
        assert!(received == content);
    }};
}

pub(crate) async fn read_exact(probe: Probe) {
    let stream = source().await;
    read_exactly!(probe, buffer => stream.read_exact(buffer));
}

pub(crate) async fn read_exact_by_half(probe: Probe) {
    let (reader, writer) = source().await.into_split();
    read_exactly!(probe, buffer => reader.read_exact(buffer));
    drop(writer);
}

pub(crate) async fn read_exact_by_socket(probe: Probe) {
    let mut socket = TcpSocket::new();
    socket.connect(SOURCE).await.expect("it listens");
    read_exactly!(probe, buffer => socket.read_exact(buffer));
}

pub(crate) async fn write(probe: Probe) {
    let stream = echo().await;
    write_content!(probe, data => stream.write(data));
    expect_echo(&stream).await;
}

pub(crate) async fn write_by_half(probe: Probe) {
    let (reader, writer) = echo().await.into_split();
    write_content!(probe, data => writer.write(data));
    drop(writer);
    assert!(rest(reader.as_ref()).await == content());
}

pub(crate) async fn write_by_socket(probe: Probe) {
    let mut socket = TcpSocket::new();
    socket.set_send_buffer_size(SEND_LEN);
    socket.connect(ECHO).await.expect("it listens");
    write_content!(probe, data => socket.write(data));
    expect_echo(socket.stream().expect("it is connected")).await;
}

pub(crate) async fn poll_write(probe: Probe) {
    let stream = echo().await;
    write_content!(probe, data => poll_fn(|cx| Pin::new(&mut &stream).poll_write(cx, data)));
    expect_echo(&stream).await;
}

/// What was written is a beginning of the data; the next call goes on behind it.
macro_rules! write_whole {
    ($probe:ident, $stream:expr, $data:ident => $write:expr) => {{
        let $data = &content()[..];
        let is_whole = match $probe.attempt($write).await {
            Some(result) => result.is_ok(),
            None => false,
        };
        let end = [0xff; 1500];
        $stream.write_all(&end).await.expect("it is connected");
        $stream.shutdown(Shutdown::Write);
        let received = rest($stream).await;
        let written = received.strip_suffix(&end).expect("what was written last comes last");
        assert!($data.starts_with(written));
        assert_eq!(written.len() == $data.len(), is_whole);
    }};
}

pub(crate) async fn write_all(probe: Probe) {
    let stream = echo().await;
    write_whole!(probe, &stream, data => stream.write_all(data));
}

pub(crate) async fn write_all_by_half(probe: Probe) {
    let (reader, writer) = echo().await.into_split();
    write_whole!(probe, reader.as_ref(), data => writer.write_all(data));
}

pub(crate) async fn write_all_by_socket(probe: Probe) {
    let mut socket = TcpSocket::new();
    socket.set_send_buffer_size(SEND_LEN);
    socket.connect(ECHO).await.expect("it listens");
    write_whole!(probe, socket.stream().unwrap(), data => socket.write_all(data));
}

/// Flushing and closing never wait.
pub(crate) async fn flush_and_close(probe: Probe) {
    let stream = echo().await;
    stream.write_all(&content()).await.expect("it is connected");
    let flushed = probe.again(|| poll_fn(|cx| Pin::new(&mut &stream).poll_flush(cx))).await;
    let closed = probe.again(|| poll_fn(|cx| Pin::new(&mut &stream).poll_close(cx))).await;
    assert_eq!((flushed, closed), (Ok(()), Ok(())));
    assert!(rest(&stream).await == content());
}

/// One task reads and another writes. Both calls are under test.
pub(crate) async fn both_halves(probe: Probe) {
    let (reader, writer) = echo().await.into_split();
    let writing_probe = probe.clone();
    let writing = probe.tasks.spawn(async move {
        write_content!(writing_probe, data => writer.write(data));
    });
    read_content!(probe, buffer => reader.read(&mut buffer));
    writing.await.expect("nobody aborts it");
}

/// Others wait for the same: whoever gives up takes no wakeup away from them.
pub(crate) async fn read_beside_other_tasks(probe: Probe) {
    let stream = Arc::new(echo().await);
    let others = [1, 2].map(|_| {
        let stream = stream.clone();
        probe.tasks.spawn(async move { stream.read(&mut [0]).await })
    });
    read_beside(&probe, &stream, others).await;
}

/// The others wait by the trait, which all may do at the same time.
pub(crate) async fn read_beside_polling_tasks(probe: Probe) {
    let stream = Arc::new(echo().await);
    let others = [1, 2].map(|_| {
        let stream = stream.clone();
        let read = poll_fn(move |cx| Pin::new(&mut &*stream).poll_read(cx, &mut [0]));
        probe.tasks.spawn(read)
    });
    read_beside(&probe, &stream, others).await;
}

/// Asks for as many bytes as tasks want to read.
async fn read_beside(probe: &Probe, stream: &TcpStream, others: [JoinHandle<AxResult<usize>>; 2]) {
    let ask = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(10)).await;
            stream.write_all(b"x").await.expect("it is connected");
        }
    };
    let read = async { while probe.attempt(stream.read(&mut [0])).await.is_none() {} };
    join(ask, read).await;
    for other in others {
        assert_eq!(other.await, Ok(Ok(1)));
    }
}

/// The same inside one task, whose calls have one waker: the one that is given up does not take
/// the other's wakeup away.
pub(crate) async fn peek_beside_another_call(probe: Probe) {
    let stream = Arc::new(echo().await);
    let asking = stream.clone();
    // Another task, so that nothing but the stream wakes this one.
    probe.tasks.spawn(async move {
        sleep(Duration::from_millis(20)).await;
        asking.write_all(b"x").await.expect("it is connected");
    });
    let (mut one, mut other) = ([0], [0]);
    let peek = stream.peek(&mut one);
    let (seen, _) = join(peek, probe.attempt(stream.peek(&mut other))).await;
    assert_eq!(seen, Ok(1));
}

/// A read that loses a race against the time.
pub(crate) async fn select(probe: Probe) {
    use futures_util::future::{Either, select};
    let stream = source().await;
    let patience = Duration::from_millis(3);
    read_content!(probe, buffer => async {
        loop {
            let read = Box::pin(stream.read(&mut buffer));
            match select(read, sleep(patience)).await {
                Either::Left((len, _)) => return len,
                Either::Right(_) => {}
            }
        }
    });
}

pub(crate) async fn timeout_of_read(probe: Probe) {
    let stream = source().await;
    read_content!(probe, buffer => async {
        loop {
            if let Ok(len) = timeout(Duration::from_millis(3), stream.read(&mut buffer)).await {
                return len;
            }
        }
    });
}

/// A call that is made and never polled does nothing.
pub(crate) async fn unpolled(probe: Probe) {
    let stream = source().await;
    drop((stream.read(&mut [0]), stream.write(b"x"), TcpStream::connect(ECHO)));
    read_content!(probe, buffer => async {
        let mut read = Box::pin(stream.read(&mut buffer));
        let first = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
        match first {
            Poll::Ready(len) => len,
            Poll::Pending => read.await,
        }
    });
}
