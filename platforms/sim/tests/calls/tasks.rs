//! Timers, tasks, signals and the reactor.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axerrno::AxError;
use futures_util::StreamExt;
use netasync::{
    CancellationToken, Handle, IoOperation, IoReactor, Outcome, TcpStream, UdpSocket, interval,
    sleep, timeout, yield_now,
};

use crate::{
    datagrams::{COUNT, number_of, receive_numbered, send_numbered, socket},
    peers::{CALLERS, ECHO, HERE, content, echo},
    probe::Probe,
    streams::{self, PIECE_LEN, source},
};

const TICK: Duration = Duration::from_millis(10);

pub(crate) async fn sleeping(probe: Probe) {
    for _ in 0..3 {
        let begun = Handle::current().now();
        let is_whole = probe.attempt(sleep(TICK)).await.is_some();
        let taken = Handle::current().now() - begun;
        // The first poll is the first wait.
        assert_eq!(taken, if is_whole { TICK } else { Duration::ZERO });
    }
}

/// No tick is lost, and none is late.
pub(crate) async fn tick(probe: Probe) {
    let begun = Handle::current().now();
    let mut ticks = interval(TICK);
    for number in 0..5 {
        let due = loop {
            if let Some(due) = probe.attempt(ticks.tick()).await {
                break due;
            }
        };
        assert_eq!(due, begun + TICK * number);
        assert_eq!(Handle::current().now(), due);
    }
}

pub(crate) async fn tick_of_a_stream(probe: Probe) {
    let begun = Handle::current().now();
    let mut ticks = interval(TICK);
    for number in 0..5 {
        let due = loop {
            if let Some(due) = probe.attempt(ticks.next()).await {
                break due;
            }
        };
        assert_eq!(due, Some(begun + TICK * number));
    }
}

pub(crate) async fn timeout_that_is_up(probe: Probe) {
    let late = probe.again(|| timeout(TICK, sleep(TICK * 2))).await;
    assert!(late.is_err());
    let in_time = probe.again(|| timeout(TICK * 2, sleep(TICK))).await;
    assert!(in_time.is_ok());
}

pub(crate) async fn yielding(probe: Probe) {
    probe.again(yield_now).await;
}

/// Others wait for the same signal.
pub(crate) async fn cancelled(probe: Probe) {
    let token = CancellationToken::new();
    let others = [1, 2].map(|_| {
        let token = token.clone();
        probe.tasks.spawn(async move { token.cancelled().await })
    });
    let signal = token.clone();
    probe.tasks.spawn(async move {
        sleep(TICK).await;
        signal.cancel();
    });
    probe.again(|| token.cancelled()).await;
    for other in others {
        other.await.expect("nobody aborts it");
    }
}

/// What the signal ends is dropped, and nothing that it has done is lost.
pub(crate) async fn run_until_cancelled(probe: Probe) {
    let stream = source().await;
    streams::read_content!(probe, buffer => async {
        loop {
            let token = CancellationToken::new();
            let signal = token.clone();
            let task = probe.tasks.spawn(async move {
                sleep(TICK / 3).await;
                signal.cancel();
            });
            let read = token.run_until_cancelled(stream.read(&mut buffer)).await;
            task.abort();
            if let Some(len) = read {
                return len;
            }
        }
    });
}

pub(crate) async fn join(probe: Probe) {
    let mut task = probe.tasks.spawn(async {
        sleep(TICK).await;
        42
    });
    loop {
        if let Some(result) = probe.attempt(&mut task).await {
            assert_eq!(result, Ok(42));
            break;
        }
    }
}

/// A task goes on when its handle has been dropped.
pub(crate) async fn join_for_good(probe: Probe) {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let task = probe.tasks.spawn(async move {
        sleep(TICK).await;
        count.fetch_add(1, Relaxed);
    });
    probe.attempt(task).await;
    sleep(TICK * 2).await;
    assert_eq!(ended.load(Relaxed), 1);
}

/// A task that reads is aborted: it has either told what it read, or read nothing.
pub(crate) async fn abort(probe: Probe) {
    let stream = Arc::new(source().await);
    let mut received = vec![];
    loop {
        let reader = stream.clone();
        let mut task = probe.tasks.spawn(async move {
            let mut buffer = vec![0; PIECE_LEN];
            let len = reader.read(&mut buffer).await.expect("it is connected");
            buffer.truncate(len);
            buffer
        });
        let read = match probe.attempt(&mut task).await {
            Some(read) => read,
            None => {
                task.abort();
                task.await
            }
        };
        match read {
            Ok(piece) if piece.is_empty() => break,
            Ok(piece) => received.extend(piece),
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    assert!(received == content());
}

/// A task that is aborted ends although nobody keeps its handle.
pub(crate) async fn abort_for_good(probe: Probe) {
    let mut task = probe.tasks.spawn(pending::<()>());
    while probe.attempt(timeout(TICK, &mut task)).await.is_none() {}
    task.abort();
}

/// A reactor with a request under way.
fn reactor(operation: IoOperation) -> IoReactor {
    let mut reactor = IoReactor::new(1);
    reactor.submit(operation).expect("it has room for one");
    reactor
}

/// Waits for the only request.
async fn completed(probe: &Probe, reactor: &mut IoReactor) -> (Outcome, Vec<u8>) {
    while probe.attempt(reactor.ready()).await.is_none() {}
    let (_, completion) = reactor.poll().pop().expect("one is ready");
    assert_eq!(reactor.under_way(), 0);
    (completion.result.expect("nothing fails"), completion.buffer)
}

/// Requests go on when waiting for them is given up.
pub(crate) async fn reactor_of_streams(probe: Probe) {
    let remote = ECHO.parse().unwrap();
    let mut reactor = reactor(IoOperation::Connect { remote });
    let (Outcome::Connected(stream), _) = completed(&probe, &mut reactor).await else {
        panic!("not connected");
    };
    stream.set_send_buffer_size(streams::SEND_LEN);
    let stream = Arc::new(stream);
    let mut buffer = content();
    while !buffer.is_empty() {
        reactor.submit(IoOperation::Write { stream: stream.clone(), buffer }).unwrap();
        let (Outcome::Transferred(len), written) = completed(&probe, &mut reactor).await else {
            panic!("not written");
        };
        buffer = written[len..].into();
    }
    stream.shutdown(netasync::Shutdown::Write);
    let mut received = vec![];
    loop {
        let buffer = vec![0; PIECE_LEN];
        reactor.submit(IoOperation::Read { stream: stream.clone(), buffer }).unwrap();
        let (Outcome::Transferred(len), read) = completed(&probe, &mut reactor).await else {
            panic!("not read");
        };
        received.extend_from_slice(&read[..len]);
        if len == 0 {
            break;
        }
    }
    assert!(received == content());
}

pub(crate) async fn reactor_of_a_listener(probe: Probe) {
    let listener = Arc::new(netasync::TcpListener::bind(HERE).await.expect("nobody else listens"));
    let mut reactor = IoReactor::new(1);
    for _ in 0..CALLERS {
        reactor.submit(IoOperation::Accept { listener: listener.clone() }).unwrap();
        let (Outcome::Accepted(stream, _), _) = completed(&probe, &mut reactor).await else {
            panic!("not accepted");
        };
        // Errors are those of callers that have their answer.
        probe.tasks.spawn(async move {
            let _broken = echo(stream).await;
        });
    }
}

pub(crate) async fn reactor_of_datagrams(probe: Probe) {
    let socket = socket().await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    let mut reactor = IoReactor::new(1);
    let mut received = vec![];
    while received.len() < usize::from(COUNT) {
        let buffer = vec![0; 200];
        reactor.submit(IoOperation::RecvFrom { socket: socket.clone(), buffer }).unwrap();
        let (Outcome::ReceivedFrom(len, _), datagram) = completed(&probe, &mut reactor).await
        else {
            panic!("not received");
        };
        received.push(number_of(&datagram[..len]));
    }
    assert!(probe.is_faulty() || received == [0, 1, 2, 3, 4]);
}

/// A request is cancelled and gives its buffer back, or has ended and has a completion.
async fn receive_or_cancel(probe: &Probe, socket: &Arc<UdpSocket>) -> Option<u8> {
    let mut reactor = IoReactor::new(1);
    let (socket, buffer) = (socket.clone(), vec![0; 200]);
    let id = reactor.submit(IoOperation::Recv { socket, buffer }).unwrap();
    if probe.attempt(reactor.ready()).await.is_none()
        && let Some(buffer) = reactor.cancel(id)
    {
        assert_eq!((buffer, reactor.under_way()), (vec![0; 200], 0));
        return None;
    }
    let (_, completion) = reactor.poll().pop().expect("one is ready");
    match completion.result {
        Ok(Outcome::Transferred(len)) => Some(number_of(&completion.buffer[..len])),
        other => panic!("not received: {other:?}"),
    }
}

pub(crate) async fn cancel(probe: Probe) {
    let socket = socket().await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    let mut received = vec![];
    while received.len() < usize::from(COUNT) {
        received.extend(receive_or_cancel(&probe, &socket).await);
    }
    assert!(probe.is_faulty() || received == [0, 1, 2, 3, 4]);
}

/// The reactor is dropped with what is under way in it.
pub(crate) async fn reactor_for_good(probe: Probe) {
    let socket = socket().await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    receive_numbered!(probe, async {
        let socket = socket.clone();
        let mut reactor = reactor(IoOperation::Recv { socket, buffer: vec![0; 200] });
        reactor.ready().await;
        let (_, completion) = reactor.poll().pop().expect("one is ready");
        number_of(&completion.buffer[..100])
    });
    let connect = || async {
        let mut reactor = reactor(IoOperation::Connect { remote: ECHO.parse().unwrap() });
        reactor.ready().await;
        reactor.poll().pop().expect("one is ready").1.result
    };
    assert!(matches!(probe.again(connect).await, Ok(Outcome::Connected(_))));
}

/// One address is refused: nothing is left of a connection that fails.
pub(crate) async fn reactor_refused(probe: Probe) {
    let connect = || async {
        let mut reactor = reactor(IoOperation::Connect { remote: "10.0.0.1:9".parse().unwrap() });
        reactor.ready().await;
        reactor.poll().pop().expect("one is ready").1.result
    };
    let refused = probe.again(connect).await;
    assert_eq!(refused.err(), Some(AxError::ConnectionRefused));
    drop(TcpStream::connect(ECHO).await.expect("it listens"));
}
