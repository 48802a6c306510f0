//! Streams in halves, listeners as streams, tasks that are joined, and intervals.

use std::{sync::Arc, time::Duration};

use axerrno::AxError;
use futures_util::{StreamExt, stream};
use netasync::{
    Handle, JoinError, TcpListener, TcpStream, interval,
    io::{BufReadExt, BufReader},
    sleep, spawn, yield_now,
};
use world::{World, server_addr};

mod world;

/// Echoes by halves in two tasks, through a queue of one piece.
async fn echo_by_halves() {
    let listener = TcpListener::bind(server_addr(7)).await.unwrap();
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        let (reader, writer) = stream.unwrap().into_split();
        let pieces = Arc::new(std::sync::Mutex::new(Vec::new()));
        let queue = pieces.clone();
        let reading = spawn(async move {
            let mut buffer = [0; 1000];
            while let Ok(len @ 1..) = reader.read(&mut buffer).await {
                queue.lock().unwrap().extend_from_slice(&buffer[..len]);
            }
        });
        spawn(async move {
            loop {
                let is_over = reading.is_finished();
                let piece = std::mem::take(&mut *pieces.lock().unwrap());
                writer.write_all(&piece).await.unwrap();
                if is_over {
                    break;
                }
                sleep(Duration::from_micros(50)).await;
            }
        });
    }
}

#[test]
fn both_halves_work_at_once_in_two_tasks() {
    World::new().run(echo_by_halves(), async {
        let clients = (0..3).map(|number: u8| async move {
            let stream = TcpStream::connect(server_addr(7)).await.unwrap();
            let (reader, writer) = stream.into_split();
            let sent: Vec<u8> = (0..300_000_u32).map(|at| at as u8 ^ number).collect();
            let expected = sent.clone();
            // The end of the stream is that of the half.
            let writing = spawn(async move { writer.write_all(&sent).await });
            let mut received = vec![0; expected.len()];
            reader.read_exact(&mut received).await.unwrap();
            assert_eq!(reader.read(&mut [0]).await, Ok(0));
            assert_eq!(writing.await, Ok(Ok(())));
            assert!(received == expected);
        });
        stream::iter(clients).buffer_unordered(3).collect::<Vec<_>>().await;
    });
}

#[test]
fn halves_come_together_again() {
    World::new().run(echo_by_halves(), async {
        let connect = || async { TcpStream::connect(server_addr(7)).await.unwrap().into_split() };
        let ((reader, writer), (other_reader, other_writer)) = (connect().await, connect().await);
        let error = reader.reunite(other_writer).unwrap_err();
        assert_eq!(error.to_string(), "the halves belong to two connections");
        let stream = error.0.reunite(writer).unwrap();
        stream.write_all(b"still open\n").await.unwrap();
        let mut lines = BufReader::new(&stream).lines();
        assert_eq!(lines.next_line().await, Ok(Some("still open".into())));

        let mut other = error.1;
        assert_eq!(other.as_ref().local_addr(), other_reader.as_ref().local_addr());
        embedded_io_async::Write::write_all(&mut other, b"x").await.unwrap();
        drop(other);
        let mut last = [0; 2];
        assert_eq!(other_reader.read_exact(&mut last).await, Err(AxError::UnexpectedEof));
        assert_eq!(last[0], b'x');
    });
}

#[test]
fn a_task_that_was_aborted_joins_with_an_error() {
    World::new().run_client(async {
        let alive = Arc::new(());
        let held = alive.clone();
        let task = spawn(async move {
            sleep(Duration::from_secs(1000)).await;
            drop(held);
        });
        yield_now().await;
        task.abort();
        assert!(!task.is_finished(), "it has not run since");
        let error: JoinError = task.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(Arc::strong_count(&alive), 1, "its future is gone");

        let done = spawn(async { 7 });
        yield_now().await;
        done.abort();
        assert_eq!(done.await, Ok(7), "it had ended");

        let never_run = spawn(async { 7 });
        let handle = never_run.abort_handle();
        handle.abort();
        assert_eq!(never_run.await, Err(JoinError));
    });
}

#[test]
fn an_interval_ticks_as_often_as_there_were_periods() {
    World::new().run_client(async {
        let begun = Handle::current().now();
        let millis = |tick: netstack::Instant| (tick - begun).as_millis();
        let mut ticks = interval(Duration::from_millis(10));
        assert_eq!(millis(ticks.tick().await), 0, "the first comes at once");
        assert_eq!(millis(ticks.tick().await), 10);
        sleep(Duration::from_millis(35)).await;
        for due in [20, 30, 40] {
            assert_eq!(millis(ticks.next().await.unwrap()), due);
            assert_eq!(millis(Handle::current().now()), 45);
        }
        assert_eq!(millis(ticks.tick().await), 50);
        assert_eq!(millis(Handle::current().now()), 50);
    });
}
