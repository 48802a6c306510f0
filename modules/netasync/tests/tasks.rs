//! Tasks and timers.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::future::join_all;
use netasync::{Handle, JoinError, LocalSet, Sleep, fill_random, sleep, spawn, timeout, yield_now};
use world::World;

mod world;

#[test]
fn a_task_returns_its_result_and_outlives_its_handle() {
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    World::new().run_client(async move {
        assert_eq!(spawn(async { 42 }).await, Ok(42));
        drop(spawn(async move { counter.fetch_add(1, Ordering::Relaxed) }));
        yield_now().await;
    });
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn an_aborted_task_is_dropped_at_its_await() {
    let alive = Arc::new(());
    let held = alive.clone();
    World::new().run_client(async move {
        let task = spawn(async move {
            sleep(Duration::from_secs(1000)).await;
            drop(held);
        });
        yield_now().await;
        assert!(!task.is_finished());
        task.abort();
        yield_now().await;
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn a_join_error_says_what_happened() {
    assert_eq!(JoinError.to_string(), "the task was cancelled");
}

/// It takes over the place of one that was given up, and is not early for that.
#[test]
fn a_timer_after_one_that_was_given_up_fires_on_time() {
    World::new().run_client(async {
        let start = Handle::current().now();
        timeout(Duration::from_secs(1), yield_now()).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(Handle::current().now() - start, Duration::from_secs(10));
        let forever = poll_fn(|_| Poll::<()>::Pending);
        timeout(Duration::from_secs(1), yield_now()).await.unwrap();
        assert!(timeout(Duration::from_secs(5), forever).await.is_err());
        assert_eq!(Handle::current().now() - start, Duration::from_secs(15));
    });
}

#[test]
fn ten_thousand_timers_fire_in_order_and_on_time() {
    let mut world = World::new();
    let latest = Arc::new(AtomicU32::new(0));
    world.run_client(async move {
        let start = Handle::current().now();
        let timers = (0..10_000_u32).map(|i| {
            let millis = (i * 7919) % 10_000;
            let latest = latest.clone();
            async move {
                sleep(Duration::from_millis(millis.into())).await;
                assert_eq!((Handle::current().now() - start).as_millis(), millis.into());
                assert!(latest.fetch_max(millis, Ordering::Relaxed) <= millis);
            }
        });
        join_all(timers.map(spawn)).await;
    });
    assert_eq!(world.now().micros(), 9_999_000, "and the clock did not go further");
}

#[test]
fn a_timeout_ends_what_is_late_and_leaves_the_rest_alone() {
    let mut world = World::new();
    world.run_client(async {
        let late = timeout(Duration::from_millis(5), sleep(Duration::from_millis(6))).await;
        assert_eq!(late.unwrap_err().to_string(), "the time is up");
        let in_time = timeout(Duration::from_millis(6), sleep(Duration::from_millis(5))).await;
        assert_eq!(in_time, Ok(()));
    });
    // Both dropped timers are gone: the next sleep alone decides how far the clock moves.
    world.run_client(async { sleep(Duration::from_millis(1)).await });
    assert_eq!(world.now().micros(), 11_000);
}

#[test]
fn a_local_set_runs_what_is_not_send_and_what_that_spawns() {
    let mut world = World::new();
    let order = Arc::new(Mutex::new(vec![]));
    let seen = order.clone();
    world.block_on_client(async move {
        let tasks = Rc::new(LocalSet::new());
        let (set, note) = (tasks.clone(), Rc::new(move |what| seen.lock().unwrap().push(what)));
        let late = note.clone();
        tasks.spawn_local(async move {
            let child = note.clone();
            set.spawn_local(async move { child("child") });
            sleep(Duration::from_millis(1)).await;
            note("parent");
        });
        tasks.run_until(sleep(Duration::from_millis(2))).await;
        tasks.spawn_local(async move { late("never run") });
    });
    assert_eq!(*order.lock().unwrap(), ["child", "parent"]);
}

#[test]
#[should_panic(expected = "called outside of a runtime")]
fn outside_of_a_runtime_there_is_a_clear_message() {
    drop(sleep(Duration::from_secs(1)));
}

/// Wakes nobody; with its last reference a timer goes.
struct Holder {
    _timer: Mutex<Pin<Box<Sleep>>>,
}

impl Wake for Holder {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_that_is_replaced_may_hold_a_timer() {
    World::new().run_client(async {
        let mut inner = Box::pin(sleep(Duration::from_secs(1000)));
        assert!(poll_fn(|cx| Poll::Ready(inner.as_mut().poll(cx).is_pending())).await);
        let holder = Waker::from(Arc::new(Holder { _timer: Mutex::new(inner) }));
        let mut outer = Box::pin(sleep(Duration::from_millis(1)));
        assert!(outer.as_mut().poll(&mut Context::from_waker(&holder)).is_pending());
        drop(holder);
        outer.await;
    });
}

#[test]
fn a_local_set_drops_what_has_not_begun() {
    let alive = Arc::new(());
    let held = alive.clone();
    World::new().block_on_client(async move {
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                tasks.spawn_local(async move { drop(held) });
            })
            .await;
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn random_numbers_differ_and_follow_from_the_seed() {
    let draw = || {
        World::new().run_client(async {
            let mut numbers = [[0; 32]; 2];
            numbers.iter_mut().for_each(|bytes| fill_random(bytes));
            numbers
        })
    };
    let numbers = draw();
    assert_ne!(numbers[0], numbers[1]);
    assert_eq!(draw(), numbers);
}
