//! Asks the server `tls.server=HOST:PORT`, given on the kernel's command line, for `/` over TLS
//! 1.3, and says how long the answer was. The machine is then powered off.
//!
//! It shows that a TLS library works over these sockets. It does not check who the server is.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
    vec,
};
use core::fmt::Debug;

use axwire::{
    command_line,
    net::{TcpStream, has_address},
    println, random,
    time::{Duration, timeout},
};
use embedded_tls::{
    Aes128GcmSha256, TlsConfig, TlsConnection, TlsContext, TlsError, UnsecureProvider,
};
use rand_core_06::{CryptoRng, RngCore};

/// How long it may take, from the network's coming up to the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest record (RFC 8446 section 5.2), with its header.
const RECORD_LEN_MAX: usize = 16_640 + 5;

#[axwire::main]
async fn main() -> Result<(), String> {
    let line = command_line();
    let server = line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("tls.server="))
        .ok_or("tls.server=HOST:PORT is missing")?;
    let answer = timeout(PATIENCE, async {
        has_address().await;
        fetch(server).await
    });
    let answer = answer.await.map_err(|elapsed| elapsed.to_string())??;
    let status = answer.lines().next().unwrap_or_default();
    println!("tls: {status}, {} bytes", answer.len());
    Ok(())
}

async fn fetch(server: &str) -> Result<String, String> {
    let stream = TcpStream::connect(server).await.map_err(|error| format!("{server}: {error}"))?;
    let (mut reading, mut writing) = (vec![0; RECORD_LEN_MAX], vec![0; RECORD_LEN_MAX]);
    let mut tls = TlsConnection::new(stream, &mut reading, &mut writing);
    let config = TlsConfig::new();
    let provider = UnsecureProvider::new::<Aes128GcmSha256>(Random);
    tls.open(TlsContext::new(&config, provider)).await.map_err(debug)?;
    tls.write(b"GET / HTTP/1.0\r\n\r\n").await.map_err(debug)?;
    tls.flush().await.map_err(debug)?;
    let (mut answer, mut buffer) = (vec![], [0; 1024]);
    loop {
        match tls.read(&mut buffer).await {
            Ok(0) | Err(TlsError::ConnectionClosed) => break,
            Ok(len) => answer.extend_from_slice(&buffer[..len]),
            Err(error) => return Err(debug(error)),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn debug(error: impl Debug) -> String {
    format!("{error:?}")
}

/// The machine's random numbers, as the library wants them.
struct Random;

impl CryptoRng for Random {}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        random::fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        random::fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        random::fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        random::fill(bytes);
        Ok(())
    }
}
