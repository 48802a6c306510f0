//! What is done with buffers around a connection.

use embedded_io_async::{BufRead, Read, Write};
use netasync::io::{BufReadExt, BufReader, BufStream, BufWriter, copy, copy_buf};

use crate::{
    peers::content,
    probe::Probe,
    streams::{echo, expect_echo, read_content, rest, source, write_content},
};

pub(crate) async fn buffered_read(probe: Probe) {
    let mut reader = BufReader::new(source().await);
    read_content!(probe, buffer => reader.read(&mut buffer));
}

pub(crate) async fn fill_buf(probe: Probe) {
    let mut reader = BufReader::new(source().await);
    let mut received = vec![];
    loop {
        let Some(filled) = probe.attempt(reader.fill_buf()).await else { continue };
        let len = filled.expect("it is connected").len().min(100);
        received.extend_from_slice(&reader.fill_buf().await.expect("it is there")[..len]);
        reader.consume(len);
        if len == 0 {
            break;
        }
    }
    assert!(received == content());
}

pub(crate) async fn next_line(probe: Probe) {
    let mut lines = BufReader::new(source().await).lines();
    let mut received = vec![];
    loop {
        match probe.attempt(lines.next_line()).await.transpose().expect("it is text") {
            None => {}
            Some(None) => break,
            Some(Some(line)) => received.push(line),
        }
    }
    let sent = String::from_utf8(content()).expect("it is text");
    assert!(received.iter().eq(&sent.lines().collect::<Vec<_>>()));
}

pub(crate) async fn buffered_write(probe: Probe) {
    let stream = echo().await;
    let mut writer = BufWriter::new(&stream);
    write_content!(probe, data => writer.write(&data[..data.len().min(900)]));
    while probe.attempt(writer.flush()).await.is_none() {}
    expect_echo(&stream).await;
}

/// More than the buffer holds goes past it.
pub(crate) async fn buffered_write_of_much(probe: Probe) {
    let stream = echo().await;
    let mut writer = BufWriter::new(&stream);
    write_content!(probe, data => writer.write(data));
    writer.flush().await.expect("it is connected");
    expect_echo(&stream).await;
}

pub(crate) async fn buffered_flush(probe: Probe) {
    let stream = echo().await;
    let mut writer = BufWriter::new(&stream);
    let content = content();
    for piece in content.chunks(2500) {
        writer.write_all(piece).await.expect("it is connected");
        while probe.attempt(writer.flush()).await.is_none() {}
    }
    expect_echo(&stream).await;
}

/// What was written goes out before the answer is waited for.
pub(crate) async fn read_of_a_buffered_writer(probe: Probe) {
    let stream = echo().await;
    let mut writer = BufWriter::new(&stream);
    for request in content().chunks(2500) {
        writer.write_all(request).await.expect("it is connected");
        let (mut answer, mut buffer) = (vec![], [0; 300]);
        while answer.len() < request.len() {
            if let Some(len) = probe.attempt(writer.read(&mut buffer)).await {
                answer.extend_from_slice(&buffer[..len.expect("it is connected")]);
            }
        }
        assert!(answer == request);
    }
}

pub(crate) async fn buffered_stream(probe: Probe) {
    let mut stream = BufStream::new(echo().await);
    for request in content().chunks(2500) {
        stream.write_all(request).await.expect("it is connected");
        let mut answer = vec![];
        while answer.len() < request.len() {
            let Some(filled) = probe.attempt(stream.fill_buf()).await else { continue };
            let filled = filled.expect("it is connected");
            answer.extend_from_slice(filled);
            let len = filled.len();
            stream.consume(len);
        }
        assert!(answer == request);
    }
}

/// What was read and not yet written is lost, 4 KiB at most.
pub(crate) async fn copy_without_buffer(probe: Probe) {
    const LOST_MAX: usize = 4096;
    let (from, to) = (source().await, echo().await);
    while probe.attempt(copy(&mut &from, &mut &to)).await.is_none() {}
    to.shutdown(netasync::Shutdown::Write);
    let (sent, received) = (content(), rest(&to).await);
    let lost = sent.len() - received.len();
    assert!(lost == 0 || probe.is_dropped() && lost <= LOST_MAX, "{lost} bytes are lost");
    // It was one piece: a beginning and an end of the content are there.
    let common = sent.iter().zip(&received).take_while(|(one, other)| one == other).count();
    assert!(sent.ends_with(&received[common..]));
}

pub(crate) async fn copy_with_buffer(probe: Probe) {
    let (mut from, to) = (BufReader::new(source().await), echo().await);
    while probe.attempt(copy_buf(&mut from, &mut &to)).await.is_none() {}
    expect_echo(&to).await;
}
