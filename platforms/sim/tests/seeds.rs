//! A hundred seeds, and determinism.

use std::path::Path;

use sim::{
    check,
    scenario::{Plan, run},
};

const SEEDS: u64 = 100;

#[test]
fn a_hundred_seeds_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/sim");
    let failures: Vec<_> = (0..SEEDS)
        .filter_map(|seed| check(seed, &folder).err())
        .map(|failure| failure.to_string())
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn a_seed_is_one_scenario_and_another_seed_is_another() {
    let trace = |seed| run(&Plan::draw(seed), &[]).trace;
    let traces: Vec<_> = (0..20).map(trace).collect();
    assert_eq!(traces, (0..20).map(trace).collect::<Vec<_>>());
    for (n, one) in traces.iter().enumerate() {
        assert!(!traces[..n].contains(one), "seed {n} repeats another");
    }
}
