//! The runtime on ArceOS: from a fresh kernel to an application that runs on the network.

use core::{future::poll_fn, task::Poll, time::Duration};

use axlog::ax_println as println;
use netasync::{Handle, Machine, Runner};
use netdev::Device;
use netstack::{Config, Instant};
use qemu_x86_64::{clock, command_line, entropy, paging};

use crate::{
    config::{self, Settings},
    dma::ArceOsHal,
    idle, irq, memory,
    nic::{self, Nic},
};

/// The share of the free memory that sockets and their buffers may take: the rest is the
/// application's.
const SOCKETS_SHARE: usize = 2;

/// How long to look for work before a halt: longer than what usually lies between two packets of a
/// busy client when nobody sleeps. On an emulated CPU, whose host lets its own halt meanwhile, a halt
/// and its end take 200 to 800 us. Measured: with 150 us all sides fell asleep between two packets
/// again and again, and an echo took four times as long; with 500 us so they did between the bursts
/// of 16 clients that each open connections, of which a sixth to a quarter fewer were served.
const POLLING_WINDOW: Duration = Duration::from_millis(1);

/// This machine, as the portable runtime sees it.
struct ThisMachine {
    polling_window: Duration,
}

impl Machine for ThisMachine {
    fn now(&self) -> Instant {
        Instant::from_micros(clock::now_nanos() / 1000)
    }

    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool) {
        let deadline_nanos = deadline.map(|deadline| deadline.micros().saturating_mul(1000));
        idle::sleep(deadline_nanos, &|| ready() || irq::pending());
        irq::take_interrupt();
    }

    fn polling_window(&self) -> Duration {
        self.polling_window
    }
}

/// Sets the machine up, brings the network up and runs `application` to its end. Without a network
/// card it says why on the console and returns.
///
/// ```no_run
/// axnet::run(async {
///     let stream = netasync::TcpStream::connect("10.0.2.2:80").await;
///     axnet::println!("{stream:?}");
/// });
/// ```
pub fn run(application: impl Future<Output = ()>) {
    let machine = |polling_window: Option<Duration>| ThisMachine {
        polling_window: polling_window.unwrap_or(POLLING_WINDOW),
    };
    let Some(mut runner) = new_runner(machine, |nic| nic) else {
        return;
    };
    idle::init();
    runner.handle().spawn(announce_network());
    runner.block_on(application);
}

/// Starts the clock, reads the configuration, opens the network card and makes a runtime on what
/// `device` makes of it and `machine` of the polling window that is wanted. Without a card it says
/// why on the console.
pub(crate) fn new_runner<M: Machine, D: Device>(
    machine: impl FnOnce(Option<Duration>) -> M,
    device: impl FnOnce(Nic) -> D,
) -> Option<Runner<D>> {
    paging::init::<ArceOsHal>();
    clock::init();
    let command_line = config::or_built_in(command_line().unwrap_or_default());
    let Settings { addressing, polling_window, log, problems } = config::parse(&command_line);
    if let Some(level) = log {
        log::set_max_level(level);
    }
    for problem in problems {
        println!("axwire: {problem}");
    }
    let seed = entropy::seed::<ArceOsHal>();
    let nic = match nic::open() {
        Ok(nic) => nic,
        Err(error) => {
            println!("axwire: {error}");
            return None;
        }
    };
    let memory_limit = memory::free_bytes() / SOCKETS_SHARE;
    let config = Config { addressing, seed: seed.bytes, memory_limit };
    let runner = Runner::new(machine(polling_window), device(nic), &config);
    runner.handle().stack().set_free_memory(memory::free_bytes);
    Some(runner)
}

/// Says on the console which address the interface has, and whether it has a link, whenever that
/// changes.
pub(crate) async fn announce_network() {
    let handle = Handle::current();
    let (mut announced, mut had_link) = (None, true);
    poll_fn(|cx| {
        handle.stack().register_config(cx.waker());
        // The loopback interface always has one, and there is one card.
        let has_link = handle.stack().interfaces().iter().all(|one| one.is_link_up);
        if has_link != had_link {
            println!("axwire: the link is {}", if has_link { "up" } else { "down" });
            had_link = has_link;
        }
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
