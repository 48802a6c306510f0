//! Long streams over a faulty link arrive whole, and take as long every time.

use std::time::Duration;

use sim::{
    Card,
    impairment::{Chance, Rate},
    transfer::{Sender, Transfer, run},
};

/// What `make sim-transfer` runs, with less to send.
fn transfer(loss_per_mille: u32, sender: Sender) -> Transfer {
    Transfer {
        seed: 1,
        len: 3_000_000,
        sender,
        loss: Chance::per_mille(loss_per_mille),
        rtt: Duration::from_millis(20),
        rate: Some(Rate { bits_per_second: 100_000_000, queue_bytes: 250_000 }),
        card: Card::default(),
        limit: Duration::from_secs(600),
    }
}

#[test]
fn streams_arrive_whole_both_ways() {
    for loss in [20, 50] {
        for sender in [Sender::Client, Sender::Server] {
            let transfer = transfer(loss, sender);
            let report = run(&transfer).unwrap_or_else(|problem| panic!("{transfer:?}: {problem}"));
            assert!(report.frames_lost > 0);
        }
    }
}

#[test]
fn a_link_carries_no_more_than_its_rate() {
    const MEGABYTES_PER_SECOND: f64 = 12.5;
    let transfer = Transfer { len: 10_000_000, ..transfer(0, Sender::Client) };
    let report = run(&transfer).expect("nothing is lost by chance");
    assert!(report.goodput(transfer.len) < MEGABYTES_PER_SECOND, "{report:?}");
}

#[test]
fn a_transfer_replays_to_the_bit() {
    let transfer = transfer(20, Sender::Server);
    assert_eq!(run(&transfer), run(&transfer));
    assert_ne!(run(&transfer), run(&Transfer { seed: 2, ..transfer }));
}

#[test]
fn one_that_is_late_says_so() {
    let late = Transfer { limit: Duration::from_millis(50), ..transfer(20, Sender::Client) };
    let problem = run(&late).expect_err("3 MB take longer");
    assert!(problem.contains("did not arrive"), "{problem}");
}
