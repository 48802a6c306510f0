//! `cargo run -p tidy`: one line per violation, and exit code 1 if there is any.

use std::{error::Error, path::Path, process::ExitCode};

fn main() -> ExitCode {
    match complaints() {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn complaints() -> Result<Vec<String>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let members = tidy::of_workspace(&root.join("Cargo.toml"))?;
    let violations = tidy::violations(&members);
    let missing = tidy::missing_examples(&root, &members)?;
    let violations = violations.iter().map(ToString::to_string);
    Ok(violations.chain(missing.iter().map(ToString::to_string)).collect())
}
