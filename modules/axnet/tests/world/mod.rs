//! Two hosts on a cable, driven by a thread of their own; the tests are their applications.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant as HostInstant},
};

use axerrno::{AxError, AxResult};
use axnet::blocking::{self, Expired, System};
use netasync::{Handle, Machine, Runner};
use netdev::cable::cable;
use netstack::{Addressing, Config, Instant, Ipv4Config, Stack};

/// The application's host, and its peer.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

pub(crate) type TcpSocket = blocking::TcpSocket<Here>;
pub(crate) type UdpSocket = blocking::UdpSocket<Here>;
pub(crate) type PeerTcpSocket = blocking::TcpSocket<There>;
pub(crate) type PeerUdpSocket = blocking::UdpSocket<There>;

pub(crate) const fn here(port: u16) -> SocketAddr {
    SocketAddr::new(HERE, port)
}

pub(crate) const fn there(port: u16) -> SocketAddr {
    SocketAddr::new(THERE, port)
}

/// How a world differs from others.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Seconds that pass in one of ours.
    pub(crate) speed: u32,
    pub(crate) memory_limit: usize,
    pub(crate) addressing: fn(u8) -> Addressing,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { speed: 1, memory_limit: 64 << 20, addressing: fixed }
    }
}

/// The address of the last byte given, and the peer as name server.
pub(crate) fn fixed(last: u8) -> Addressing {
    Addressing::Static(Ipv4Config {
        address: Ipv4Addr::new(10, 0, 0, last),
        prefix_len: 24,
        gateway: None,
        dns: vec![Ipv4Addr::new(10, 0, 0, 2)],
    })
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Both hosts, as their applications see them. Clones are the same.
#[derive(Clone)]
pub(crate) struct World {
    hosts: [Handle; 2],
    clock: Clock,
    /// The peer neither hears nor says anything.
    pub(crate) paused: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

#[derive(Clone, Copy)]
struct Clock {
    start: HostInstant,
    speed: u32,
}

impl Machine for Clock {
    fn now(&self) -> Instant {
        let micros = self.start.elapsed().as_micros() as u64;
        Instant::from_micros(micros * u64::from(self.speed))
    }

    fn sleep(&self, _: Option<Instant>, _: &dyn Fn() -> bool) {
        unreachable!("the thread of the world sleeps by itself");
    }
}

impl World {
    /// Runs `test` with a world around it.
    pub(crate) fn run(plan: Plan, test: impl FnOnce(&World)) {
        let clock = Clock { start: HostInstant::now(), speed: plan.speed };
        let (paused, ended) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let flags = (paused.clone(), ended.clone());
            scope.spawn(move || drive(plan, clock, &tell, flags));
            let hosts = told.recv().expect("the hosts have been made");
            let world = World { hosts, clock, paused, ended: ended.clone() };
            // Also when the test panics: the scope waits for the thread.
            let _end = End(&ended);
            world.enter();
            test(&world);
        });
    }

    /// Makes this the calling thread's world.
    fn enter(&self) {
        WORLD.set(Some(self.clone()));
    }

    /// Runs `body` in a thread that has this world.
    pub(crate) fn spawn<R: Send + 'static>(
        &self,
        body: impl FnOnce() -> R + Send + 'static,
    ) -> thread::JoinHandle<R> {
        let world = self.clone();
        thread::spawn(move || {
            world.enter();
            body()
        })
    }

    /// Runs a future of the asynchronous API in the runtime of the application's host.
    pub(crate) fn run_async<R: Send + 'static>(
        &self,
        future: impl Future<Output = R> + Send + 'static,
    ) -> R {
        let (tell, told) = mpsc::channel();
        self.hosts[0].spawn(async move {
            let _ = tell.send(future.await);
        });
        told.recv().expect("the future has ended")
    }

    pub(crate) fn peer_stack(&self) -> Stack {
        self.hosts[1].stack().clone()
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn drive(
    plan: Plan,
    clock: Clock,
    tell: &mpsc::Sender<[Handle; 2]>,
    (paused, ended): (Arc<AtomicBool>, Arc<AtomicBool>),
) {
    let (left, right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    let config = |last| Config {
        addressing: (plan.addressing)(last),
        seed: [last; 32],
        memory_limit: plan.memory_limit,
    };
    let mut here = Runner::new(clock, left, &config(1));
    let mut there = Runner::new(clock, right, &Config { memory_limit: 64 << 20, ..config(2) });
    let _ = tell.send([here.handle().clone(), there.handle().clone()]);
    while !ended.load(Ordering::Relaxed) {
        here.turn();
        if !paused.load(Ordering::Relaxed) {
            there.turn();
        }
        thread::sleep(Duration::from_micros(20));
    }
}

/// The application's host as a system.
#[derive(Debug)]
pub(crate) struct Here;

/// Its peer.
#[derive(Debug)]
pub(crate) struct There;

macro_rules! system {
    ($($name:ident = $index:literal),*) => {$(
        impl System for $name {
            type Unpreempted = ();

            fn stack() -> AxResult<Stack> {
                with_world(|world| world.map(|world| world.hosts[$index].stack().clone()))
                    .ok_or(AxError::NoSuchDevice)
            }

            fn now() -> Instant {
                with_world(|world| world.map_or(Instant::from_micros(0), |world| world.clock.now()))
            }

            fn block_on<F: Future>(
                future: F,
                deadline: Option<Instant>,
            ) -> Result<F::Output, Expired> {
                block_on::<Self, F>(future, deadline)
            }

            fn yield_now() {}

            fn hold_off_preemption() {}
        }
    )*};
}

system! { Here = 0, There = 1 }

fn with_world<R>(look: impl FnOnce(Option<&World>) -> R) -> R {
    WORLD.with_borrow(|world| look(world.as_ref()))
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<S: System, F: Future>(
    future: F,
    deadline: Option<Instant>,
) -> Result<F::Output, Expired> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(output);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) if deadline <= S::now() => return Err(Expired),
            Some(deadline) => {
                let speed = with_world(|world| world.map_or(1, |world| world.clock.speed));
                let left = deadline.micros() - S::now().micros();
                thread::park_timeout(Duration::from_micros(left / u64::from(speed) + 1));
            }
        }
    }
}
