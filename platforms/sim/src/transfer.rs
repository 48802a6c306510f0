//! One long stream between two hosts over one faulty link: how long it takes, in virtual time.
//!
//! What limits it is the path and what the stack makes of its losses, because processors are
//! infinitely fast here.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axerrno::AxResult;
use netasync::{Shutdown, TcpListener, TcpStream};
use netstack::Instant;

use crate::{
    impairment::{Chance, Rate, Rules},
    network::{Direction, HostConfig, HostId, Network, Outcome},
    nic::Card,
    scenario::{Content, Digest},
    switch::Forwarding,
};

/// Bytes in one write, and in one read.
const PIECE_LEN: usize = 16 * 1024;
/// The content's key; any other would do.
const CONTENT: u64 = 1;
const SERVER: HostId = 0;
const CLIENT: HostId = 1;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The host that opened the connection.
    Client,
    /// The host that accepted it.
    Server,
}

/// What is sent over which link.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Decides everything random.
    pub seed: u64,
    /// Bytes of the stream.
    pub len: u64,
    /// Who sends them.
    pub sender: Sender,
    /// Frames lost, in each direction.
    pub loss: Chance,
    /// What the link adds to the round trip: half in each direction.
    pub rtt: Duration,
    /// The link's speed in each direction; unlimited if `None`.
    pub rate: Option<Rate>,
    /// What both hosts' cards do.
    pub card: Card,
    /// How much virtual time it may take.
    pub limit: Duration,
}

/// A stream that arrived as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Virtual time from the client's call to the end of the stream at its receiver.
    pub took: Duration,
    /// Frames that the sender put on the link.
    pub frames_sent: u64,
    /// Those that were lost, to chance or to a full queue.
    pub frames_lost: u64,
    /// A hash of every frame with its time.
    pub trace: u64,
}

impl Report {
    /// Megabytes (10^6 bytes) of the stream per second of virtual time.
    pub fn goodput(&self, len: u64) -> f64 {
        len as f64 / self.took.as_micros() as f64
    }
}

/// Runs it.
///
/// # Errors
/// What went wrong: the stream broke, arrived changed, or did not arrive in time.
pub fn run(transfer: &Transfer) -> Result<Report, String> {
    let mut network = build(transfer);
    let end = start(&mut network, transfer);
    let outcome = network.run(Instant::ZERO + transfer.limit, || end.is_done());
    end.check(transfer.len).map_err(|problem| {
        let at = network.now().micros() as f64 / 1e6;
        format!("{problem} ({outcome:?} after {at:.1} virtual seconds)")
    })?;
    match outcome {
        Outcome::Done => Ok(report(&network, transfer)),
        other => Err(format!("the simulation ended with {other:?}")),
    }
}

fn build(transfer: &Transfer) -> Network {
    let mut network = Network::new(transfer.seed, Forwarding::Learning);
    for _ in [SERVER, CLIENT] {
        network.add_host(HostConfig { card: transfer.card, ..HostConfig::default() });
    }
    for direction in [Direction::Up, Direction::Down] {
        let rules = Rules {
            loss: transfer.loss,
            delay: transfer.rtt / 2,
            rate: transfer.rate,
            ..Rules::default()
        };
        network.set_rules(CLIENT, direction, rules);
    }
    network
}

/// What both ends have to say when they are through.
#[derive(Debug, Clone, Default)]
struct End {
    sent: Arc<OnceLock<AxResult<Digest>>>,
    received: Arc<OnceLock<AxResult<Digest>>>,
}

impl End {
    fn give(&self, is_sender: bool, result: AxResult<Digest>) {
        let place = if is_sender { &self.sent } else { &self.received };
        place.set(result).expect("each host ends once");
    }

    fn is_done(&self) -> bool {
        let has_failed = matches!(self.sent.get(), Some(Err(_)));
        has_failed || self.received.get().is_some()
    }

    fn check(&self, len: u64) -> Result<(), String> {
        match (self.sent.get(), self.received.get()) {
            (Some(Err(error)), _) => Err(format!("broke at the sender: {error}")),
            (_, Some(Err(error))) => Err(format!("broke at the receiver: {error}")),
            (Some(Ok(sent)), Some(Ok(received))) if sent == received && sent.len == len => Ok(()),
            (Some(Ok(_)), Some(Ok(_))) => Err("other bytes arrived than were sent".into()),
            _ => Err("did not arrive".into()),
        }
    }
}

fn start(network: &mut Network, transfer: &Transfer) -> End {
    let end = End::default();
    let address = SocketAddr::from(([10, 0, 0, SERVER as u8 + 1], 7));
    let &Transfer { sender, len, .. } = transfer;
    let (server, client) = (end.clone(), end.clone());
    network.spawn(SERVER, async move {
        match accept(address).await {
            Ok(stream) => transport(&stream, len, sender == Sender::Server, &server).await,
            Err(error) => server.give(sender == Sender::Server, Err(error)),
        }
    });
    network.spawn(CLIENT, async move {
        match TcpStream::connect(address).await {
            Ok(stream) => transport(&stream, len, sender == Sender::Client, &client).await,
            Err(error) => client.give(sender == Sender::Client, Err(error)),
        }
    });
    end
}

async fn accept(address: SocketAddr) -> AxResult<TcpStream> {
    let listener = TcpListener::bind(address).await?;
    listener.accept().await.map(|(stream, _)| stream)
}

/// One host's part.
async fn transport(stream: &TcpStream, len: u64, is_sender: bool, end: &End) {
    let result = match is_sender {
        true => send(stream, len).await,
        false => receive(stream).await,
    };
    end.give(is_sender, result);
}

async fn send(stream: &TcpStream, len: u64) -> AxResult<Digest> {
    let mut content = Content::new(CONTENT);
    let mut piece = vec![0; PIECE_LEN];
    while content.digest().len < len {
        let left = len - content.digest().len;
        let piece = &mut piece[..left.min(PIECE_LEN as u64) as usize];
        content.fill(piece);
        stream.write_all(piece).await?;
    }
    stream.shutdown(Shutdown::Write);
    Ok(content.digest())
}

/// The digest tells what came, right or wrong.
async fn receive(stream: &TcpStream) -> AxResult<Digest> {
    let mut content = Content::new(CONTENT);
    let mut piece = vec![0; PIECE_LEN];
    loop {
        match stream.read(&mut piece).await? {
            0 => return Ok(content.digest()),
            len => content.check(&piece[..len]),
        };
    }
}

fn report(network: &Network, transfer: &Transfer) -> Report {
    let direction = match transfer.sender {
        Sender::Client => Direction::Up,
        Sender::Server => Direction::Down,
    };
    let counters = network.impairment(CLIENT, direction).counters();
    Report {
        took: network.now() - Instant::ZERO,
        frames_sent: counters.offered,
        frames_lost: counters.lost + counters.overflowed,
        trace: network.trace_hash(),
    }
}
