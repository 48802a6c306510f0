//! Replays what the fuzz targets have found worth keeping.

use std::{fs, path::Path};

use crate::cases;

/// Runs every file of a corpus, in the order of their names.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        eprintln!("{}", path.display());
        run(&fs::read(path).unwrap());
    }
}

#[test]
fn frames() {
    replay("frames", cases::frames::run);
}

#[test]
fn calls() {
    replay("calls", cases::calls::run);
}
