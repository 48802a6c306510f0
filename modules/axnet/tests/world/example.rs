// What the examples in the documentation run on: a host alone on its network, and a program of one
// task, which polls the stack itself while it waits. They include it in a module of their own: no
// inner attributes.

use std::{
    cell::RefCell,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axerrno::AxResult;
use axnet::blocking::{self, Expired, System};
use netdev::cable::{CableEnd, cable};
use netstack::{Addressing, Config, Instant, Ipv4Config, Next, Stack};

pub(crate) type TcpSocket = blocking::TcpSocket<Host>;
pub(crate) type UdpSocket = blocking::UdpSocket<Host>;

/// The host, 10.0.0.1/24. Time passes only while the program waits.
pub(crate) struct Host {
    stack: Stack,
    device: CableEnd,
    now: Instant,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
}

impl Host {
    fn new() -> Self {
        let (device, _) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
        let address = Ipv4Config {
            address: [10, 0, 0, 1].into(),
            prefix_len: 24,
            gateway: None,
            dns: Vec::new(),
        };
        let config = Config {
            addressing: Addressing::Static(address),
            seed: [1; 32],
            memory_limit: 16 << 20,
        };
        Host { stack: Stack::new(&config, &device), device, now: Instant::ZERO }
    }

    /// Returns whether there is something to do at once; if not, time passes.
    fn turn(&mut self, deadline: Option<Instant>) -> bool {
        let next = self.stack.poll(self.now, &mut self.device, 64);
        let due = match (next, deadline) {
            (Next::Now, _) => return true,
            (Next::At(due), Some(deadline)) => due.min(deadline),
            (Next::At(due), None) => due,
            (Next::Idle, deadline) => deadline.expect("deadlock: nothing will happen any more"),
        };
        self.now = self.now.max(due);
        false
    }
}

impl System for Host {
    type Unpreempted = ();

    fn stack() -> AxResult<Stack> {
        Ok(HOST.with_borrow(|host| host.stack.clone()))
    }

    fn now() -> Instant {
        HOST.with_borrow(|host| host.now)
    }

    fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) =
                future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                return Ok(output);
            }
            if deadline.is_some_and(|deadline| deadline <= Self::now()) {
                return Err(Expired);
            }
            HOST.with_borrow_mut(|host| host.turn(deadline));
        }
    }

    fn yield_now() {
        HOST.with_borrow_mut(|host| while host.turn(Some(host.now)) {});
    }

    fn hold_off_preemption() {}
}
