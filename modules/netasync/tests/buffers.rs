//! Buffered reading and writing, lines, and copying.

use std::time::Duration;

use axerrno::AxError;
use embedded_io_async::{BufRead, Read, Write};
use netasync::{
    Shutdown, TcpListener, TcpStream,
    io::{BufReadExt, BufReader, BufStream, BufWriter, LineError, copy, copy_buf},
    sleep, timeout,
};
use world::{World, server_addr};

mod world;

/// Sends pieces, one every 10 ms, and ends the stream.
async fn sender(pieces: Vec<Vec<u8>>) {
    let listener = TcpListener::bind(server_addr(80)).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    for piece in pieces {
        stream.write_all(&piece).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
}

fn pieces(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

async fn connect() -> TcpStream {
    TcpStream::connect(server_addr(80)).await.unwrap()
}

#[test]
fn lines_come_whole_whatever_pieces_they_came_in() {
    let server = sender(pieces(&["one\ntw", "o\r\n\nfo", "\u{fc}r\nlast"]));
    World::new().run(server, async {
        let mut lines = BufReader::new(connect().await).lines();
        let mut got = vec![];
        loop {
            // Most calls are given up: nothing is lost by that.
            match timeout(Duration::from_millis(3), lines.next_line()).await {
                Ok(Ok(Some(line))) => got.push(line),
                Ok(end) => break assert_eq!(end, Ok(None)),
                Err(_) => {}
            }
        }
        assert_eq!(got, ["one", "two", "", "fo\u{fc}r", "last"]);
        assert_eq!(lines.next_line().await, Ok(None), "and again");
    });
}

#[test]
fn a_line_that_is_none_is_told_and_passed_over() {
    let long = vec![b'x'; 70_000];
    let server = sender(vec![b"\xff\xfe\n".to_vec(), long, b"\nok\n".to_vec()]);
    World::new().run(server, async {
        let mut lines = BufStream::new(connect().await).lines();
        let error = lines.next_line().await.unwrap_err();
        assert_eq!(
            (error, error.to_string().as_str()),
            (LineError::NotText, "a line is not UTF-8")
        );
        assert_eq!(AxError::from(error), AxError::InvalidData);
        assert_eq!(lines.next_line().await, Err(LineError::TooLong));
        let rest = lines.next_line().await.unwrap().unwrap();
        assert!(rest.len() < 70_000 - 64 * 1024 + 4096, "what was too long is gone");
        assert_eq!(lines.next_line().await, Ok(Some("ok".into())));
        assert_eq!(lines.into_inner().buffered(), 0);
    });
}

#[test]
fn an_error_beneath_goes_through() {
    let server = async {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"half a li").await.unwrap();
        sleep(Duration::from_millis(10)).await;
        stream.abort();
    };
    World::new().run(server, async {
        let mut lines = BufReader::new(connect().await).lines();
        let error = lines.next_line().await.unwrap_err();
        assert_eq!(AxError::from(error), AxError::ConnectionReset);
    });
}

#[test]
fn a_reader_reads_ahead_and_lets_writes_through() {
    World::new().run(echo(), async {
        let mut reader = BufReader::new(connect().await);
        reader.write_all(b"hello world").await.unwrap();
        reader.flush().await.unwrap();
        let mut word = [0; 5];
        reader.read_exact(&mut word).await.unwrap();
        assert_eq!((&word, reader.buffered()), (b"hello", 6));
        assert_eq!(reader.fill_buf().await.unwrap(), b" world");
        reader.consume(6);
        let much = vec![7; 20_000];
        reader.get_mut().write_all(&much).await.unwrap();
        let mut answer = vec![0; 20_000];
        reader.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, much);
        assert_eq!(reader.get_ref().peer_addr(), server_addr(80));
    });
}

/// Copies a connection to itself.
async fn echo() {
    let listener = TcpListener::bind(server_addr(80)).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let len = copy(&mut &stream, &mut &stream).await.unwrap();
    assert!(len > 0);
}

#[test]
fn a_writer_gathers_what_is_written_until_it_is_flushed() {
    World::new().run(echo(), async {
        let stream = connect().await;
        let mut writer = BufWriter::new(&stream);
        writer.write_all(b"12").await.unwrap();
        writer.write_all(b"34").await.unwrap();
        let mut buffer = [0; 8];
        let early = timeout(Duration::from_millis(50), stream.read(&mut buffer)).await;
        assert!(early.is_err(), "nothing was sent");
        writer.flush().await.unwrap();
        assert_eq!(stream.read(&mut buffer).await, Ok(4), "in one piece");
        writer.write_all(&[0; 10_000]).await.unwrap();
        assert_eq!(writer.get_ref().peer_addr(), server_addr(80));
        stream.read_exact(&mut [0; 10_000]).await.unwrap();
    });
}

#[test]
fn a_copy_has_every_byte_and_says_how_many() {
    let content: Vec<u8> = (0..200_000_u32).map(|at| (at * 31) as u8).collect();
    let sent = content.clone();
    let server = async move {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        for piece in sent.chunks(30_000) {
            stream.write_all(piece).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        stream.shutdown(Shutdown::Write);
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!((back == sent, stream.read(&mut [0]).await), (true, Ok(0)));
    };
    World::new().run_both(server, async move {
        let stream = connect().await;
        let (reading, mut writing) = stream.into_split();
        let mut reader = BufReader::new(reading);
        // Given up again and again, it goes on where it was.
        let mut rounds = 0;
        while timeout(Duration::from_micros(100), copy_buf(&mut reader, &mut writing))
            .await
            .is_err()
        {
            rounds += 1;
        }
        assert!(rounds > 0, "it was not given up");
        drop(writing);
    });
}
