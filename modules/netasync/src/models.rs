//! Models for loom: it runs each in every order in which its threads can meet. A lost wakeup is a
//! deadlock, which it reports.

use alloc::sync::Arc;
use core::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use loom::{
    future::block_on,
    model,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use crate::{
    cancel::CancellationToken, condition::Condition, executor::ReadyQueue, wake::WakeFlag,
};

/// A machine that sleeps until an interrupt; one that has come since the last sleep ends it at
/// once.
#[derive(Default)]
struct Sleeper {
    is_interrupted: Mutex<bool>,
    interrupt: Condvar,
}

impl Sleeper {
    fn sleep(&self, flag: &WakeFlag) {
        let mut is_interrupted = self.is_interrupted.lock().unwrap();
        while !*is_interrupted && !flag.is_raised() {
            is_interrupted = self.interrupt.wait(is_interrupted).unwrap();
        }
        *is_interrupted = false;
    }

    fn interrupt(&self) {
        *self.is_interrupted.lock().unwrap() = true;
        self.interrupt.notify_one();
    }
}

#[test]
fn a_flag_that_is_raised_ends_the_sleep_and_shows_what_it_was_raised_for() {
    model(|| {
        let flag = Arc::new(WakeFlag::default());
        let work = Arc::new(AtomicUsize::new(0));
        let machine = Arc::new(Sleeper::default());
        let other = {
            let (flag, work, machine) = (flag.clone(), work.clone(), machine.clone());
            thread::spawn(move || {
                work.store(1, Relaxed);
                flag.raise();
                machine.interrupt();
            })
        };
        loop {
            if flag.lower() {
                assert_eq!(work.load(Relaxed), 1, "the flag orders what was done before it");
                break;
            }
            machine.sleep(&flag);
        }
        other.join().unwrap();
    });
}

#[test]
fn a_flag_raised_while_it_is_lowered_is_not_lost() {
    model(|| {
        let flag = Arc::new(WakeFlag::default());
        let work = Arc::new(AtomicUsize::new(0));
        let others = [0, 1].map(|_| {
            let (flag, work) = (flag.clone(), work.clone());
            thread::spawn(move || {
                work.fetch_add(1, Relaxed);
                flag.raise();
            })
        });
        flag.lower();
        let seen = work.load(Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(seen == 2 || flag.is_raised(), "what was not seen raises the flag");
    });
}

/// Puts a task into the queue, as a wakeup does.
fn spawn_on(queue: &Arc<ReadyQueue>, ran: &Arc<AtomicUsize>) {
    let (queue, ran) = (queue.clone(), ran.clone());
    let future = async move { _ = ran.fetch_add(1, Relaxed) };
    let (runnable, task) = async_task::spawn(future, move |task| queue.push(task));
    runnable.schedule();
    task.detach();
}

#[test]
fn every_task_that_becomes_ready_runs_once_however_late_it_comes() {
    model(|| {
        let flag = Arc::new(WakeFlag::default());
        let queue = Arc::new(ReadyQueue::new(flag.clone()));
        let ran = Arc::new(AtomicUsize::new(0));
        let machine = Arc::new(Sleeper::default());
        let other = {
            let (queue, ran, machine) = (queue.clone(), ran.clone(), machine.clone());
            thread::spawn(move || {
                spawn_on(&queue, &ran);
                machine.interrupt();
            })
        };
        spawn_on(&queue, &ran);
        // The runner's turn.
        while ran.load(Relaxed) < 2 {
            flag.lower();
            queue.run(1);
            if queue.is_empty() && ran.load(Relaxed) < 2 {
                machine.sleep(&flag);
            }
        }
        other.join().unwrap();
        assert!(queue.is_empty());
    });
}

#[test]
fn a_change_wakes_whoever_registers_at_the_same_time() {
    model(|| {
        let condition = Arc::new(Condition::new(0));
        let others = [0, 1].map(|_| {
            let condition = condition.clone();
            thread::spawn(move || condition.change(|value| *value += 1))
        });
        block_on(condition.until(|value| (*value == 2).then_some(())));
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_waiter_that_is_dropped_takes_nobody_elses_wakeup() {
    model(|| {
        let token = CancellationToken::new();
        let signal = token.clone();
        let other = thread::spawn(move || signal.cancel());
        {
            let mut given_up = core::pin::pin!(token.cancelled());
            let _ = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        block_on(token.cancelled());
        other.join().unwrap();
    });
}

#[test]
fn a_request_that_is_woken_is_tried_again() {
    use crate::reactor::model::{Woken, wake};
    model(|| {
        let woken = Arc::new(Woken::default());
        let other = {
            let woken = woken.clone();
            thread::spawn(move || [1, 2].into_iter().for_each(|id| wake(&woken, id)))
        };
        let mut tried = 0;
        block_on(poll_fn(|cx| {
            woken.register(cx.waker());
            tried += woken.take().len();
            if tried == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        other.join().unwrap();
    });
}
