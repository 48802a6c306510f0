//! One client from its parameters to its results.

use alloc::vec::Vec;
use core::{fmt, future::pending};

use axwire::{
    memory,
    net::{TcpListener, TcpStream, UdpSocket},
    select_biased,
    time::{Duration, sleep, timeout},
};
use futures_util::{
    FutureExt,
    future::{join, join_all},
};

use crate::{
    control::{Control, Failure, deny, read_cookie},
    flow::{Flow, Plan, Socket},
    protocol::{
        Complaint, PARAMETERS_LEN_MAX, PORT, Parameters, RESULTS_LEN_MAX, Results, State,
        StreamResults, Transport, UDP_GREETING_LEN, UDP_REPLY, parse_results, stream_id,
    },
};

/// How long all streams together may take to open.
const OPEN_TIME: Duration = Duration::from_secs(30);
/// How much longer than it said a measurement may take: iperf3's own allowance for slow paths.
const GRACE: Duration = Duration::from_secs(40);
/// How long nothing may be moved: iperf3's own patience.
const STALL: Duration = Duration::from_secs(120);
/// How long what was under way at the end may take to arrive: some retransmissions.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// The part of the free memory that a measurement's own buffers may take: the quarter. The sockets
/// have theirs, too.
const MEMORY_SHARE: usize = 4;
/// The least and the most that UDP's buffers may have in the stack.
const UDP_BUFFER_LEN_MIN: usize = 256 * 1024;
const UDP_BUFFER_LEN_MAX: usize = 4 << 20;

/// What a measurement has come to.
#[derive(Debug)]
pub(crate) struct Summary {
    transport: Transport,
    streams: usize,
    received: u64,
    sent: u64,
    seconds: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { transport, streams, received, sent, seconds } = self;
        let transport = match transport {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        };
        write!(
            f,
            "{received} bytes in, {sent} out, {seconds:.2} s, {transport}, {streams} stream"
        )?;
        f.write_str(if *streams == 1 { "" } else { "s" })
    }
}

/// Measures what the client wants to have measured.
pub(crate) async fn run(listener: &TcpListener, control: &Control) -> Result<Summary, Failure> {
    control.send(State::ParamExchange).await?;
    let json = control.read_json(PARAMETERS_LEN_MAX, Complaint::Parameters).await?;
    let parameters = Parameters::parse(&json)?;
    check_memory(&parameters)?;
    let flows = open(listener, control, &parameters).await?;
    let plan = Plan::new(&parameters);
    control.send(State::TestStart).await?;
    control.send(State::TestRunning).await?;
    transfer(listener, control, &plan, &parameters, &flows).await?;
    let results = exchange(control, &plan, &parameters, &flows).await?;
    Ok(summary(&parameters, &flows, &results))
}

/// An allocation that fails ends the machine.
fn check_memory(parameters: &Parameters) -> Result<(), Complaint> {
    let buffers = match parameters.transport {
        Transport::Tcp => 2,
        Transport::Udp => 2 + parameters.streams(),
    };
    let is_enough = buffers * parameters.block_len <= memory::free() / MEMORY_SHARE;
    is_enough.then_some(()).ok_or(Complaint::InitTest)
}

/// Has the client open its streams: at first those that it sends by.
async fn open(
    listener: &TcpListener,
    control: &Control,
    parameters: &Parameters,
) -> Result<Vec<Flow>, Failure> {
    let opened = async {
        match parameters.transport {
            Transport::Tcp => accept(listener, control, parameters).await,
            Transport::Udp => greet(control, parameters).await,
        }
    };
    select_biased! {
        opened = timeout(OPEN_TIME, opened).fuse() => opened.unwrap_or(Err(Failure::Stalled)),
        state = control.next().fuse() => match state {
            Ok(_) => Err(Complaint::UnknownMessage.into()),
            Err(failure) => Err(failure),
        },
    }
}

/// Accepts streams by TCP, which show the client's cookie. Others are told that we are busy.
async fn accept(
    listener: &TcpListener,
    control: &Control,
    parameters: &Parameters,
) -> Result<Vec<Flow>, Failure> {
    control.send(State::CreateStreams).await?;
    let mut flows = Vec::new();
    while flows.len() < parameters.streams() {
        let (stream, _peer) = listener.accept().await.map_err(|_| Complaint::InitTest)?;
        match read_cookie(&stream).await {
            Ok(cookie) if cookie == control.cookie => {
                set_options(&stream, parameters);
                flows.push(flow(flows.len(), Socket::Tcp(stream), parameters));
            }
            _ => deny(stream),
        }
    }
    Ok(flows)
}

fn flow(index: usize, socket: Socket, parameters: &Parameters) -> Flow {
    Flow::new(stream_id(index), socket, index >= parameters.receiving)
}

fn set_options(stream: &TcpStream, parameters: &Parameters) {
    stream.set_nodelay(parameters.nodelay);
    if let Some(window) = parameters.window {
        stream.set_send_buffer_size(window);
        stream.set_recv_buffer_size(window);
    }
}

/// Waits for as many datagrams from the client as there are to be streams, and answers each from a
/// socket that is the stream's own.
async fn greet(control: &Control, parameters: &Parameters) -> Result<Vec<Flow>, Failure> {
    let local = (control.local_addr().ip().to_canonical(), PORT);
    let client = control.peer_addr().ip().to_canonical();
    let bind = async || {
        let socket = UdpSocket::bind_shared(local).await.map_err(|_| Complaint::InitTest)?;
        set_buffers(&socket, parameters)?;
        Ok::<_, Complaint>(socket)
    };
    let mut socket = bind().await?;
    control.send(State::CreateStreams).await?;
    let mut flows = Vec::new();
    while flows.len() < parameters.streams() {
        let mut greeting = [0; UDP_GREETING_LEN + 1];
        let received = socket.recv_from(&mut greeting).await;
        let (len, peer) = received.map_err(|_| Complaint::InitTest)?;
        if len != UDP_GREETING_LEN || peer.ip().to_canonical() != client {
            continue;
        }
        socket.connect(peer).await.map_err(|_| Complaint::InitTest)?;
        // The client goes on when it is answered: the next one must be bound by then.
        let next = bind().await?;
        socket.send(&UDP_REPLY).await.map_err(|_| Failure::Gone)?;
        flows.push(flow(flows.len(), Socket::Udp(socket), parameters));
        socket = next;
    }
    Ok(flows)
}

fn set_buffers(socket: &UdpSocket, parameters: &Parameters) -> Result<(), Complaint> {
    // Several of the longest datagrams.
    let least = UDP_BUFFER_LEN_MIN.max(parameters.block_len * 4);
    let len = parameters.window.unwrap_or(0).clamp(least, UDP_BUFFER_LEN_MAX);
    let set = socket.set_recv_buffer_size(len).and_then(|()| socket.set_send_buffer_size(len));
    set.map_err(|_| Complaint::BufferSize)
}

/// Moves data until the client says that it is enough.
async fn transfer(
    listener: &TcpListener,
    control: &Control,
    plan: &Plan<'_>,
    parameters: &Parameters,
    flows: &[Flow],
) -> Result<(), Failure> {
    let moving = async {
        let all = join_all(flows.iter().map(|flow| flow.run(plan)));
        join(all, omit(plan, parameters, flows)).await;
        pending().await
    };
    // The data first: what came before the client's last word counts.
    let ended = select_biased! {
        () = moving.fuse() => Ok(()),
        () = deny_others(listener).fuse() => Err(Complaint::InitTest.into()),
        ended = end(control).fuse() => ended,
        complaint = expiry(parameters).fuse() => Err(complaint.into()),
        complaint = standstill(flows).fuse() => Err(complaint.into()),
    };
    flows.iter().for_each(Flow::end);
    ended
}

async fn omit(plan: &Plan<'_>, parameters: &Parameters, flows: &[Flow]) {
    if !parameters.omit.is_zero() {
        sleep(parameters.omit).await;
        flows.iter().for_each(|flow| flow.omit(plan));
    }
}

async fn end(control: &Control) -> Result<(), Failure> {
    loop {
        match control.next().await? {
            State::TestEnd => return Ok(()),
            // iperf3 allows for it.
            State::TestStart => {}
            _ => return Err(Failure::Terminated),
        }
    }
}

/// Returns when nobody can be accepted any more.
async fn deny_others(listener: &TcpListener) {
    while let Ok((stream, _peer)) = listener.accept().await {
        deny(stream);
    }
}

async fn expiry(parameters: &Parameters) -> Complaint {
    match parameters.time {
        Some(time) => sleep(time + parameters.omit + GRACE).await,
        None => pending().await,
    }
    Complaint::DurationExpired
}

async fn standstill(flows: &[Flow]) -> Complaint {
    let moved = || flows.iter().map(Flow::moved).sum::<u64>();
    let mut before = moved();
    loop {
        sleep(STALL).await;
        if moved() == before {
            return Complaint::NoMessage;
        }
        before = moved();
    }
}

/// Hears how much the client has moved, waits for what of it is still under way, and tells what was
/// measured here.
async fn exchange(
    control: &Control,
    plan: &Plan<'_>,
    parameters: &Parameters,
    flows: &[Flow],
) -> Result<Vec<StreamResults>, Failure> {
    control.send(State::ExchangeResults).await?;
    let json = control.read_json(RESULTS_LEN_MAX, Complaint::Results).await?;
    let claims = parse_results(&json)?;
    let drained = join_all(flows.iter().map(|flow| flow.drain(plan, &claims)));
    // What has not come by then has not been received.
    let _ = timeout(DRAIN_TIME, drained).await;
    let streams: Vec<_> = flows.iter().map(Flow::results).collect();
    let results = Results::new(parameters, streams.clone());
    control.write_json(&results.to_json()).await?;
    control.send(State::DisplayResults).await?;
    // The client has everything; it may as well just go.
    let _ = control.expect(State::IperfDone).await;
    Ok(streams)
}

fn summary(parameters: &Parameters, flows: &[Flow], results: &[StreamResults]) -> Summary {
    let sum = |is_sender| {
        let both = flows.iter().zip(results).filter(|(flow, _)| flow.is_sender() == is_sender);
        both.map(|(_, results)| results.bytes).sum()
    };
    Summary {
        transport: parameters.transport,
        streams: flows.len(),
        received: sum(false),
        sent: sum(true),
        seconds: results.iter().map(|results| results.end_time).fold(0.0, f64::max),
    }
}
