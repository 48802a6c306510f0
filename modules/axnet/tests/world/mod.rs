//! Two hosts on a cable, driven by a thread of their own; the tests are their applications.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
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
    pub(crate) threads: Arc<Threads>,
    turns: Arc<Turns>,
}

/// The threads that call.
#[derive(Default)]
pub(crate) struct Threads {
    /// How many are parked in a call, or about to be.
    parked: AtomicUsize,
    /// Wakers that have been made for calls and are kept.
    wakers: AtomicUsize,
}

impl Threads {
    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::SeqCst)
    }

    pub(crate) fn wakers(&self) -> usize {
        self.wakers.load(Ordering::SeqCst)
    }
}

/// The hosts' turns: whether there is to be another one, and who waits for that.
#[derive(Default)]
struct Turns {
    /// Held during a turn.
    count: Mutex<u64>,
    another: Condvar,
    ended: AtomicBool,
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
        let (paused, turns) = <(Arc<AtomicBool>, Arc<Turns>)>::default();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let (is_paused, driven) = (paused.clone(), turns.clone());
            scope.spawn(move || drive(plan, clock, &tell, &is_paused, &driven));
            let hosts = told.recv().expect("the hosts have been made");
            let world =
                World { hosts, clock, paused, threads: Arc::default(), turns: turns.clone() };
            // Also when the test panics: the scope waits for the thread.
            let _end = End(&turns);
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

    /// Waits until something is so, which is looked at after every turn of the hosts.
    pub(crate) fn until(&self, mut done: impl FnMut() -> bool) {
        while !done() {
            let turns = self.turns.count.lock().expect("the hosts have not panicked");
            drop(self.turns.another.wait(turns).expect("the hosts have not panicked"));
        }
    }

    /// Waits until so many threads are parked in calls.
    pub(crate) fn until_parked(&self, count: usize) {
        self.until(|| self.threads.parked() == count);
    }

    /// Has the hosts do nothing as long as the guard is held.
    pub(crate) fn freeze(&self) -> MutexGuard<'_, u64> {
        self.turns.count.lock().expect("the hosts have not panicked")
    }

    pub(crate) fn stack(&self) -> Stack {
        self.hosts[0].stack().clone()
    }

    pub(crate) fn peer_stack(&self) -> Stack {
        self.hosts[1].stack().clone()
    }
}

struct End<'a>(&'a Turns);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

fn drive(
    plan: Plan,
    clock: Clock,
    tell: &mpsc::Sender<[Handle; 2]>,
    paused: &AtomicBool,
    turns: &Turns,
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
    while !turns.ended.load(Ordering::Relaxed) {
        let mut count = turns.count.lock().expect("no thread panics with the lock");
        here.turn();
        if !paused.load(Ordering::Relaxed) {
            there.turn();
        }
        *count += 1;
        drop(count);
        turns.another.notify_all();
        // In place of interrupts, and for the threads that call: nothing waits for it to be over.
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

struct Unpark {
    thread: thread::Thread,
    threads: Arc<Threads>,
}

impl Unpark {
    fn new(threads: Arc<Threads>) -> Self {
        threads.wakers.fetch_add(1, Ordering::SeqCst);
        Unpark { thread: thread::current(), threads }
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.thread.unpark();
    }
}

impl Drop for Unpark {
    fn drop(&mut self) {
        self.threads.wakers.fetch_sub(1, Ordering::SeqCst);
    }
}

fn block_on<S: System, F: Future>(
    future: F,
    deadline: Option<Instant>,
) -> Result<F::Output, Expired> {
    let (threads, speed) = with_world(|world| {
        world.map_or((Arc::default(), 1), |world| (world.threads.clone(), world.clock.speed))
    });
    let waker = Waker::from(Arc::new(Unpark::new(threads.clone())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(output);
        }
        let left = deadline.map(|deadline| deadline.micros().saturating_sub(S::now().micros()));
        if left == Some(0) {
            return Err(Expired);
        }
        threads.parked.fetch_add(1, Ordering::SeqCst);
        match left {
            None => thread::park(),
            // By the host's clock: that is what these deadlines are.
            Some(left) => thread::park_timeout(Duration::from_micros(left / u64::from(speed) + 1)),
        }
        threads.parked.fetch_sub(1, Ordering::SeqCst);
    }
}
