//! What makes connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axerrno::{AxError, AxResult};
use futures_util::StreamExt;
use netasync::{Pool, TcpListener, TcpSocket, TcpStream, sleep, timeout};

use crate::{
    peers::{CALLERS, ECHO, HERE, NOBODY, echo},
    probe::Probe,
};

/// The connection works.
async fn use_it(stream: &TcpStream) {
    let mut answer = [0; 5];
    stream.write_all(b"hello").await.expect("it is connected");
    stream.read_exact(&mut answer).await.expect("it is connected");
    assert_eq!(&answer, b"hello");
}

/// Until the link-local addresses are known to be nobody else's (RFC 4862 section 5.4).
async fn have_ipv6() {
    sleep(Duration::from_secs(5)).await;
}

pub(crate) async fn connect(probe: Probe) {
    use_it(&probe.again(|| TcpStream::connect(ECHO)).await.expect("it listens")).await;
}

/// The first address is silent.
pub(crate) async fn connect_to_a_list(probe: Probe) {
    let addresses = [NOBODY, ECHO].map(|text| text.parse::<SocketAddr>().expect("an address"));
    let stream = probe.again(|| TcpStream::connect(&addresses[..])).await;
    use_it(&stream.expect("the second listens")).await;
}

pub(crate) async fn connect_by_name(probe: Probe) {
    let connect = || TcpStream::connect("two.test:7");
    use_it(&probe.again(connect).await.expect("the second listens")).await;
}

/// The address of IPv6, which is first, is silent.
pub(crate) async fn connect_by_name_of_both_kinds(probe: Probe) {
    have_ipv6().await;
    let connect = || TcpStream::connect("mixed.test:7");
    use_it(&probe.again(connect).await.expect("the second listens")).await;
}

pub(crate) async fn connect_refused(probe: Probe) {
    let refused = probe.again(|| TcpStream::connect("10.0.0.1:9")).await;
    assert_eq!(refused.err(), Some(AxError::ConnectionRefused));
}

async fn connect_until_made(probe: &Probe, socket: &mut TcpSocket) {
    loop {
        if let Some(result) = probe.attempt(socket.connect(ECHO)).await {
            return result.expect("it listens");
        }
    }
}

/// Every attempt has the same two ends.
pub(crate) async fn connect_by_socket(probe: Probe) {
    let mut socket = TcpSocket::new();
    socket.bind("10.0.0.2:4000").expect("an address");
    connect_until_made(&probe, &mut socket).await;
    use_it(socket.stream().expect("it is connected")).await;
}

/// An attempt that was begun without waiting goes on when waiting for it is given up.
pub(crate) async fn connect_begun_before(probe: Probe) {
    let mut socket = TcpSocket::new();
    socket.set_nonblocking(true);
    assert_eq!(socket.connect(ECHO).await, Err(AxError::WouldBlock));
    socket.set_nonblocking(false);
    connect_until_made(&probe, &mut socket).await;
    use_it(socket.stream().expect("it is connected")).await;
}

/// Serves callers, who come by the call given: every one is accepted once.
macro_rules! accept_all {
    ($probe:ident, $accept:expr) => {
        for _ in 0..CALLERS {
            let stream = loop {
                if let Some(stream) = $probe.attempt($accept).await {
                    break stream;
                }
            };
            // Errors are those of callers that have their answer.
            $probe.tasks.spawn(async move {
                let _broken = echo(stream).await;
            });
        }
        let late = timeout(Duration::from_millis(100), $accept).await;
        assert!(late.is_err(), "somebody is accepted twice");
    };
}

fn stream_of<P>(accepted: AxResult<(TcpStream, P)>) -> TcpStream {
    accepted.expect("it listens").0
}

pub(crate) async fn accept(probe: Probe) {
    let listener = TcpListener::bind(HERE).await.expect("nobody else listens");
    accept_all!(probe, async { stream_of(listener.accept().await) });
}

pub(crate) async fn accept_by_socket(probe: Probe) {
    let mut socket = TcpSocket::new();
    socket.bind(HERE).expect("an address");
    socket.listen(16).expect("nobody else listens");
    accept_all!(probe, async { stream_of(socket.accept().await) });
}

pub(crate) async fn incoming(probe: Probe) {
    let listener = TcpListener::bind(HERE).await.expect("nobody else listens");
    let mut incoming = listener.incoming();
    accept_all!(probe, async { incoming.next().await.expect("no end").expect("it listens") });
}

/// Others accept as well: whoever gives up takes no wakeup and no connection away from them.
pub(crate) async fn accept_beside_other_tasks(probe: Probe) {
    let listener = Arc::new(TcpListener::bind(HERE).await.expect("nobody else listens"));
    let acceptors = (0..CALLERS - 1).map(|_| {
        let listener = listener.clone();
        probe.tasks.spawn(async move {
            // Errors are those of callers that have their answer.
            let _broken = echo(stream_of(listener.accept().await)).await;
        })
    });
    let acceptors: Vec<_> = acceptors.collect();
    let accept = || async { stream_of(listener.accept().await) };
    let _broken = echo(probe.again(accept).await).await;
    for acceptor in acceptors {
        acceptor.await.expect("nobody aborts it");
    }
}

/// Three tasks want the only connection of a pool; the one in the middle gives up.
pub(crate) async fn pool_get(probe: Probe) {
    let pool = Arc::new(Pool::new(ECHO, 1));
    let user = |after_ms| {
        let pool = pool.clone();
        probe.tasks.spawn(async move {
            sleep(Duration::from_millis(after_ms)).await;
            let connection = pool.get().await.expect("it listens");
            use_it(&connection).await;
            sleep(Duration::from_millis(20)).await;
        })
    };
    let (first, last) = (user(0), user(10));
    sleep(Duration::from_millis(5)).await;
    let connection = probe.again(|| pool.get()).await.expect("it listens");
    use_it(&connection).await;
    drop(connection);
    first.await.expect("nobody aborts it");
    last.await.expect("nobody aborts it");
    assert_eq!(pool.idle(), 1);
}

/// There is no connection yet.
pub(crate) async fn pool_get_of_a_new_connection(probe: Probe) {
    let pool = Pool::new("server.test:7", 2);
    let first = probe.again(|| pool.get()).await.expect("it listens");
    let second = probe.again(|| pool.get()).await.expect("it listens");
    use_it(&first).await;
    use_it(&second).await;
}
