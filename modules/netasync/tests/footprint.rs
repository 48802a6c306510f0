//! What waits that were given up have left behind: bytes that the allocator has given out.
//!
//! A binary of its own, because it counts what the whole process allocates.

use std::{sync::Arc, time::Duration};

use counting::live_bytes;
use netasync::{
    IoOperation, IoReactor, TcpListener, TcpStream, UdpSocket, interval, sleep, spawn, timeout,
};
use world::{World, server_addr};

#[path = "../../netstack/tests/counting/mod.rs"]
mod counting;
mod world;

/// Rounds, each of which gives up some waits of each kind. One waker that is kept of each round is a
/// hundred times the tolerance.
const ROUNDS: usize = 10_000;
/// Queues that have grown keep their room.
const TOLERANCE_BYTES: usize = 2048;

struct Round {
    stream: Arc<TcpStream>,
    listener: Arc<TcpListener>,
    socket: Arc<UdpSocket>,
    reactor: IoReactor,
}

impl Round {
    async fn give_up_everything(&mut self) {
        let moment = Duration::from_micros(1);
        let Round { stream, listener, socket, reactor } = self;
        assert!(timeout(moment, stream.read(&mut [0; 8])).await.is_err());
        assert!(timeout(moment, listener.accept()).await.is_err());
        assert!(timeout(moment, socket.recv_from(&mut [0; 8])).await.is_err());
        assert!(timeout(moment, interval(moment * 2).tick()).await.is_ok());
        let task = {
            let stream = stream.clone();
            spawn(async move { timeout(moment, stream.peek(&mut [0; 8])).await.is_err() })
        };
        assert_eq!(task.await, Ok(true));
        let aborted = spawn(std::future::pending::<()>());
        assert!(timeout(moment, aborted).await.is_err());
        let operations = [
            IoOperation::Accept { listener: listener.clone() },
            IoOperation::Recv { socket: socket.clone(), buffer: vec![0; 8] },
            IoOperation::Read { stream: stream.clone(), buffer: vec![0; 8] },
            IoOperation::Connect { remote: ([10, 0, 0, 77], 80).into() },
        ];
        let requests = operations.map(|operation| reactor.submit(operation).unwrap());
        assert!(timeout(moment, reactor.ready()).await.is_err());
        let unpolled = IoOperation::Recv { socket: socket.clone(), buffer: vec![0; 8] };
        let unpolled = reactor.submit(unpolled).unwrap();
        for request in requests.into_iter().chain([unpolled]) {
            assert!(reactor.cancel(request).is_some());
        }
    }
}

#[test]
fn waits_that_are_given_up_leave_no_bytes() {
    let server = async {
        let listener = TcpListener::bind(server_addr(7)).await.unwrap();
        let _stream = listener.accept().await.unwrap();
        sleep(Duration::from_secs(1_000_000)).await;
    };
    World::new().run(server, async {
        let mut round = Round {
            stream: Arc::new(TcpStream::connect(server_addr(7)).await.unwrap()),
            listener: Arc::new(TcpListener::bind("10.0.0.2:80").await.unwrap()),
            socket: Arc::new(UdpSocket::bind("10.0.0.2:9").await.unwrap()),
            reactor: IoReactor::new(8),
        };
        for _ in 0..100 {
            round.give_up_everything().await;
        }
        // The requests to connect are forgotten by the stack, too.
        let rest = Duration::from_secs(10);
        sleep(rest).await;
        let before = live_bytes();
        for _ in 0..ROUNDS {
            round.give_up_everything().await;
        }
        sleep(rest).await;
        let left = live_bytes().saturating_sub(before);
        assert!(left <= TOLERANCE_BYTES, "{left} bytes are left");
    });
}
