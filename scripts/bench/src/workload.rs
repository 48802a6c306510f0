//! What is measured: each workload starts a server afresh and returns some values.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    Result,
    contestant::Contestant,
    counter,
    load::{
        Until, bulk, echo,
        http::{self, Reuse},
    },
    machine::{Clock, Server},
    operation::Operation,
    results::Sample,
    service::Service,
    statistics::percentile_us,
    tools,
};

/// How long one measurement of a rate takes.
const SPAN: Duration = Duration::from_secs(4);
/// Over which the processor's time at rest is taken.
const REST: Duration = Duration::from_secs(10);
/// Messages echoed, of which the slowest thousandth is ten.
const MESSAGES: u64 = 10_000;
/// Requests among idle connections.
const REQUESTS_AMONG_IDLE: u64 = 3_000;
/// How many connections rest beside.
const IDLE: [usize; 2] = [1_000, 10_000];
/// Clients of HTTP with kept connections.
const KEPT: [usize; 4] = [1, 16, 64, 256];
/// Clients of HTTP with new connections.
const NEW: [usize; 2] = [1, 16];

/// Values that one server gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Start,
    Http,
    HttpNew,
    TcpEcho,
    UdpEcho,
    Idle,
    Receive,
    Send,
    Count(Operation),
    KeyValue,
    Iperf,
}

impl Workload {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> Vec<Workload> {
        use Workload::{
            Http, HttpNew, Idle, Iperf, KeyValue, Receive, Send, Start, TcpEcho, UdpEcho,
        };
        let first = [Http, HttpNew, TcpEcho, UdpEcho, Idle, Receive, Send, Iperf, KeyValue, Start];
        first.into_iter().chain(Operation::ALL.map(Workload::Count)).collect()
    }

    /// The group by which it is chosen.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Workload::Http => "http",
            Workload::HttpNew => "http-new",
            Workload::TcpEcho | Workload::UdpEcho => "echo",
            Workload::Idle => "idle",
            Workload::Receive | Workload::Send => "bulk",
            Workload::Iperf => "iperf",
            Workload::KeyValue => "kv",
            Workload::Start => "start",
            Workload::Count(_) => "instructions",
        }
    }

    /// What it is, in words.
    pub(crate) fn title(self) -> String {
        match self {
            Workload::Http => "HTTP, kept connections".into(),
            Workload::HttpNew => "HTTP, new connections".into(),
            Workload::TcpEcho => "TCP echo".into(),
            Workload::UdpEcho => "UDP echo".into(),
            Workload::Idle => "idle connections".into(),
            Workload::Receive => "receiving".into(),
            Workload::Send => "sending".into(),
            Workload::Iperf => "iperf3".into(),
            Workload::KeyValue => "redis-benchmark".into(),
            Workload::Start => "start and rest".into(),
            Workload::Count(operation) => format!("instructions, {}", operation.title()),
        }
    }

    /// What it needs of a server.
    pub(crate) fn service(self) -> Service {
        match self {
            Workload::Http | Workload::HttpNew | Workload::Idle | Workload::Start => Service::Http,
            Workload::TcpEcho => Service::TcpEcho,
            Workload::UdpEcho => Service::UdpEcho,
            Workload::Receive => Service::Discard,
            Workload::Send => Service::Generate,
            Workload::Count(operation) => operation.service(),
            Workload::KeyValue => Service::KeyValue,
            Workload::Iperf => Service::Iperf,
        }
    }

    /// Who takes part.
    pub(crate) fn contestants(self) -> &'static [Contestant] {
        match self {
            // A process of the host has no instructions that could be counted, and no start.
            Workload::Count(_) | Workload::Start => &Contestant::ALL[..3],
            Workload::KeyValue | Workload::Iperf => &[Contestant::Axwire, Contestant::Host],
            _ => &Contestant::ALL,
        }
    }

    /// Measures it once; what went well until something failed is kept.
    pub(crate) fn measure(self, contestant: Contestant, samples: &mut Vec<Sample>) -> Result<()> {
        match self {
            Workload::Count(operation) => return count(operation, contestant, samples),
            Workload::Start => return start(contestant, samples),
            _ => {}
        }
        let server = contestant.start(self.service())?;
        let addr = server.addr(self.service());
        let measured = match self {
            Workload::Http => http_kept(addr, samples),
            Workload::HttpNew => http_new(addr, samples),
            Workload::TcpEcho => echo_times("TCP", echo::tcp(addr, MESSAGES)?, samples),
            Workload::UdpEcho => echo_times("UDP", echo::udp(addr, MESSAGES)?, samples),
            Workload::Idle => idle(&server, addr, samples),
            Workload::Receive => rate("receives", bulk::send(addr, Until::Elapsed(SPAN))?, samples),
            Workload::Send => rate("sends", bulk::receive(addr, Until::Elapsed(SPAN))?, samples),
            Workload::KeyValue => tools::redis_benchmark(addr, samples),
            Workload::Iperf => tools::iperf(addr, SPAN, samples),
            Workload::Count(_) | Workload::Start => Ok(()),
        };
        measured.map_err(|error| match server.last_words() {
            words if words.is_empty() => error,
            words => format!("{error}; its last words: {words}").into(),
        })
    }
}

fn http_kept(addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    // Whether it answers what everybody answers; the other client does not look.
    http::run(addr, 1, Until::Count(10), Reuse::Kept)?;
    KEPT.into_iter().try_for_each(|connections| tools::wrk(addr, connections, SPAN, samples))
}

fn http_new(addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    for clients in NEW {
        let times = http::run(addr, clients, Until::Elapsed(SPAN), Reuse::New)?;
        let name = format!("{clients} at a time");
        samples.push(Sample::more(&name, "requests/s", times.len() as f64 / SPAN.as_secs_f64()));
        percentiles(&name, &[("p50", 0.5), ("p99", 0.99)], &times, samples);
    }
    Ok(())
}

fn echo_times(name: &str, times: Vec<Duration>, samples: &mut Vec<Sample>) -> Result<()> {
    percentiles(name, &[("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)], &times, samples);
    Ok(())
}

fn percentiles(name: &str, shares: &[(&str, f64)], times: &[Duration], samples: &mut Vec<Sample>) {
    samples.extend(shares.iter().filter_map(|(share_name, share)| {
        Some(Sample::less(&format!("{name}, {share_name}"), "µs", percentile_us(times, *share)?))
    }));
}

fn rate(verb: &str, transfer: bulk::Transfer, samples: &mut Vec<Sample>) -> Result<()> {
    let rate = transfer.bytes as f64 / 1e6 / transfer.took.as_secs_f64();
    samples.push(Sample::more(verb, "MB/s", rate));
    Ok(())
}

/// Latency and memory with more and more connections on which nothing happens.
fn idle(server: &Server, addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    let mut connections: Vec<TcpStream> = vec![];
    request_among_idle(addr, 0, samples)?;
    let before = server.resident()?;
    for count in IDLE {
        while connections.len() < count {
            let opened = connections.len();
            connections.push(connect(addr).map_err(|error| format!("after {opened}: {error}"))?);
        }
        request_among_idle(addr, count, samples)?;
        let each = server.resident()?.saturating_sub(before) as f64 / count as f64;
        let name = format!("memory for each of {count} connections");
        samples.push(Sample::less(&name, "bytes", each));
    }
    Ok(())
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    const PATIENCE: Duration = Duration::from_secs(10);
    TcpStream::connect_timeout(&addr, PATIENCE)
}

fn request_among_idle(addr: SocketAddr, count: usize, samples: &mut Vec<Sample>) -> Result<()> {
    let times = http::run(addr, 1, Until::Count(REQUESTS_AMONG_IDLE), Reuse::Kept)?;
    percentiles(&format!("a request beside {count}"), &[("p50", 0.5)], &times, samples);
    Ok(())
}

/// From the start of QEMU to the first answer, and what it takes when it has nothing to do.
fn start(contestant: Contestant, samples: &mut Vec<Sample>) -> Result<()> {
    let Some(machine) = contestant.machine(Service::Http) else {
        return Ok(());
    };
    samples.push(Sample::less("image", "MB", machine.image_len()? as f64 / 1e6));
    let mut server = machine.start()?;
    server.wait_for(Service::Http)?;
    http::run(server.addr(Service::Http), 1, Until::Count(1), Reuse::Kept)?;
    let took = server.started().elapsed();
    samples.push(Sample::less("start of QEMU to the first answer", "ms", took.as_secs_f64() * 1e3));
    std::thread::sleep(Duration::from_secs(2));
    samples.push(Sample::less("memory of QEMU", "MB", server.resident()? as f64 / 1e6));
    let before = server.cpu_time()?;
    std::thread::sleep(REST);
    let used = server.cpu_time()?.saturating_sub(before).as_secs_f64();
    let share = 100.0 * used / REST.as_secs_f64();
    samples.push(Sample::less("host's processor at rest", "%", share));
    Ok(())
}

/// Instructions of each operation and, where it is not a byte, of each frame.
fn count(operation: Operation, contestant: Contestant, samples: &mut Vec<Sample>) -> Result<()> {
    let Some(machine) = contestant.machine(operation.service()) else {
        return Ok(());
    };
    let plugin = counter::path(crate::OUT.as_ref())?;
    let server = machine.counted(&plugin, Clock::Instructions).boot(operation.service())?;
    let look = |server: &Server| Ok((server.counter()?.total()?, tools::tap_frames()?));
    let (count, before, after) = operation.observe(&server, look)?;
    let instructions = (after.0 - before.0) as f64;
    let unit = format!("instructions per {}", operation.unit());
    samples.push(Sample::less(&operation.title(), &unit, instructions / count as f64));
    let frames = (after.1 - before.1) as f64;
    samples.push(Sample::less(&operation.title(), "instructions per frame", instructions / frames));
    Ok(())
}
