//! The runner: ready tasks, then the stack, then again; when nothing is left, sleep.

use alloc::{boxed::Box, sync::Arc};
use core::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use netdev::Device;
use netstack::{Config, Next, Stack};

use crate::{
    executor::ReadyQueue,
    machine::Machine,
    polling::Polling,
    random::Random,
    runtime::{Handle, Shared},
    timer::Timers,
    wake::WakeFlag,
};

/// Tasks run between two looks at the device: enough to amortise the look, few enough that a ring
/// of 256 frames does not overflow meanwhile.
const TASKS_PER_TURN: usize = 64;
/// Frames moved each way between two looks at the tasks, for the same reasons.
const FRAMES_PER_TURN: usize = 64;

/// Drives one device, its stack and the tasks that use it.
///
/// ```no_run
/// use netasync::{Machine, Runner, sleep};
/// use netdev::Device;
/// use netstack::{Config, Instant};
///
/// fn run(machine: impl Machine, device: impl Device, config: &Config) {
///     let mut runner = Runner::new(machine, device, config);
///     runner.block_on(async { sleep(core::time::Duration::from_secs(1)).await });
/// }
/// ```
pub struct Runner<D> {
    handle: Handle,
    device: D,
    wake: Arc<WakeFlag>,
    polling: Polling,
}

impl<D: Device> Runner<D> {
    /// A runtime on `machine` with `device`.
    ///
    /// ```
    /// use netasync::{Machine, Runner};
    /// use netstack::{Addressing, Config, Instant};
    ///
    /// /// A host that does not sleep, but waits.
    /// struct Host(std::time::Instant);
    ///
    /// impl Machine for Host {
    ///     fn now(&self) -> Instant {
    ///         Instant::from_micros(self.0.elapsed().as_micros() as u64)
    ///     }
    ///
    ///     fn sleep(&self, _: Option<Instant>, _: &dyn Fn() -> bool) {
    ///         std::thread::yield_now();
    ///     }
    /// }
    ///
    /// let (device, _) = netdev::cable::cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
    /// let config = Config { addressing: Addressing::Dhcp, seed: [7; 32], memory_limit: 1 << 20 };
    /// let mut runner = Runner::new(Host(std::time::Instant::now()), device, &config);
    /// assert_eq!(runner.block_on(async { 6 * 7 }), 42);
    /// ```
    pub fn new(machine: impl Machine, device: D, config: &Config) -> Self {
        let stack = Stack::new(config, &device);
        let wake = Arc::new(WakeFlag::default());
        stack.set_poller(&Waker::from(wake.clone()));
        let polling = Polling::new(machine.polling_window());
        let shared = Shared {
            stack,
            ready: ReadyQueue::new(wake.clone()),
            timers: Timers::default(),
            machine: Box::new(machine),
            random: Random::new(config.seed),
        };
        Runner { handle: Handle(Arc::new(shared)), device, wake, polling }
    }

    /// The runtime that this drives.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # let mut runner = world::host();
    /// let task = runner.handle().spawn(async {});
    /// runner.turn();
    /// assert!(task.is_finished());
    /// ```
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `future` to its end, and every spawned task meanwhile.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # let mut runner = world::host();
    /// let addresses = runner.block_on(netasync::lookup_host("localhost:80")).unwrap();
    /// assert_eq!(addresses.map(|address| address.port()).collect::<Vec<_>>(), [80, 80]);
    /// ```
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let _entered = self.handle.enter();
        let main = Arc::new(WakeFlag::default());
        main.raise();
        let waker =
            Waker::from(Arc::new(MainWaker { main: main.clone(), wake: self.wake.clone() }));
        let mut future = pin!(future);
        loop {
            if main.lower()
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            match self.turn_within() {
                Next::Now => self.polling.active(),
                _ if main.is_raised() => {}
                _ if self.polling.goes_on(|| self.handle.now()) => {}
                Next::At(deadline) => self.sleep(Some(deadline)),
                Next::Idle => self.sleep(None),
            }
        }
    }

    /// One turn: due timers, ready tasks, the stack. Never sleeps; a caller who wants to asks
    /// [`may_sleep`](Self::may_sleep) after it.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # let mut runner = world::host();
    /// use netstack::Next;
    ///
    /// runner.handle().spawn(async { netasync::sleep(core::time::Duration::from_secs(1)).await });
    /// while runner.turn() == Next::Now {}
    /// assert!(matches!(runner.turn(), Next::At(_)), "the caller may sleep");
    /// ```
    pub fn turn(&mut self) -> Next {
        self.device.mask_interrupts();
        let _entered = self.handle.enter();
        self.turn_within()
    }

    /// Asks the device for an interrupt when there is something to do. Returns whether there is
    /// nothing yet: otherwise none may come, and the caller turns again instead of sleeping.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # let mut runner = world::host();
    /// use netstack::Next;
    ///
    /// while runner.turn() == Next::Now || !runner.may_sleep() {}
    /// runner.handle().spawn(async {});
    /// assert!(!runner.may_sleep(), "a task is ready");
    /// ```
    pub fn may_sleep(&mut self) -> bool {
        !self.wake.is_raised() && self.device.unmask_interrupts()
    }

    /// The same within the runtime.
    fn turn_within(&mut self) -> Next {
        let Shared { stack, ready, timers, .. } = &*self.handle.0;
        // Lowered before anything is looked at: what is raised from here on is seen by the sleep.
        self.wake.lower();
        timers.fire(self.handle.now());
        ready.run(TASKS_PER_TURN);
        let next = stack.poll(self.handle.now(), &mut self.device, FRAMES_PER_TURN);
        if !ready.is_empty() {
            return Next::Now;
        }
        match (next, timers.next_deadline()) {
            (Next::Idle, Some(deadline)) => Next::At(deadline),
            (Next::At(stack), Some(deadline)) => Next::At(stack.min(deadline)),
            (next, _) => next,
        }
    }

    fn sleep(&mut self, deadline: Option<netstack::Instant>) {
        if self.may_sleep() {
            let ready = || self.wake.is_raised();
            self.handle.0.machine.sleep(deadline, &ready);
        }
        self.device.mask_interrupts();
    }
}

/// Wakes the future that [`Runner::block_on`] runs.
struct MainWaker {
    main: Arc<WakeFlag>,
    wake: Arc<WakeFlag>,
}

impl alloc::task::Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.main.raise();
        self.wake.raise();
    }
}
