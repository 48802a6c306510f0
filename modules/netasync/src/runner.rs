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
}

impl<D: Device> Runner<D> {
    /// A runtime on `machine` with `device`.
    pub fn new(machine: impl Machine, device: D, config: &Config) -> Self {
        let stack = Stack::new(config, &device);
        let wake = Arc::new(WakeFlag::default());
        stack.set_poller(&Waker::from(wake.clone()));
        let shared = Shared {
            stack,
            ready: ReadyQueue::new(wake.clone()),
            timers: Timers::default(),
            machine: Box::new(machine),
            random: Random::new(config.seed),
        };
        Runner { handle: Handle(Arc::new(shared)), device, wake }
    }

    /// The runtime that this drives.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `future` to its end, and every spawned task meanwhile.
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
            match self.turn() {
                Next::Now => {}
                _ if main.is_raised() => {}
                Next::At(deadline) => self.sleep(Some(deadline)),
                Next::Idle => self.sleep(None),
            }
        }
    }

    /// One turn: due timers, ready tasks, the stack. Never sleeps.
    pub fn turn(&mut self) -> Next {
        let _entered = self.handle.enter();
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
        if self.device.unmask_interrupts() {
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
