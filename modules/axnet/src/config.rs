//! The network's configuration, from the kernel's command line.
//!
//! Words of the form `key=value`: `net.ip=10.0.2.15/24`, `net.gw=10.0.2.2`,
//! `net.dns=10.0.2.3,1.1.1.1`, `net.poll=1000` and `log=info`. Without `net.ip`, or with
//! `net.ip=dhcp`, DHCP is used, as with a wrong address. What is wrong is reported and ignored. Other
//! words belong to others.
//!
//! ```
//! use netstack::Addressing;
//!
//! let settings = axnet::config::parse("net.ip=10.0.2.15/24 net.gw=10.0.2.2 verbose");
//! let Addressing::Static(config) = settings.addressing else { panic!() };
//! assert_eq!((config.address.octets(), config.prefix_len), ([10, 0, 2, 15], 24));
//! ```

use alloc::{format, string::String, vec::Vec};
use core::{net::Ipv4Addr, time::Duration};

use log::LevelFilter;
use netstack::{Addressing, Ipv4Config};

/// Microseconds of `net.poll` at most: longer is not worth it on any machine.
const POLLING_MICROS_MAX: u64 = 10_000;

/// What the command line says.
///
/// ```
/// use axnet::config::{Settings, parse};
///
/// let Settings { log, problems, .. } = parse("net.ip=dhcp log=debug");
/// assert_eq!((log, problems.len()), (Some(log::LevelFilter::Debug), 0));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the interface's address comes from.
    pub addressing: Addressing,
    /// How long to look for work before a halt; `None` leaves it to the runtime.
    pub polling_window: Option<Duration>,
    /// What is logged; `None` leaves it as the image was built.
    pub log: Option<LevelFilter>,
    /// What was wrong, a sentence each.
    pub problems: Vec<String>,
}

/// Reads a command line. Of a key given twice the last value counts.
///
/// ```
/// use axnet::config::parse;
/// use netstack::Addressing;
///
/// let settings = parse("net.ip=10.0.2.300/24");
/// assert_eq!(settings.addressing, Addressing::Dhcp);
/// assert!(settings.problems[0].starts_with("net.ip=10.0.2.300/24: "));
/// ```
pub fn parse(command_line: &str) -> Settings {
    let mut words = Words::default();
    let mut problems = Vec::new();
    for word in command_line.split_ascii_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("net.ip", value) => words.ip = Some(value),
            ("net.gw", value) => words.gateway = Some(value),
            ("net.dns", value) => words.dns = Some(value),
            ("net.poll", value) => words.polling = Some(value),
            ("log", value) => words.log = Some(value),
            (key, _) if key.starts_with("net.") => {
                problems.push(format!("{word}: there are net.ip, net.gw, net.dns and net.poll"));
            }
            _ => {}
        }
    }
    let log = words.log.and_then(|value| match value.parse() {
        Ok(level) => Some(level),
        Err(_) => {
            let levels = "off, error, warn, info, debug and trace";
            problems.push(format!("log={value}: the levels are {levels}"));
            None
        }
    });
    let polling_window = words.polling.and_then(|value| match value.parse() {
        Ok(micros @ 0..=POLLING_MICROS_MAX) => Some(Duration::from_micros(micros)),
        _ => {
            let range = format!("a number of microseconds from 0 to {POLLING_MICROS_MAX}");
            problems.push(format!("net.poll={value}: not {range}"));
            None
        }
    });
    let addressing = words.addressing().unwrap_or_else(|problem| {
        problems.push(format!("{problem}; using DHCP instead"));
        Addressing::Dhcp
    });
    Settings { addressing, polling_window, log, problems }
}

/// The command line; if it says nothing about addresses, what upstream's variables said when the
/// image was built: `AX_IP`, the address in a network of 24 bits, and `AX_GW`, its router.
///
/// ```
/// let command_line = axnet::config::or_built_in("net.ip=dhcp".into());
/// assert_eq!(command_line, "net.ip=dhcp", "it says something");
/// ```
pub fn or_built_in(command_line: String) -> String {
    with_variables(command_line, option_env!("AX_IP"), option_env!("AX_GW"))
}

/// The name server that upstream's images ask.
const UPSTREAM_DNS: &str = "8.8.8.8";

fn with_variables(command_line: String, ip: Option<&str>, gateway: Option<&str>) -> String {
    let is_address = |word: &str| word.starts_with("net.") && !word.starts_with("net.poll=");
    let is_configured = command_line.split_ascii_whitespace().any(is_address);
    match (ip.filter(|ip| !ip.is_empty()), gateway.filter(|gateway| !gateway.is_empty())) {
        (Some(_), _) if is_configured => command_line,
        (Some(ip), None) => format!("net.ip={ip}/24 net.dns={UPSTREAM_DNS} {command_line}"),
        (Some(ip), Some(gateway)) => {
            format!("net.ip={ip}/24 net.gw={gateway} net.dns={UPSTREAM_DNS} {command_line}")
        }
        (None, _) => command_line,
    }
}

#[derive(Default)]
struct Words<'a> {
    ip: Option<&'a str>,
    gateway: Option<&'a str>,
    dns: Option<&'a str>,
    polling: Option<&'a str>,
    log: Option<&'a str>,
}

impl Words<'_> {
    fn addressing(&self) -> Result<Addressing, String> {
        let ip = match self.ip {
            None | Some("dhcp") => return self.dhcp(),
            Some(ip) => ip,
        };
        let (address, prefix_len) =
            parse_network(ip).map_err(|reason| format!("net.ip={ip}: {reason}"))?;
        let gateway = self.gateway.map(|value| {
            parse_gateway(value, address, prefix_len)
                .map_err(|reason| format!("net.gw={value}: {reason}"))
        });
        let dns = self.dns.map(|value| {
            parse_list(value).ok_or_else(|| {
                format!("net.dns={value}: not a list of IPv4 addresses such as 10.0.2.3,1.1.1.1")
            })
        });
        Ok(Addressing::Static(Ipv4Config {
            address,
            prefix_len,
            gateway: gateway.transpose()?,
            dns: dns.transpose()?.unwrap_or_default(),
        }))
    }

    /// DHCP brings its own router and name servers.
    fn dhcp(&self) -> Result<Addressing, String> {
        let alone = [("net.gw", self.gateway), ("net.dns", self.dns)];
        match alone.iter().find_map(|(key, value)| value.map(|value| (key, value))) {
            Some((key, value)) => Err(format!("{key}={value}: it goes with net.ip")),
            None => Ok(Addressing::Dhcp),
        }
    }
}

fn parse_network(text: &str) -> Result<(Ipv4Addr, u8), &'static str> {
    let (address, prefix_len) =
        text.split_once('/').ok_or("an address and a prefix length, such as 10.0.2.15/24")?;
    let address: Ipv4Addr = address.parse().map_err(|_| "not an IPv4 address")?;
    let prefix_len = match prefix_len.parse() {
        Ok(len @ 1..=32) => len,
        _ => return Err("the prefix length is a number from 1 to 32"),
    };
    // RFC 1112 section 4 reserves what lies above multicast.
    let is_special = address.is_loopback() || address.octets()[0] >= 224;
    if address.is_unspecified() || is_special {
        return Err("not the address of one host on a network");
    }
    check_host(address, prefix_len)?;
    Ok((address, prefix_len))
}

fn parse_gateway(text: &str, address: Ipv4Addr, prefix_len: u8) -> Result<Ipv4Addr, &'static str> {
    let gateway: Ipv4Addr = text.parse().map_err(|_| "not an IPv4 address")?;
    if (gateway.to_bits() ^ address.to_bits()) & mask(prefix_len) != 0 {
        return Err("not in the network of net.ip");
    }
    if gateway == address {
        return Err("our own address");
    }
    check_host(gateway, prefix_len)?;
    Ok(gateway)
}

/// RFC 3021: a network of two has neither a network address nor a broadcast address.
fn check_host(address: Ipv4Addr, prefix_len: u8) -> Result<(), &'static str> {
    let host = address.to_bits() & !mask(prefix_len);
    match prefix_len < 31 && (host == 0 || host == !mask(prefix_len)) {
        true => Err("the network's own address or its broadcast address"),
        false => Ok(()),
    }
}

fn parse_list(text: &str) -> Option<Vec<Ipv4Addr>> {
    text.split(',').map(|item| item.parse().ok()).collect()
}

/// The network mask of a prefix length from 1 to 32.
fn mask(prefix_len: u8) -> u32 {
    u32::MAX << (32 - prefix_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(command_line: &str) -> String {
        let settings = parse(command_line);
        assert_eq!(settings.addressing, Addressing::Dhcp, "{command_line}");
        assert_eq!(settings.problems.len(), 1, "{:?}", settings.problems);
        settings.problems.into_iter().next().unwrap()
    }

    #[test]
    fn a_full_line_is_taken_as_it_says() {
        let line = "quiet net.ip=10.0.2.15/24 net.gw=10.0.2.2 net.dns=10.0.2.3,1.1.1.1 net.poll=0";
        let settings = parse(&format!("{line} log=info"));
        let config = Ipv4Config {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix_len: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            dns: [Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(1, 1, 1, 1)].into(),
        };
        assert_eq!(settings.addressing, Addressing::Static(config));
        assert_eq!(settings.polling_window, Some(Duration::ZERO));
        assert_eq!((settings.log, settings.problems), (Some(LevelFilter::Info), Vec::new()));
    }

    #[test]
    fn nothing_said_means_dhcp() {
        for line in ["", "  ", "net.ip=dhcp", "root=/dev/vda netless"] {
            let settings = parse(line);
            assert_eq!((settings.addressing, settings.polling_window), (Addressing::Dhcp, None));
            assert_eq!((settings.log, settings.problems), (None, Vec::new()));
        }
    }

    #[test]
    fn every_wrong_value_is_named_with_its_reason() {
        for (line, named) in [
            ("net.ip=", "net.ip=: "),
            ("net.ip", "net.ip=: "),
            ("net.ip=10.0.2.15", "net.ip=10.0.2.15: an address and a prefix length"),
            ("net.ip=10.0.2/24", "net.ip=10.0.2/24: not an IPv4 address"),
            ("net.ip=10.0.2.15/0", "net.ip=10.0.2.15/0: the prefix length"),
            ("net.ip=10.0.2.15/33", "net.ip=10.0.2.15/33: the prefix length"),
            ("net.ip=10.0.2.15/-1", "net.ip=10.0.2.15/-1: the prefix length"),
            ("net.ip=0.0.0.0/8", "net.ip=0.0.0.0/8: not the address of one host"),
            ("net.ip=224.0.0.1/4", "net.ip=224.0.0.1/4: not the address of one host"),
            ("net.ip=127.0.0.1/8", "net.ip=127.0.0.1/8: not the address of one host"),
            ("net.ip=240.0.0.1/8", "net.ip=240.0.0.1/8: not the address of one host"),
            ("net.ip=10.0.2.15/24 net.gw=10.0.2.255", "net.gw=10.0.2.255: the network's own"),
            ("net.ip=10.0.2.0/24", "net.ip=10.0.2.0/24: the network's own"),
            ("net.ip=10.0.2.255/24", "net.ip=10.0.2.255/24: the network's own"),
            ("net.ip=10.0.2.15/24 net.gw=10.0.3.1", "net.gw=10.0.3.1: not in the network"),
            ("net.ip=10.0.2.15/24 net.gw=10.0.2.15", "net.gw=10.0.2.15: our own"),
            ("net.ip=10.0.2.15/24 net.gw=gw", "net.gw=gw: not an IPv4 address"),
            ("net.ip=10.0.2.15/24 net.dns=1.1.1.1,", "net.dns=1.1.1.1,: not a list"),
            ("net.gw=10.0.2.2", "net.gw=10.0.2.2: it goes with net.ip"),
            ("net.ip=dhcp net.dns=1.1.1.1", "net.dns=1.1.1.1: it goes with net.ip"),
            ("net.mtu=9000", "net.mtu=9000: there are"),
            ("net.poll=", "net.poll=: not a number of microseconds"),
            ("net.poll=-1", "net.poll=-1: not a number of microseconds"),
            ("net.poll=10001", "net.poll=10001: not a number of microseconds from 0 to 10000"),
            ("log=loud", "log=loud: the levels are"),
        ] {
            let problem = problem(line);
            assert!(problem.starts_with(named), "{line}: {problem}");
        }
    }

    #[test]
    fn upstreams_variables_count_unless_the_command_line_says_otherwise() {
        let line = |line: &str, ip, gateway| with_variables(line.into(), ip, gateway);
        assert_eq!(line("log=info", None, Some("10.0.2.2")), "log=info");
        assert_eq!(line("log=info", Some(""), Some("")), "log=info");
        assert_eq!(line("net.ip=dhcp", Some("10.0.2.15"), None), "net.ip=dhcp");
        let built_in = line("log=info", Some("10.0.2.15"), Some("10.0.2.2"));
        assert_eq!(built_in, "net.ip=10.0.2.15/24 net.gw=10.0.2.2 net.dns=8.8.8.8 log=info");
        assert!(parse(&built_in).problems.is_empty());
        let polling = line("net.poll=0", Some("10.0.2.15"), None);
        assert_eq!(polling, "net.ip=10.0.2.15/24 net.dns=8.8.8.8 net.poll=0");
        let alone = line("", Some("10.0.2.15"), None);
        assert!(parse(&alone).problems.is_empty());
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let settings = parse("net.ip=10.0.0.1/8 net.ip=10.0.0.2/31 log=off log=TRACE");
        let Addressing::Static(config) = settings.addressing else {
            panic!("not static");
        };
        assert_eq!((config.address, config.prefix_len), (Ipv4Addr::new(10, 0, 0, 2), 31));
        assert_eq!(settings.log, Some(LevelFilter::Trace));
    }
}
