//! Connections that are used again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axerrno::AxError;
use futures_util::future::join_all;
use netasync::{Pool, Pooled, TcpListener, sleep, spawn, timeout, yield_now};
use world::{World, server_addr};

mod world;

/// Answers every byte with it; a zero with the end. Counts connections.
async fn server(accepted: Arc<AtomicUsize>) {
    let listener = TcpListener::bind(server_addr(80)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        accepted.fetch_add(1, Relaxed);
        spawn(async move {
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() && byte != [0] {
                stream.write_all(&byte).await.unwrap();
            }
        });
    }
}

async fn ask(connection: &Pooled) {
    connection.write_all(&[7]).await.unwrap();
    let mut answer = [0];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [7]);
}

#[test]
fn connections_are_used_again_and_never_more_than_allowed() {
    let accepted = Arc::new(AtomicUsize::new(0));
    World::new().run(server(accepted.clone()), async {
        let pool = Arc::new(Pool::new(server_addr(80), 3));
        let clients = (0..100).map(|_| {
            let pool = pool.clone();
            spawn(async move {
                for _ in 0..3 {
                    ask(&pool.get().await.unwrap()).await;
                    yield_now().await;
                }
            })
        });
        join_all(clients).await.into_iter().for_each(Result::unwrap);
        assert_eq!(pool.idle(), 3);
    });
    assert_eq!(accepted.load(Relaxed), 3);
}

#[test]
fn a_connection_that_cannot_be_used_is_replaced() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    World::new().run(server(accepted.clone()), async move {
        let pool = Pool::new(server_addr(80), 1);
        let connection = pool.get().await.unwrap();
        ask(&connection).await;
        drop(connection);
        assert_eq!(pool.idle(), 1);

        // The server closes it while nobody uses it.
        pool.get().await.unwrap().write_all(&[0]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        ask(&pool.get().await.unwrap()).await;
        assert_eq!(count.load(Relaxed), 2);

        // An answer that nobody has read must not be the next user's.
        let connection = pool.get().await.unwrap();
        connection.write_all(&[9]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        drop(connection);
        assert_eq!(pool.idle(), 0);

        // Half of a conversation, which only its user knows of.
        pool.get().await.unwrap().discard();
        assert_eq!(pool.idle(), 0);

        // One that was idle for long.
        ask(&pool.get().await.unwrap()).await;
        sleep(Duration::from_secs(31)).await;
        let before = count.load(Relaxed);
        ask(&pool.get().await.unwrap()).await;
        assert_eq!(count.load(Relaxed), before + 1);

        // One that its user has ended.
        let connection = pool.get().await.unwrap();
        connection.shutdown(netasync::Shutdown::Write);
        drop(connection);
        assert_eq!(pool.idle(), 0);
    });
}

#[test]
fn whoever_gives_up_leaves_the_pool_as_it_was() {
    World::new().run(server(Arc::default()), async {
        let pool = Pool::new(server_addr(80), 1);
        let connection = pool.get().await.unwrap();
        assert!(timeout(Duration::from_millis(1), pool.get()).await.is_err());
        let waiter = async { ask(&pool.get().await.unwrap()).await };
        let user = async {
            ask(&connection).await;
            drop(connection);
        };
        futures_util::join!(waiter, user);

        let nowhere = Pool::new(server_addr(81), 1);
        for _ in 0..2 {
            // The second finds the place of the first free.
            assert_eq!(nowhere.get().await.err(), Some(AxError::ConnectionRefused));
        }
    });
}
