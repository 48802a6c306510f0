//! What iperf3's client and server tell each other beside the data, as version 3.12 does it.
//!
//! A connection begins with a cookie, the same on all connections of one client. By the first of
//! them, states are told as single bytes, and parameters and results as JSON behind its length.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::datagram::HEADER_LEN_MAX;

/// Of TCP and of UDP.
pub(crate) const PORT: u16 = 5201;
/// 36 characters and a zero.
pub(crate) const COOKIE_LEN: usize = 37;
/// The parameters as JSON; iperf3's own limit.
pub(crate) const PARAMETERS_LEN_MAX: usize = 8 * 1024;
/// The results as JSON: 256 streams (128 each way) at 250 bytes, twice.
pub(crate) const RESULTS_LEN_MAX: usize = 128 * 1024;
/// What a client sends to have a UDP stream, though any four bytes will do: so has iperf3 done.
pub(crate) const UDP_GREETING_LEN: usize = 4;
/// What it is answered.
pub(crate) const UDP_REPLY: [u8; UDP_GREETING_LEN] = *b"6789";

/// iperf3's limits.
const TIME_MAX: u64 = 86_400;
const OMIT_MAX: u64 = 600;
const PARALLEL_MAX: u64 = 128;
const BURST_MAX: u64 = 1000;
const WINDOW_MAX: u64 = 512 << 20;
const TCP_BLOCK_LEN_MAX: u64 = 1 << 20;
const UDP_BLOCK_LEN_MAX: u64 = 65_535 - 8 - 20;
/// Numbers are floating ones in this JSON. Up to here, they are exact.
const EXACT_MAX: u64 = 1 << 53;

/// What iperf3 writes when it is not told a length.
const TCP_BLOCK_LEN: u64 = 128 * 1024;

/// What one end tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    TestStart = 1,
    TestRunning = 2,
    TestEnd = 4,
    ParamExchange = 9,
    CreateStreams = 10,
    ClientTerminate = 12,
    ExchangeResults = 13,
    DisplayResults = 14,
    IperfDone = 16,
    AccessDenied = -1,
    ServerError = -2,
}

impl State {
    /// What a client may say.
    pub(crate) fn of_client(byte: u8) -> Option<State> {
        [State::TestStart, State::TestEnd, State::ClientTerminate, State::IperfDone]
            .into_iter()
            .find(|state| state.byte() == byte)
    }

    pub(crate) fn byte(self) -> u8 {
        self as i8 as u8
    }
}

/// What a server says about what was wrong, as a number that the client has words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    Duration = 5,
    NumStreams = 6,
    BlockSize = 7,
    BufferSize = 8,
    Omit = 12,
    Burst = 15,
    NoSctp = 18,
    UdpBlockSize = 20,
    InitTest = 101,
    UnknownMessage = 110,
    Parameters = 114,
    Results = 117,
    NoMessage = 144,
    DurationExpired = 160,
}

impl Complaint {
    /// As it is sent: the state, the number, and an error of the operating system's, which is none.
    pub(crate) fn bytes(self) -> [u8; 9] {
        let mut bytes = [0; 9];
        bytes[0] = State::ServerError.byte();
        bytes[1..5].copy_from_slice(&(self as u32).to_be_bytes());
        bytes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) transport: Transport,
    /// Streams from the client.
    pub(crate) receiving: usize,
    /// Streams to the client.
    pub(crate) sending: usize,
    pub(crate) block_len: usize,
    /// `None` goes on until the client ends it.
    pub(crate) time: Option<Duration>,
    /// What is sent at first and does not count.
    pub(crate) omit: Duration,
    /// Bytes that all streams together send.
    pub(crate) limit: Option<u64>,
    /// Bits per second of each stream; zero is as many as possible.
    pub(crate) rate: u64,
    /// Blocks that are sent together.
    pub(crate) burst: u64,
    pub(crate) nodelay: bool,
    /// Of the sockets' buffers.
    pub(crate) window: Option<usize>,
    pub(crate) has_long_counters: bool,
}

impl Parameters {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Complaint> {
        let raw: RawParameters = serde_json::from_slice(json).map_err(|_| Complaint::Parameters)?;
        let transport = match (raw.sctp, raw.udp) {
            (true, _) => return Err(Complaint::NoSctp),
            (false, true) => Transport::Udp,
            (false, false) => Transport::Tcp,
        };
        let parallel = whole(raw.parallel, PARALLEL_MAX).filter(|it| *it > 0);
        let parallel = parallel.ok_or(Complaint::NumStreams)? as usize;
        let block_len = block_len(raw.len, transport)?;
        let any = |value| whole(value, EXACT_MAX).ok_or(Complaint::Parameters);
        let (bytes, blocks) = (any(raw.num)?, any(raw.blockcount)?);
        let limit = if bytes > 0 { bytes } else { blocks.saturating_mul(block_len) };
        let window = whole(raw.window, WINDOW_MAX).ok_or(Complaint::BufferSize)?;
        let time = whole(raw.time, TIME_MAX).ok_or(Complaint::Duration)?;
        Ok(Parameters {
            transport,
            receiving: if raw.reverse { 0 } else { parallel },
            sending: if raw.reverse || raw.bidirectional { parallel } else { 0 },
            block_len: block_len as usize,
            time: (time > 0).then(|| Duration::from_secs(time)),
            omit: Duration::from_secs(whole(raw.omit, OMIT_MAX).ok_or(Complaint::Omit)?),
            limit: (limit > 0).then_some(limit),
            rate: any(raw.bandwidth)?,
            burst: whole(raw.burst, BURST_MAX).ok_or(Complaint::Burst)?.max(1),
            nodelay: raw.nodelay,
            window: (window > 0).then_some(window as usize),
            has_long_counters: raw.udp_counters_64bit != 0.0,
        })
    }

    pub(crate) fn streams(&self) -> usize {
        self.receiving + self.sending
    }
}

fn block_len(len: f64, transport: Transport) -> Result<u64, Complaint> {
    let (longest, complaint) = match transport {
        Transport::Tcp => (TCP_BLOCK_LEN_MAX, Complaint::BlockSize),
        Transport::Udp => (UDP_BLOCK_LEN_MAX, Complaint::UdpBlockSize),
    };
    match (transport, whole(len, longest).ok_or(complaint)?) {
        (Transport::Tcp, 0) => Ok(TCP_BLOCK_LEN),
        (Transport::Udp, len) if len < HEADER_LEN_MAX as u64 => Err(complaint),
        (_, len) => Ok(len),
    }
}

/// A number from zero to `max`. A fraction is cut off, as iperf3 does.
fn whole(value: f64, max: u64) -> Option<u64> {
    (0.0..=max as f64).contains(&value).then_some(value as u64)
}

/// Parameters as they come. What is not here makes no difference to a server, or none here: a
/// congestion control, for one, is taken as a wish.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct RawParameters {
    udp: bool,
    sctp: bool,
    omit: f64,
    time: f64,
    num: f64,
    blockcount: f64,
    nodelay: bool,
    parallel: f64,
    reverse: bool,
    bidirectional: bool,
    window: f64,
    len: f64,
    bandwidth: f64,
    burst: f64,
    udp_counters_64bit: f64,
}

impl Default for RawParameters {
    fn default() -> Self {
        RawParameters {
            udp: false,
            sctp: false,
            omit: 0.0,
            time: 10.0,
            num: 0.0,
            blockcount: 0.0,
            nodelay: false,
            parallel: 1.0,
            reverse: false,
            bidirectional: false,
            window: 0.0,
            len: 0.0,
            bandwidth: 0.0,
            burst: 0.0,
            udp_counters_64bit: 0.0,
        }
    }
}

/// The number of a stream, counted from zero, as both ends call it. iperf3 leaves two out, and says
/// that it must stay so.
pub(crate) fn stream_id(index: usize) -> u64 {
    if index == 0 { 1 } else { index as u64 + 2 }
}

/// What the server has measured.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// There are no processes here whose time could be told.
    cpu_util_total: f64,
    cpu_util_user: f64,
    cpu_util_system: f64,
    /// -1 if the server has not sent.
    sender_has_retransmits: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    congestion_used: Option<&'static str>,
    streams: Vec<StreamResults>,
}

/// Of one stream.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct StreamResults {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    /// -1 if they are not known.
    pub(crate) retransmits: i64,
    /// In seconds.
    pub(crate) jitter: f64,
    /// Datagrams lost, those of the omitted time included.
    pub(crate) errors: u64,
    pub(crate) omitted_errors: u64,
    /// Datagrams sent, as far as this end knows.
    pub(crate) packets: u64,
    pub(crate) omitted_packets: u64,
    /// In seconds.
    pub(crate) start_time: f64,
    pub(crate) end_time: f64,
}

impl Results {
    pub(crate) fn new(parameters: &Parameters, streams: Vec<StreamResults>) -> Self {
        let is_tcp = parameters.transport == Transport::Tcp;
        Results {
            cpu_util_total: 0.0,
            cpu_util_user: 0.0,
            cpu_util_system: 0.0,
            sender_has_retransmits: match parameters.sending {
                0 => -1,
                _ => i64::from(is_tcp),
            },
            congestion_used: is_tcp.then_some("cubic"),
            streams,
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and names are JSON")
    }
}

/// How many bytes the client says that it has moved, stream by stream.
pub(crate) fn parse_results(json: &[u8]) -> Result<Vec<(u64, u64)>, Complaint> {
    #[derive(Deserialize)]
    struct Client {
        streams: Vec<Stream>,
    }
    #[derive(Deserialize)]
    struct Stream {
        id: f64,
        bytes: f64,
    }
    let client: Client = serde_json::from_slice(json).map_err(|_| Complaint::Results)?;
    let stream =
        |stream: &Stream| Some((whole(stream.id, EXACT_MAX)?, whole(stream.bytes, EXACT_MAX)?));
    let streams: Option<Vec<_>> = client.streams.iter().map(stream).collect();
    streams.ok_or(Complaint::Results)
}

#[cfg(test)]
mod tests;
