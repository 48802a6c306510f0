//! A card whose ring is full for long: the runner sleeps until there is room.

use std::sync::{Arc, Mutex, MutexGuard};

use netasync::{Machine, Runner, UdpSocket, sleep};
use netdev::{
    Device, DeviceInfo, MacAddress, Offloads, Receiver, RxOffload, Transmitter, TxOffload,
};
use netstack::{Addressing, Config, Instant, Ipv4Config};

/// Frames that the card holds.
const RING: usize = 4;
/// How long a frame takes, in microseconds.
const FRAME_TIME: u64 = 10_000;
/// Turns after which the runner is taken to spin.
const TURNS_MAX: usize = 100_000;
const DATAGRAMS: usize = 100;

/// The card and the clock, which only moves while the runner sleeps.
#[derive(Default)]
struct State {
    now: u64,
    turns: usize,
    queued: usize,
    sent: usize,
    /// When the card is done with the oldest frame.
    done_at: u64,
    is_awaited: bool,
    is_armed: bool,
    /// The card is done with a frame each time just before it is asked for an interrupt.
    is_early: bool,
    sleeps_on_full: usize,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.queued < RING
    }

    fn finish(&mut self) {
        self.queued -= 1;
        self.sent += 1;
        self.done_at = self.now + FRAME_TIME;
    }
}

impl Machine for World {
    fn now(&self) -> Instant {
        Instant::from_micros(self.state().now)
    }

    /// Until the deadline, or until the card interrupts.
    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool) {
        assert!(!ready(), "asleep with something to do");
        let mut state = self.state();
        assert!(!(state.is_awaited && state.has_room()), "asleep although there is room");
        state.sleeps_on_full += usize::from(state.is_awaited);
        let deadline = deadline.map_or(u64::MAX, Instant::micros);
        while state.queued > 0 && state.done_at < deadline {
            state.now = state.now.max(state.done_at);
            state.finish();
            if state.is_armed {
                return;
            }
        }
        assert!(deadline < u64::MAX, "deadlock: nothing is to come");
        state.now = state.now.max(deadline);
    }
}

struct Card(Rx, Tx);
struct Rx;
struct Tx(World);

impl Device for Card {
    type Rx = Rx;
    type Tx = Tx;

    fn info(&self) -> DeviceInfo {
        let mac: MacAddress = [2, 0, 0, 0, 0, 1];
        DeviceInfo { mac, mtu: 1500, offloads: Offloads::default() }
    }

    fn split(&mut self) -> (&mut Rx, &mut Tx) {
        (&mut self.0, &mut self.1)
    }

    fn unmask_interrupts(&mut self) -> bool {
        let mut state = self.1.0.state();
        if state.is_early && state.queued > 0 {
            state.finish();
        }
        state.is_armed = state.is_awaited && !state.has_room();
        state.is_armed || !state.is_awaited
    }

    fn mask_interrupts(&mut self) {
        let mut state = self.1.0.state();
        state.is_armed = false;
    }
}

impl Receiver for Rx {
    fn receive<R>(&mut self, _: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        None
    }
}

impl Transmitter for Tx {
    fn is_ready(&mut self) -> bool {
        let mut state = self.0.state();
        state.is_awaited = !state.has_room();
        !state.is_awaited
    }

    fn segmented_len_max(&mut self) -> usize {
        1514
    }

    fn transmit<R>(&mut self, len: usize, _: TxOffload, write: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(self.is_ready(), "transmit on a full ring");
        let mut state = self.0.state();
        if state.queued == 0 {
            state.done_at = state.now + FRAME_TIME;
        }
        state.queued += 1;
        drop(state);
        write(&mut vec![0; len])
    }

    /// Once a turn.
    fn flush(&mut self) {
        let mut state = self.0.state();
        state.turns += 1;
        assert!(state.turns < TURNS_MAX, "the runner spins");
    }
}

/// Sends datagrams to a group, which needs no answers. Returns the world when all are out.
fn run(is_early: bool) -> World {
    let world = World::default();
    world.state().is_early = is_early;
    let addressing = Addressing::Static(Ipv4Config {
        address: [10, 0, 0, 1].into(),
        prefix_len: 24,
        gateway: None,
        dns: vec![],
    });
    let config = Config { addressing, seed: [1; 32], memory_limit: 16 << 20 };
    let card = Card(Rx, Tx(world.clone()));
    let mut runner = Runner::new(world.clone(), card, &config);
    runner.block_on(async {
        let socket = UdpSocket::bind("0.0.0.0:9").await.unwrap();
        for _ in 0..DATAGRAMS {
            socket.send_to(&[7; 1000], "224.0.0.251:5353").await.unwrap();
        }
        sleep(std::time::Duration::from_secs(60)).await;
    });
    let State { queued, sent, .. } = *world.state();
    assert!(sent >= DATAGRAMS && queued == 0, "{sent} frames sent, {queued} left");
    world
}

#[test]
fn a_full_ring_is_slept_through() {
    let world = run(false);
    let State { turns, sent, sleeps_on_full, .. } = *world.state();
    assert!(sleeps_on_full >= DATAGRAMS - RING, "{sleeps_on_full} sleeps until there was room");
    // One to fill the ring, one more for the task that has room to write again, and timers.
    assert!(turns < 4 * sent, "{turns} turns for {sent} frames");
}

/// Nobody interrupts for room that there is already when the interrupt is asked for.
#[test]
fn room_that_comes_before_the_interrupt_is_asked_for_is_used() {
    let world = run(true);
    let State { turns, sent, .. } = *world.state();
    assert!(turns < 4 * sent, "{turns} turns for {sent} frames");
}
