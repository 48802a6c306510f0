//! What is measured: each workload starts a server afresh and returns some values.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Result,
    contestant::Contestant,
    counter, idle,
    load::{
        Until, bulk, echo,
        http::{self, Reuse},
    },
    lossy,
    machine::{MEMORY, MEMORY_MORE, Server},
    names,
    operation::Operation,
    results::{Measured, Sample},
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
/// Datagrams on their way at once where their number counts, not their time.
const AT_ONCE: usize = 16;
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
    IdleEcho,
    IdleMemory,
    Receive,
    Send,
    /// Both directions, with so many per cent of all frames lost.
    Lossy(u32),
    Count(Operation),
    KeyValue,
    Iperf,
}

impl Workload {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> Vec<Workload> {
        use Workload::{
            Http, HttpNew, IdleEcho, IdleMemory, Iperf, KeyValue, Receive, Send, Start, TcpEcho,
            UdpEcho,
        };
        let first = [Http, HttpNew, TcpEcho, UdpEcho, IdleEcho, IdleMemory, Receive, Send];
        let last = [Iperf, KeyValue, Start];
        let lossy = lossy::LOSSES.map(Workload::Lossy);
        let counts = Operation::ALL.map(Workload::Count);
        first.into_iter().chain(lossy).chain(last).chain(counts).collect()
    }

    /// The group by which it is chosen.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Workload::Http => "http",
            Workload::HttpNew => "http-new",
            Workload::TcpEcho | Workload::UdpEcho => "echo",
            Workload::IdleEcho | Workload::IdleMemory => "idle",
            Workload::Receive | Workload::Send => "bulk",
            Workload::Lossy(_) => "lossy",
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
            Workload::IdleEcho => "echo beside idle connections".into(),
            Workload::IdleMemory => "memory of idle connections".into(),
            Workload::Receive => "receiving".into(),
            Workload::Send => "sending".into(),
            Workload::Lossy(percent) => format!("a path that loses {percent} %"),
            Workload::Iperf => "iperf3".into(),
            Workload::KeyValue => "redis-benchmark".into(),
            Workload::Start => "start and rest".into(),
            Workload::Count(operation) => format!("instructions, {}", operation.title()),
        }
    }

    /// What it needs of a server.
    pub(crate) fn service(self) -> Service {
        match self {
            Workload::Http | Workload::HttpNew | Workload::IdleMemory | Workload::Start => {
                Service::Http
            }
            Workload::TcpEcho | Workload::IdleEcho => Service::TcpEcho,
            Workload::UdpEcho => Service::UdpEcho,
            Workload::Receive => Service::Discard,
            Workload::Send | Workload::Lossy(_) => Service::Generate,
            Workload::Count(operation) => operation.service(),
            Workload::KeyValue => Service::KeyValue,
            Workload::Iperf => Service::Iperf,
        }
    }

    /// Who takes part.
    pub(crate) fn contestants(self) -> &'static [Contestant] {
        match self {
            // Upstream does not hold them.
            Workload::Count(Operation::TcpEcho { idle: 1.. }) => {
                &[Contestant::Axwire, Contestant::Linux]
            }
            // A process of the host has no instructions that could be counted, and no start.
            Workload::Count(_) | Workload::Start => &Contestant::ALL[..3],
            Workload::KeyValue | Workload::Iperf => &[Contestant::Axwire, Contestant::Host],
            // Upstream has an image for each service, and the host no relay.
            Workload::Lossy(_) => &[Contestant::Axwire, Contestant::Linux],
            _ => &Contestant::ALL,
        }
    }

    /// The guest's memory.
    fn memory(self, contestant: Contestant) -> &'static str {
        match (self, contestant) {
            // The most that its heap can manage.
            (_, Contestant::Upstream) => MEMORY,
            (Workload::IdleEcho | Workload::IdleMemory, _) => MEMORY_MORE,
            _ => MEMORY,
        }
    }

    /// Measures it in a round, counted from zero; what went well until something failed is kept.
    pub(crate) fn measure(
        self,
        contestant: Contestant,
        round: u64,
        measured: &mut Measured,
    ) -> Result<()> {
        match self {
            Workload::Count(operation) => count(operation, contestant, &mut measured.samples),
            Workload::Start => start(contestant, &mut measured.samples),
            Workload::Lossy(percent) => lossy::measure(contestant, percent, round, measured),
            _ => {
                let server = contestant.start(self.service(), self.memory(contestant))?;
                let outcome = self.load(&server, &mut measured.samples);
                outcome.map_err(|error| server.explain(error))
            }
        }
    }

    /// Measures a server that has been started.
    fn load(self, server: &Server, samples: &mut Vec<Sample>) -> Result<()> {
        let addr = server.addr(self.service());
        match self {
            Workload::Http => http_kept(addr, samples),
            Workload::HttpNew => http_new(server, addr, samples),
            Workload::TcpEcho => echo_times("TCP", echo::tcp(addr, MESSAGES)?, samples),
            Workload::UdpEcho => udp_echo(server, addr, samples),
            Workload::IdleEcho => idle::echoes(addr, samples),
            Workload::IdleMemory => idle::memory(server, addr, samples),
            Workload::Receive | Workload::Send => bulk(self, addr, samples),
            Workload::KeyValue => tools::redis_benchmark(addr, samples),
            Workload::Iperf => tools::iperf(addr, SPAN, samples),
            Workload::Lossy(_) | Workload::Count(_) | Workload::Start => Ok(()),
        }
    }
}

fn http_kept(addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    // Whether it answers what everybody answers; the other client does not look.
    http::run(addr, 1, Until::Count(10), Reuse::Kept)?;
    KEPT.into_iter().try_for_each(|connections| tools::wrk(addr, connections, SPAN, samples))
}

fn http_new(server: &Server, addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    for clients in NEW {
        let name = names::at_a_time(clients);
        let frames = tools::tap_frames()?;
        let times = http::run(addr, clients, Until::Elapsed(SPAN), Reuse::New)?;
        samples.push(Sample::more(&name, "requests/s", times.len() as f64 / SPAN.as_secs_f64()));
        frame_rate(server, &name, frames, samples)?;
        percentiles(&name, &[(names::MEDIAN, 0.5), (names::TAIL, 0.99)], &times, samples);
    }
    Ok(())
}

fn udp_echo(server: &Server, addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    echo_times("UDP", echo::udp(addr, MESSAGES)?, samples)?;
    let name = format!("UDP, {AT_ONCE} at once");
    let frames = tools::tap_frames()?;
    let answered = echo::udp_at_once(addr, AT_ONCE, Until::Elapsed(SPAN))?;
    samples.push(Sample::more(&name, "messages/s", answered as f64 / SPAN.as_secs_f64()));
    frame_rate(server, &name, frames, samples)
}

/// The frames that have crossed the tap during a span, in both directions.
fn frame_rate(server: &Server, name: &str, before: u64, samples: &mut Vec<Sample>) -> Result<()> {
    if server.is_guest() {
        let frames = (tools::tap_frames()? - before) as f64;
        samples.push(Sample::more(name, "frames/s", frames / SPAN.as_secs_f64()));
    }
    Ok(())
}

fn echo_times(name: &str, times: Vec<Duration>, samples: &mut Vec<Sample>) -> Result<()> {
    let shares = [(names::MEDIAN, 0.5), (names::TAIL, 0.99), ("p99.9", 0.999)];
    percentiles(name, &shares, &times, samples);
    Ok(())
}

fn percentiles(name: &str, shares: &[(&str, f64)], times: &[Duration], samples: &mut Vec<Sample>) {
    samples.extend(shares.iter().filter_map(|(share_name, share)| {
        let name = names::percentile(name, share_name);
        Some(Sample::less(&name, "µs", percentile_us(times, *share)?))
    }));
}

/// One stream, seen from the server.
fn bulk(workload: Workload, addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    let (stream, until) = (bulk::connect(addr)?, Until::Elapsed(SPAN));
    samples.push(match workload {
        Workload::Send => bulk::receive(stream, until)?.sample(names::SENDS),
        _ => bulk::send(stream, until)?.sample(names::RECEIVES),
    });
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
    let took = server.started().elapsed();
    samples.push(Sample::less(names::FIRST_ANSWER, "ms", took.as_secs_f64() * 1e3));
    std::thread::sleep(Duration::from_secs(2));
    samples.push(Sample::less(names::QEMU_MEMORY, "MB", server.resident()? as f64 / 1e6));
    let before = server.cpu_time()?;
    std::thread::sleep(REST);
    let used = server.cpu_time()?.saturating_sub(before).as_secs_f64();
    let share = 100.0 * used / REST.as_secs_f64();
    samples.push(Sample::less(names::AT_REST, "%", share));
    Ok(())
}

/// Instructions of each operation and, where it is not a byte, of each frame.
fn count(operation: Operation, contestant: Contestant, samples: &mut Vec<Sample>) -> Result<()> {
    let plugin = counter::path(crate::OUT.as_ref())?;
    let Some(machine) = contestant.counted(operation.service(), &plugin) else {
        return Ok(());
    };
    let server = machine.boot(operation.service())?;
    let look = |server: &Server| Ok((server.counter()?.total()?, tools::tap_frames()?));
    let (count, before, after) = operation.observe(&server, look)?;
    let instructions = (after.0 - before.0) as f64;
    let unit = operation.instructions();
    samples.push(Sample::less(&operation.title(), &unit, instructions / count as f64));
    let frames = (after.1 - before.1) as f64;
    samples.push(Sample::less(&operation.title(), "instructions per frame", instructions / frames));
    drop(server);
    if contestant == Contestant::Axwire {
        let server = machine.with_words("").boot(operation.service())?;
        let (count, before, after) = operation.observe(&server, |it| it.counter()?.total())?;
        let unit = format!("{}, with looking for work", operation.instructions());
        let instructions = (after - before) as f64 / count as f64;
        samples.push(Sample::less(&operation.title(), &unit, instructions));
    }
    Ok(())
}
