// What the examples in the documentation run in: a host alone on its network, whose clock only
// moves when all is done. They include it in a module of their own: no inner attributes.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};

use axerrno::AxResult;
use netasync::{Machine, Runner, TcpListener, TcpStream};
use netdev::cable::{CableEnd, cable};
use netstack::{Addressing, Config, Instant, Ipv4Config};

struct Clock(AtomicU64);

impl Machine for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, deadline: Option<Instant>, _ready: &dyn Fn() -> bool) {
        let deadline = deadline.expect("deadlock: nothing is ready and no timer runs");
        self.0.fetch_max(deadline.micros(), Ordering::Relaxed);
    }
}

/// A runtime with the address 10.0.0.1.
pub(crate) fn host() -> Runner<CableEnd> {
    let (device, _) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    let address = Ipv4Config {
        address: [10, 0, 0, 1].into(),
        prefix_len: 24,
        gateway: None,
        dns: Vec::new(),
    };
    let config =
        Config { addressing: Addressing::Static(address), seed: [1; 32], memory_limit: 16 << 20 };
    Runner::new(Clock(AtomicU64::new(0)), device, &config)
}

/// Runs an example there.
pub(crate) fn run(example: impl Future<Output = AxResult<()>>) {
    assert_eq!(host().block_on(example), Ok(()));
}

/// Both ends of a connection: who has connected, who has accepted.
pub(crate) async fn pair() -> AxResult<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()).await?;
    Ok((client, listener.accept().await?.0))
}
