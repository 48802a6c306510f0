//! The runtime on ArceOS: from a fresh kernel to an application that runs on the network.

use core::{future::poll_fn, task::Poll};

use axstd::println;
use netasync::{Handle, Machine, Runner};
use netstack::{Config, Instant};
use qemu_x86_64::{clock, command_line, entropy};

use crate::{
    config::{self, Settings},
    dma::ArceOsHal,
    idle, irq, memory, nic,
};

/// The share of the free memory that sockets and their buffers may take: the rest is the
/// application's.
const SOCKETS_SHARE: usize = 2;

/// This machine, as the portable runtime sees it.
struct ThisMachine;

impl Machine for ThisMachine {
    fn now(&self) -> Instant {
        Instant::from_micros(clock::now_nanos() / 1000)
    }

    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool) {
        let deadline_nanos = deadline.map(|deadline| deadline.micros().saturating_mul(1000));
        idle::sleep(deadline_nanos, &|| ready() || irq::pending());
        irq::take_interrupt();
    }
}

/// Sets the machine up, brings the network up and runs `application` to its end. Without a network
/// card it says why on the console and returns.
pub fn run(application: impl Future<Output = ()>) {
    clock::init();
    let Settings { addressing, log, problems } = config::parse(&command_line().unwrap_or_default());
    if let Some(level) = log {
        log::set_max_level(level);
    }
    for problem in problems {
        println!("axwire: {problem}");
    }
    let seed = entropy::seed::<ArceOsHal>();
    let nic = match nic::open() {
        Ok(nic) => nic,
        Err(error) => return println!("axwire: {error}"),
    };
    idle::init();
    let memory_limit = memory::free_bytes() / SOCKETS_SHARE;
    let config = Config { addressing, seed: seed.bytes, memory_limit };
    let mut runner = Runner::new(ThisMachine, nic, &config);
    runner.handle().stack().set_free_memory(memory::free_bytes);
    runner.handle().spawn(announce_addresses());
    runner.block_on(application);
}

/// Says on the console which address the interface has, whenever that changes.
async fn announce_addresses() {
    let handle = Handle::current();
    let mut announced = None;
    poll_fn(|cx| {
        handle.stack().register_config(cx.waker());
        let address = handle.stack().ipv4();
        if address != announced {
            match &address {
                Some(ipv4) => println!("axwire: {}/{}", ipv4.address, ipv4.prefix_len),
                None => println!("axwire: no IPv4 address any more"),
            }
            announced = address;
        }
        Poll::<()>::Pending
    })
    .await;
}
