//! Each rule does what it says: counted over many frames, with fixed seeds.

use std::time::Duration;

use netstack::Instant;
use sim::{
    Rng,
    impairment::{Chance, Delivery, Impairment, Outage, Rate, Rules},
};

const FRAMES: u64 = 100_000;
const MICRO: Duration = Duration::from_micros(1);

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

/// An IPv4 frame with a number in it.
fn frame(number: u64) -> Vec<u8> {
    let mut frame = vec![0; 100];
    frame[12] = 8;
    frame[20..28].copy_from_slice(&number.to_be_bytes());
    frame
}

fn number(delivery: &Delivery) -> u64 {
    u64::from_be_bytes(delivery.frame[20..28].try_into().unwrap())
}

/// What arrives of frames that are sent every millisecond, in the order of sending.
fn deliver(rules: Rules) -> (Impairment, Vec<Delivery>) {
    let (mut link, mut rng) = (Impairment::new(rules), Rng::new(1, 0));
    let send = |n| link.apply(&frame(n), at(n * 1000), &mut rng);
    let deliveries = (0..FRAMES).flat_map(send).collect();
    (link, deliveries)
}

/// Within five standard deviations of a binomial distribution.
fn assert_about(count: u64, per_mille: u64) {
    let p = per_mille as f64 / 1000.0;
    let (mean, deviation) = (FRAMES as f64 * p, (FRAMES as f64 * p * (1.0 - p)).sqrt());
    assert!((count as f64 - mean).abs() < 5.0 * deviation, "{count} instead of {mean}");
}

#[test]
fn without_rules_everything_arrives_at_once() {
    let (_, deliveries) = deliver(Rules::default());
    assert_eq!(deliveries.len() as u64, FRAMES);
    for (n, delivery) in (0..).zip(&deliveries) {
        assert_eq!(*delivery, Delivery { at: at(n * 1000), frame: frame(n) });
    }
}

#[test]
fn loss_loses_its_share_and_nothing_else() {
    let (link, deliveries) = deliver(Rules { loss: Chance::per_mille(50), ..Rules::default() });
    assert_about(link.counters().lost, 50);
    assert_eq!(link.counters().lost + deliveries.len() as u64, FRAMES);
    assert!(deliveries.iter().all(|delivery| delivery.frame == frame(number(delivery))));
}

#[test]
fn duplication_doubles_its_share() {
    let rules = Rules { duplication: Chance::per_mille(200), ..Rules::default() };
    let (link, deliveries) = deliver(rules);
    assert_about(link.counters().duplicated, 200);
    assert_eq!(deliveries.len() as u64, FRAMES + link.counters().duplicated);
    let mut numbers: Vec<_> = deliveries.iter().map(number).collect();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, FRAMES);
}

#[test]
fn corruption_flips_one_bit_behind_the_header() {
    let rules = Rules { corruption: Chance::per_mille(100), ..Rules::default() };
    let (link, deliveries) = deliver(rules);
    let mut corrupted = 0;
    let mut hit = [false; 100];
    for (n, delivery) in (0..).zip(&deliveries) {
        let sent = frame(n);
        let bits = |(one, other): (&u8, &u8)| (one ^ other).count_ones();
        let flipped: u32 = sent.iter().zip(&delivery.frame).map(bits).sum();
        assert!(flipped <= 1);
        corrupted += u64::from(flipped);
        let differs = |i: &usize| sent[*i] != delivery.frame[*i];
        (0..100).filter(differs).for_each(|i| hit[i] = true);
    }
    assert_about(corrupted, 100);
    assert_eq!(corrupted, link.counters().corrupted);
    assert!(hit[..14].iter().all(|hit| !hit), "the Ethernet header is spared");
    assert!(hit[14..].iter().all(|hit| *hit), "every other byte is hit some time");
}

#[test]
fn corruption_spares_arp_and_what_is_too_short() {
    let rules = Rules { corruption: Chance::per_mille(1000), ..Rules::default() };
    let (mut link, mut rng) = (Impairment::new(rules), Rng::new(1, 0));
    let mut arp = frame(7);
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    for frame in [arp, vec![1; 14], vec![1; 3], vec![]] {
        assert_eq!(link.apply(&frame, at(0), &mut rng)[0].frame, frame);
    }
    assert_eq!(link.counters().corrupted, 0);
}

#[test]
fn delay_is_exact_and_jitter_is_bounded_even_and_in_order() {
    let (delay, jitter) = (Duration::from_millis(3), Duration::from_micros(600));
    let (_, deliveries) = deliver(Rules { delay, jitter, ..Rules::default() });
    let extra = |(n, delivery): (u64, &Delivery)| {
        let least = at(n * 1000) + delay;
        assert!(delivery.at >= least && delivery.at <= least + jitter);
        (delivery.at - least).as_micros() as u64
    };
    let sum: u64 = (0..).zip(&deliveries).map(extra).sum();
    let mean = sum as f64 / FRAMES as f64;
    assert!((mean - 300.0).abs() < 5.0, "the mean jitter is {mean} us");

    let wide = Rules { jitter: Duration::from_millis(20), ..Rules::default() };
    let (_, deliveries) = deliver(wide);
    assert!(deliveries.is_sorted_by_key(|delivery| delivery.at), "jitter does not reorder");
}

#[test]
fn reordering_makes_its_share_late() {
    let (delay, lateness) = (Duration::from_micros(100), Duration::from_millis(5));
    let reordering = Chance::per_mille(30);
    let (link, deliveries) = deliver(Rules { delay, reordering, lateness, ..Rules::default() });
    let lateness_of = |(n, delivery): (u64, &Delivery)| delivery.at - (at(n * 1000) + delay);
    let late = (0..).zip(&deliveries).map(lateness_of).filter(|late| !late.is_zero());
    let late: Vec<_> = late.collect();
    assert!(late.iter().all(|late| *late == lateness));
    assert_about(late.len() as u64, 30);
    assert_eq!(late.len() as u64, link.counters().reordered);
    assert!(!deliveries.is_sorted_by_key(|delivery| delivery.at));
}

#[test]
fn a_rate_spaces_frames_and_its_queue_is_bounded() {
    // 100 bytes at 1 Mbit/s take 800 us.
    let rate = Some(Rate { bits_per_second: 1_000_000, queue_bytes: 1000 });
    let (mut link, mut rng) = (Impairment::new(Rules { rate, ..Rules::default() }), Rng::new(1, 0));
    let burst: Vec<_> = (0..25).flat_map(|n| link.apply(&frame(n), at(0), &mut rng)).collect();
    let arrivals: Vec<_> = burst.iter().map(|delivery| delivery.at.micros()).collect();
    assert_eq!(arrivals, (1..=10).map(|n| n * 800).collect::<Vec<_>>());
    assert_eq!(link.counters().overflowed, 15);

    assert!(link.apply(&frame(0), at(799), &mut rng).is_empty(), "no room yet");
    assert_eq!(link.apply(&frame(0), at(800), &mut rng)[0].at, at(8800));
    assert_eq!(link.apply(&frame(0), at(100_000), &mut rng)[0].at, at(100_800), "idle again");
}

#[test]
fn a_fast_line_counts_fractions_of_a_microsecond() {
    let rate = Some(Rate { bits_per_second: 10_000_000_000, queue_bytes: 1 << 20 });
    let (mut link, mut rng) = (Impairment::new(Rules { rate, ..Rules::default() }), Rng::new(1, 0));
    let last = (0..1000).flat_map(|n| link.apply(&frame(n), at(0), &mut rng)).last();
    assert_eq!(last.map(|delivery| delivery.at), Some(at(80)));
}

#[test]
fn an_outage_cuts_exactly_its_time() {
    let outages = vec![
        Outage { from: at(2000), until: at(5000) },
        Outage { from: at(7000), until: at(7000) + MICRO },
    ];
    let (link, deliveries) = deliver(Rules { outages, ..Rules::default() });
    let numbers: Vec<_> = deliveries.iter().take(6).map(number).collect();
    assert_eq!(numbers, [0, 1, 5, 6, 8, 9]);
    assert_eq!(link.counters().cut, 4);
}

#[test]
fn equal_seeds_give_equal_deliveries() {
    let rules = || Rules {
        loss: Chance::per_mille(100),
        duplication: Chance::per_mille(100),
        corruption: Chance::per_mille(100),
        reordering: Chance::per_mille(100),
        lateness: Duration::from_millis(2),
        jitter: Duration::from_millis(2),
        ..Rules::default()
    };
    assert_eq!(deliver(rules()).1, deliver(rules()).1);
}
