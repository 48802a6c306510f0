//! Sets of tasks: [`LocalSet`] is not `Send`, so that it is polled by hand.

use std::{
    pin::pin,
    rc::Rc,
    task::{Context, Waker},
};

use netasync::{LocalSet, yield_now};

/// Waits of the future that a set runs for.
const WAITS: usize = 5;

async fn wait(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// Polls until the future has ended, at most `times`; whether it has.
fn poll(future: impl Future<Output = ()>, times: usize) -> bool {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..times).any(|_| future.as_mut().poll(&mut cx).is_ready())
}

#[test]
fn a_set_that_is_dropped_at_any_wait_drops_its_tasks() {
    for polls in 0..=WAITS {
        let (set, alive) = (LocalSet::new(), Rc::new(()));
        for waits in 0..2 * WAITS {
            let alive = alive.clone();
            set.spawn_local(async move {
                wait(waits).await;
                drop(alive);
            });
        }
        assert!(!poll(set.run_until(wait(WAITS)), polls));
        // What has not begun is still to run.
        let left = if polls == 0 { 2 * WAITS } else { 0 };
        assert_eq!(Rc::strong_count(&alive), 1 + left, "after {polls} polls");
        assert!(poll(set.run_until(wait(WAITS)), WAITS + 1), "it runs again");
        assert_eq!(Rc::strong_count(&alive), 1);
    }
}
