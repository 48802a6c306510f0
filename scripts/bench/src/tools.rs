//! Clients of others, and what they print; the host's count of frames.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use serde_json::Value;

use crate::{Result, load::http, names, results::Sample};

/// Requests of each kind that `redis-benchmark` makes.
const REQUESTS: &str = "40000";
/// Kinds of them.
const COMMANDS: &str = "ping_mbulk,set,get,incr,mset";

/// Has wrk ask on kept connections.
///
/// # Errors
/// It cannot be run, or something failed.
pub(crate) fn wrk(
    addr: SocketAddr,
    connections: usize,
    span: Duration,
    samples: &mut Vec<Sample>,
) -> Result<()> {
    let text = output(
        Command::new("wrk")
            .args(["--latency", "--threads", "1", "--timeout", "5s"])
            .args(["--connections", &connections.to_string()])
            .args(["--duration", &format!("{}s", span.as_secs())])
            .arg(format!("http://{addr}{}", http::PATH)),
    )?;
    let numbers = parse_wrk(&text)?;
    let name = names::kept(connections);
    samples.push(Sample::more(&name, "requests/s", numbers.per_second));
    for (share, time) in [(names::MEDIAN, numbers.p50_us), (names::TAIL, numbers.p99_us)] {
        samples.push(Sample::less(&names::percentile(&name, share), "µs", time));
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
struct WrkNumbers {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

fn parse_wrk(text: &str) -> Result<WrkNumbers> {
    let wrong = ["Socket errors:", "Non-2xx or 3xx responses:"];
    if let Some(line) = text.lines().find(|line| wrong.iter().any(|it| line.contains(it))) {
        return Err(line.trim().into());
    }
    let after = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        line.map(str::trim).ok_or_else(|| format!("wrk says nothing of {key}"))
    };
    let per_second: f64 = after("Requests/sec:")?.parse()?;
    if per_second == 0.0 {
        return Err("wrk got no answer".into());
    }
    let time = |key: &str| -> Result<f64> {
        let text = after(key)?;
        microseconds(text).ok_or_else(|| format!("{text} is no time").into())
    };
    Ok(WrkNumbers { per_second, p50_us: time("50%")?, p99_us: time("99%")? })
}

/// What wrk prints for a time.
fn microseconds(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let (unit, factor) = units.iter().find(|(unit, _)| text.ends_with(unit))?;
    Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor)
}

/// Has `redis-benchmark` ask on 50 connections, one request at a time and 16.
///
/// # Errors
/// It cannot be run, or something failed.
pub(crate) fn redis_benchmark(addr: SocketAddr, samples: &mut Vec<Sample>) -> Result<()> {
    for pipelined in ["1", "16"] {
        let text = output(
            Command::new("redis-benchmark")
                .args(["-h", &addr.ip().to_string(), "-p", &addr.port().to_string()])
                .args(["-n", REQUESTS, "-t", COMMANDS, "-P", pipelined, "--csv"]),
        )?;
        for (command, per_second) in parse_redis_benchmark(&text)? {
            let name = format!("{command}, {pipelined} at a time");
            samples.push(Sample::more(&name, "requests/s", per_second));
        }
    }
    Ok(())
}

/// The commands and how many of each there were in a second.
fn parse_redis_benchmark(text: &str) -> Result<Vec<(String, f64)>> {
    let rows = text.lines().filter(|line| line.starts_with('"') && !line.starts_with("\"test\""));
    let row = |line: &str| {
        let mut cells = line.trim_matches('"').split("\",\"");
        let name = cells.next()?.to_owned();
        Some((name, cells.next()?.parse().ok()?))
    };
    let rows: Option<Vec<_>> = rows.map(row).collect();
    rows.filter(|rows| !rows.is_empty())
        .ok_or_else(|| format!("redis-benchmark has failed: {text}").into())
}

/// Has iperf3 send and receive.
///
/// # Errors
/// It cannot be run, or something failed.
pub(crate) fn iperf(addr: SocketAddr, span: Duration, samples: &mut Vec<Sample>) -> Result<()> {
    for (verb, reverse) in [("receives", None), ("sends", Some("--reverse"))] {
        let text = output(
            Command::new("iperf3")
                .args(["--client", &addr.ip().to_string(), "--json"])
                .args(["--time", &span.as_secs().to_string()])
                .args(reverse),
        )?;
        samples.push(Sample::more(&format!("iperf3, {verb}"), "MB/s", parse_iperf(&text)?));
    }
    Ok(())
}

/// Megabytes per second that arrived.
fn parse_iperf(text: &str) -> Result<f64> {
    let json: Value = serde_json::from_str(text)?;
    let bits = json["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.map(|bits| bits / 8e6)
        .ok_or_else(|| format!("iperf3 has failed: {}", json["error"]).into())
}

/// Frames that have crossed the tap.
///
/// # Errors
/// There is no tap.
pub(crate) fn tap_frames() -> Result<u64> {
    frames(&fs::read_to_string("/proc/net/dev")?).ok_or_else(|| "there is no tap0".into())
}

/// The second and the tenth column of the device's line.
fn frames(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("tap0:"))?;
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    Some(numbers.nth(1)?.ok()? + numbers.nth(7)?.ok()?)
}

fn output(command: &mut Command) -> Result<String> {
    let output =
        command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("{:?} has failed: {error}{text}", command.get_program()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "\
Running 4s test @ http://10.0.2.15/bytes/100
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.83ms    1.52ms  13.08ms   86.12%
    Req/Sec     9.66k     3.02k   19.18k    85.00%
  Latency Distribution
     50%    1.26ms
     75%    2.10ms
     90%    4.02ms
     99%  749.00us
  38500 requests in 4.01s, 6.61MB read
Requests/sec:   9612.31
Transfer/sec:      1.65MB
";

    #[test]
    fn wrk_prints() {
        let expected = WrkNumbers { per_second: 9612.31, p50_us: 1260.0, p99_us: 749.0 };
        assert_eq!(parse_wrk(WRK).expect("numbers"), expected);
    }

    #[test]
    fn wrk_reports_errors() {
        let errors = format!("{WRK}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        let error = parse_wrk(&errors).expect_err("there were errors");
        assert!(error.to_string().contains("read 3"), "{error}");
        parse_wrk(&WRK.replace("9612.31", "0.00")).expect_err("no answer");
        parse_wrk("nothing").expect_err("no numbers");
    }

    #[test]
    fn redis_benchmark_prints() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"PING_MBULK\",\"4545.45\",\"1.0\"\n\
            \"MSET (10 keys)\",\"900.10\",\"2.0\"\n";
        let expected = vec![("PING_MBULK".into(), 4545.45), ("MSET (10 keys)".into(), 900.10)];
        assert_eq!(parse_redis_benchmark(text).expect("numbers"), expected);
        parse_redis_benchmark("Could not connect").expect_err("no numbers");
    }

    #[test]
    fn iperf_prints() {
        let text = r#"{"end":{"sum_received":{"bits_per_second":8e8}}}"#;
        assert_eq!(parse_iperf(text).expect("a number"), 100.0);
        let error = parse_iperf(r#"{"error":"the server is busy"}"#).expect_err("no number");
        assert!(error.to_string().contains("busy"), "{error}");
    }

    #[test]
    fn frames_of_the_tap() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets\n\
            \x20   lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n\
            \x20 tap0: 10 20 0 0 0 0 0 0 30 40 0 0 0 0 0 0\n";
        assert_eq!(frames(text), Some(60));
        assert_eq!(frames("lo: 1 2"), None);
    }
}
