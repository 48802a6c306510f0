//! A name server on the host.

use std::{
    net::{Ipv4Addr, UdpSocket},
    thread,
};

use crate::wire::HOST_IP;

/// The only name that exists, as a message has it.
const SERVER: &[u8] = b"\x06server\x04test\0";
const TYPE_A: u8 = 1;
const NAME_ERROR: u8 = 3;

/// Answers for as long as the tests run: "server.test" is the host and has no IPv6 address, nothing
/// else exists. It is on the tap, by the host's address and port 53.
///
/// # Panics
/// If somebody else serves names there.
pub fn serve() {
    let socket = UdpSocket::bind((Ipv4Addr::from(HOST_IP), 53)).expect("nobody else serves names");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // One that is not answered is asked again by its client.
            let _sent = socket.send_to(&answer(&buffer[..len]), from);
        }
    });
}

/// Answers one question (RFC 1035 section 4.1).
fn answer(question: &[u8]) -> Vec<u8> {
    let is_server = question[12..].starts_with(SERVER);
    let is_address = is_server && question[12 + SERVER.len() + 1] == TYPE_A;
    let code = if is_server { 0 } else { NAME_ERROR };
    let mut message = question[..2].to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    message.extend(&question[12..]);
    if is_address {
        // The name is the question's; the record lives a minute.
        message.extend([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(HOST_IP);
    }
    message
}
