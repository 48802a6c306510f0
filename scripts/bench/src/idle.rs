//! Connections on which nothing happens: what they cost one beside them, and the memory that they
//! take.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use socket2::SockRef;

use crate::{
    Result,
    load::{
        Until, echo,
        http::{self, Reuse},
    },
    machine::Server,
    names,
    results::Sample,
    statistics::percentile_us,
};

/// How many connections rest, one after the other.
pub(crate) const COUNTS: [usize; 2] = [1_000, 10_000];
/// How often each server is measured: the machine becomes slower and faster from one second to the
/// next.
const PASSES: usize = 3;
/// Messages echoed beside them.
const MESSAGES: u64 = 10_000;
/// Requests ahead of a look at the memory, after which the connections opened before are accepted
/// and QEMU has translated what it takes to serve.
const REQUESTS: u64 = 3_000;
/// How long the beginning or the end of so many may occupy anybody.
const SETTLING: Duration = Duration::from_secs(2);
/// What is looked at of the times.
const SHARES: [(&str, f64); 2] = [(names::MEDIAN, 0.5), (names::TAIL, 0.99)];
/// How long a connection may take to open.
const PATIENCE: Duration = Duration::from_secs(10);
/// The unit of what is compared with none.
pub(crate) const TIMES_NONE: &str = "times that beside none";

/// Connections to one server.
pub(crate) struct Idle {
    addr: SocketAddr,
    open: Vec<TcpStream>,
}

impl Idle {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Idle { addr, open: vec![] }
    }

    /// Opens more, until there are so many.
    ///
    /// # Errors
    /// The server takes no more.
    pub(crate) fn grow(&mut self, count: usize) -> io::Result<()> {
        while self.open.len() < count {
            let stream = TcpStream::connect_timeout(&self.addr, PATIENCE);
            let opened = self.open.len();
            self.open.push(stream.map_err(|error| {
                io::Error::new(error.kind(), format!("after {opened} connections: {error}"))
            })?);
        }
        Ok(())
    }
}

impl Drop for Idle {
    /// They are reset, not closed: thousands that wait for a server that may be gone already would
    /// repeat themselves, and crowd out the frames of what is measured next.
    fn drop(&mut self) {
        for stream in &self.open {
            // Without it they are closed.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// The time that an echo takes beside more and more idle connections to the same port, and how many
/// there were in the end. It is compared with the time beside none before and after, because the
/// machine may become slower or faster meanwhile.
///
/// # Errors
/// The server does not hold so many, or does not echo.
pub(crate) fn echoes(addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    (0..PASSES).try_for_each(|_| pass(addr, samples))
}

fn pass(addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    let mut idle = Idle::new(addr);
    let before = echo(addr, 0, samples)?;
    let beside = echoes_beside(&mut idle, samples);
    samples.push(Sample::more("idle connections held", "connections", idle.open.len() as f64));
    let beside = beside?;
    drop(idle);
    thread::sleep(SETTLING);
    let after = echo(addr, 0, samples)?;
    for (count, times) in beside {
        for (at, (share, _)) in SHARES.iter().enumerate() {
            let name = names::percentile(&names::beside(count), share);
            let alone = f64::midpoint(before[at], after[at]);
            samples.push(Sample::less(&name, TIMES_NONE, times[at] / alone));
        }
    }
    Ok(())
}

/// The times of each of [`SHARES`], in microseconds.
type Times = [f64; SHARES.len()];

fn echoes_beside(idle: &mut Idle, samples: &mut Vec<Sample>) -> Result<Vec<(usize, Times)>> {
    let mut beside = vec![];
    for count in COUNTS {
        idle.grow(count)?;
        thread::sleep(SETTLING);
        beside.push((count, echo(idle.addr, count, samples)?));
    }
    Ok(beside)
}

fn echo(addr: SocketAddr, beside: usize, samples: &mut Vec<Sample>) -> Result<Times> {
    let times = echo::tcp(addr, MESSAGES)?;
    let times = SHARES.map(|(_, share)| percentile_us(&times, share).unwrap_or_default());
    for ((share, _), time) in SHARES.iter().zip(times) {
        let name = names::percentile(&names::beside(beside), share);
        samples.push(Sample::less(&name, "µs", time));
    }
    Ok(times)
}

/// The memory that the process takes more from the host, by connection.
///
/// # Errors
/// The server does not hold so many, or has ended.
pub(crate) fn memory(server: &Server, addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    let mut idle = Idle::new(addr);
    let mut before = look(server, &idle)?;
    for count in COUNTS {
        idle.grow(count)?;
        let now = look(server, &idle)?;
        let name = format!("memory of each connection, {} to {count}", before.0);
        samples.push(Sample::less(&name, "bytes", each(before, now)));
        before = now;
    }
    Ok(())
}

/// The number of connections and the memory.
fn look(server: &Server, idle: &Idle) -> Result<(usize, u64)> {
    http::run(idle.addr, 1, Until::Count(REQUESTS), Reuse::Kept)?;
    Ok((idle.open.len(), server.resident()?))
}

/// What each connection has taken between two looks at their number and the memory. What was free
/// before and is used again counts as nothing.
fn each(before: (usize, u64), after: (usize, u64)) -> f64 {
    after.1.saturating_sub(before.1) as f64 / (after.0 - before.0) as f64
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn memory_is_what_has_come_since() {
        assert_eq!(each((1_000, 70_000), (10_000, 18_070_000)), 2_000.0);
        assert_eq!(each((0, 70_000), (10, 60_000)), 0.0);
    }

    #[test]
    fn connections_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let mut idle = Idle::new(listener.local_addr().expect("it is bound"));
        idle.grow(2).expect("the backlog takes them");
        idle.grow(3).expect("the backlog takes one more");
        assert_eq!(idle.open.len(), 3);
        drop(listener);
        let error = idle.grow(5).expect_err("nobody listens");
        assert!(error.to_string().starts_with("after 3 connections"), "{error}");
    }
}
