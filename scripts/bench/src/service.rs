//! What servers offer. Some have a program for each.

/// A service of every contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Http,
    TcpEcho,
    UdpEcho,
    /// Takes what comes.
    Discard,
    /// Sends without end.
    Generate,
    /// `apps/kv`, or Redis.
    KeyValue,
    /// `apps/iperf`.
    Iperf,
}

impl Service {
    /// Where it listens.
    pub(crate) fn port(self) -> u16 {
        match self {
            Service::Http => 80,
            Service::TcpEcho | Service::UdpEcho => 7,
            Service::Discard => 9,
            Service::Generate => 19,
            Service::KeyValue => 6379,
            Service::Iperf => 5201,
        }
    }

    /// Our application that has it.
    pub(crate) fn app(self) -> &'static str {
        match self {
            Service::Http => "httpd",
            Service::TcpEcho | Service::UdpEcho | Service::Discard | Service::Generate => "echo",
            Service::KeyValue => "kv",
            Service::Iperf => "iperf",
        }
    }
}
