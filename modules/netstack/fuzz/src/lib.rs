//! What the fuzz targets run. `netstack`'s tests include `cases` too, and replay the corpora.
//!
//! - `cases`: one function per target, from an input to a panic or none
//! - `harness`: that of `netstack`'s tests: hosts in virtual time, which also notice a stack that
//!   spins or is polled in vain

pub mod cases;

#[path = "../../tests/suite/harness/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod harness;
