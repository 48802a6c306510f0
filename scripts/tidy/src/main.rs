//! `cargo run -p tidy`: one line per violation, and exit code 1 if there is any.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let members = match tidy::of_workspace(&manifest) {
        Ok(members) => members,
        Err(error) => {
            eprintln!("tidy: {error}");
            return ExitCode::FAILURE;
        }
    };
    let violations = tidy::violations(&members);
    violations.iter().for_each(|violation| eprintln!("{violation}"));
    match violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
