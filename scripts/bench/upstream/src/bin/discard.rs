//! Takes everything on TCP port 9.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
fn main() {
    bench_upstream::serve_in_turn(9, bench_upstream::discard);
}
