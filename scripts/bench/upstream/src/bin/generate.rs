//! Bytes without end on TCP port 19.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
fn main() {
    bench_upstream::serve_in_turn(19, bench_upstream::generate);
}
