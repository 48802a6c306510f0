//! What a guest does, in units whose instructions are counted.

use std::{io, net::SocketAddr};

use crate::{
    Result,
    idle::Idle,
    load::{
        Until, bulk, echo,
        http::{self, Reuse},
    },
    machine::Server,
    service::Service,
};

/// Something that a client asks for again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Http {
        connections: usize,
        reuse: Reuse,
    },
    /// Beside so many connections on which nothing happens.
    TcpEcho {
        idle: usize,
    },
    UdpEcho,
    Receive,
    Send,
}

impl Operation {
    pub(crate) const ALL: [Operation; 9] = [
        Operation::Http { connections: 1, reuse: Reuse::Kept },
        Operation::Http { connections: 16, reuse: Reuse::Kept },
        Operation::Http { connections: 1, reuse: Reuse::New },
        Operation::Http { connections: 16, reuse: Reuse::New },
        Operation::TcpEcho { idle: 0 },
        Operation::TcpEcho { idle: 10_000 },
        Operation::UdpEcho,
        Operation::Receive,
        Operation::Send,
    ];

    /// A short name, the same for ever: baselines have it.
    pub(crate) fn name(self) -> String {
        match self {
            Operation::Http { connections, reuse: Reuse::Kept } => format!("http-{connections}"),
            Operation::Http { connections, reuse: Reuse::New } => format!("http-new-{connections}"),
            Operation::TcpEcho { idle: 0 } => "tcp-echo".into(),
            Operation::TcpEcho { idle } => format!("tcp-echo-beside-{idle}"),
            Operation::UdpEcho => "udp-echo".into(),
            Operation::Receive => "bulk-receive".into(),
            Operation::Send => "bulk-send".into(),
        }
    }

    /// The one of that name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let mut all = Operation::ALL.into_iter();
        all.find(|operation| operation.name() == name).ok_or_else(|| {
            let names = Operation::ALL.map(Operation::name).join(", ");
            format!("{name} is no operation; there are {names}").into()
        })
    }

    /// The name in words.
    pub(crate) fn title(self) -> String {
        match self {
            Operation::Http { connections, reuse } => {
                let kind = match reuse {
                    Reuse::Kept => "keep-alive",
                    Reuse::New => "a connection per request",
                };
                let plural = if connections == 1 { "" } else { "s" };
                format!("HTTP, {kind}, {connections} client{plural}")
            }
            Operation::TcpEcho { idle: 0 } => "TCP echo, 64 bytes".into(),
            Operation::TcpEcho { idle } => {
                format!("TCP echo, 64 bytes, beside {idle} idle connections")
            }
            Operation::UdpEcho => "UDP echo, 64 bytes".into(),
            Operation::Receive => "TCP, the guest receives".into(),
            Operation::Send => "TCP, the guest sends".into(),
        }
    }

    /// One of what is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Operation::Http { .. } => "request",
            Operation::TcpEcho { .. } | Operation::UdpEcho => "message",
            Operation::Receive | Operation::Send => "byte",
        }
    }

    /// What it costs.
    pub(crate) fn instructions(self) -> String {
        format!("instructions per {}", self.unit())
    }

    pub(crate) fn service(self) -> Service {
        match self {
            Operation::Http { .. } => Service::Http,
            Operation::TcpEcho { .. } => Service::TcpEcho,
            Operation::UdpEcho => Service::UdpEcho,
            Operation::Receive => Service::Discard,
            Operation::Send => Service::Generate,
        }
    }

    /// So many that the beginning and the end of a run do not show, and that it takes seconds.
    fn repeats(self) -> u64 {
        match self {
            Operation::Http { reuse: Reuse::Kept, .. } => 20_000,
            Operation::Http { reuse: Reuse::New, .. } => 3_000,
            Operation::TcpEcho { .. } | Operation::UdpEcho => 10_000,
            Operation::Receive | Operation::Send => 128 << 20,
        }
    }

    /// Has it done `count` times or a few more, and returns how often that was.
    fn perform(self, addr: SocketAddr, count: u64) -> io::Result<u64> {
        let until = Until::Count(count);
        Ok(match self {
            Operation::Http { connections, reuse } => {
                http::run(addr, connections, until, reuse)?.len() as u64
            }
            Operation::TcpEcho { .. } => echo::tcp(addr, count)?.len() as u64,
            Operation::UdpEcho => echo::udp(addr, count)?.len() as u64,
            Operation::Receive => bulk::send(bulk::connect(addr)?, until)?.bytes,
            Operation::Send => bulk::receive(bulk::connect(addr)?, until)?.bytes,
        })
    }

    /// Runs it, after a little of it that fills caches, between two looks at the server. Returns
    /// how many operations lie between them.
    ///
    /// # Errors
    /// A client or a look fails.
    pub(crate) fn observe<T>(
        self,
        server: &Server,
        look: impl Fn(&Server) -> Result<T>,
    ) -> Result<(u64, T, T)> {
        let addr = server.addr(self.service());
        let mut beside = Idle::new(addr);
        if let Operation::TcpEcho { idle } = self {
            beside.grow(idle)?;
        }
        self.perform(addr, self.repeats() / 20)?;
        let before = look(server)?;
        let count = self.perform(addr, self.repeats())?;
        Ok((count, before, look(server)?))
    }
}
