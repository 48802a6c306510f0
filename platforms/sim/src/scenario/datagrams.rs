//! Requests over UDP, and their answers.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netasync::{UdpSocket, sleep, timeout};

use super::{
    content::Content,
    ledger::Ledger,
    wire::{open, seal},
};
use crate::rng::Rng;

const HEADER_LEN: usize = 40;
/// When a request is repeated for the first time, and how far that doubles.
const RETRY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];
/// The longest datagram that fits a packet over IPv4.
const UNFRAGMENTED_LEN_MAX: usize = 1472;
/// What fits a packet, headers included; IPv6 datagrams are not fragmented.
const LEN_MAX_IPV6: u64 = 1300;

#[derive(Debug, Clone)]
pub(crate) struct Requester {
    pub(crate) ledger: Ledger,
    pub(crate) rng: Rng,
    pub(crate) workload: u64,
    pub(crate) server: SocketAddr,
    pub(crate) count: u64,
    pub(crate) len_max: u64,
}

impl Requester {
    pub(crate) async fn run(mut self, start: Duration) {
        sleep(start).await;
        if self.server.is_ipv6() {
            self.len_max = self.len_max.min(LEN_MAX_IPV6);
        }
        let socket = self.bind().await;
        for number in 0..self.count {
            if let Err(error) = self.ask(&socket, self.workload << 20 | number).await {
                self.ledger.violation(format!("UDP client: {error}"));
            }
        }
        self.ledger.ended(self.workload);
    }

    async fn bind(&self) -> UdpSocket {
        loop {
            match UdpSocket::bind(unspecified(self.server, 0)).await {
                Ok(socket) => return socket,
                Err(AxError::NoMemory) => sleep(RETRY[1]).await,
                Err(error) => {
                    self.ledger.violation(format!("UDP bind: {error}"));
                    std::future::pending().await
                }
            }
        }
    }

    /// Repeats a request until it is answered.
    async fn ask(&mut self, socket: &UdpSocket, id: u64) -> AxResult<()> {
        let lens = [self.rng.between(1, self.len_max), self.rng.between(1, self.len_max)];
        let request = message(id * 2, lens);
        let mut patience = RETRY[0];
        loop {
            let exchange = async {
                socket.send_to(&request, self.server).await?;
                self.answer(socket, id).await
            };
            match timeout(patience, exchange).await {
                Ok(result) => return result,
                Err(_) => patience = (2 * patience).min(RETRY[1]),
            }
            self.ledger.retried();
        }
    }

    /// Waits for the answer; late ones to earlier requests are passed over.
    async fn answer(&self, socket: &UdpSocket, id: u64) -> AxResult<()> {
        let mut buffer = [0; 10_000];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await?;
            let Some((stream, _)) = judge(&buffer[..len], &self.ledger)? else {
                continue;
            };
            if from != self.server {
                self.ledger.violation(format!("an answer from {from}"));
            }
            if stream == id * 2 + 1 {
                self.ledger.answered();
                return Ok(());
            }
        }
    }
}

/// Answers every request, on `local`, until it is stopped.
pub(crate) async fn answer(ledger: Ledger, local: SocketAddr) {
    let socket = match UdpSocket::bind(local).await {
        Ok(socket) => socket,
        Err(error) => return ledger.violation(format!("UDP bind {local}: {error}")),
    };
    let mut buffer = [0; 10_000];
    loop {
        let result = async {
            let (len, from) = socket.recv_from(&mut buffer).await?;
            if let Some((stream, len)) = judge(&buffer[..len], &ledger)? {
                socket.send_to(&message(stream + 1, [len, len]), from).await?;
            }
            AxResult::Ok(())
        };
        if let Err(error) = result.await {
            ledger.violation(format!("UDP server: {error}"));
        }
    }
}

/// The unspecified address of the same family.
pub(crate) fn unspecified(like: SocketAddr, port: u16) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
    }
}

/// A message of stream `id` with `lens[0]` bytes, that asks for `lens[1]` bytes.
fn message(id: u64, lens: [u64; 2]) -> Vec<u8> {
    let mut message = vec![0; HEADER_LEN + lens[0] as usize];
    let (header, payload) = message.split_at_mut(HEADER_LEN);
    header.copy_from_slice(&seal([id, lens[0], lens[1], 0]));
    Content::new(id).fill(payload);
    message
}

/// A message's stream, and the bytes that it asks for. `None` if it is damaged and may be.
fn judge(message: &[u8], ledger: &Ledger) -> AxResult<Option<(u64, u64)>> {
    match parse(message) {
        Some(parsed) => Ok(Some(parsed)),
        // Two fragments with a flipped bit each are one pair in 32 that the checksum misses.
        None if message.len() > UNFRAGMENTED_LEN_MAX => Ok(None),
        None => {
            ledger.violation(format!("a datagram of {} bytes is damaged", message.len()));
            Err(AxError::InvalidData)
        }
    }
}

fn parse(message: &[u8]) -> Option<(u64, u64)> {
    let (header, payload) = message.split_first_chunk()?;
    let [id, len, wanted, _] = open(header)?;
    let is_whole = payload.len() as u64 == len && Content::new(id).check(payload);
    is_whole.then_some((id, wanted))
}
