//! Echo on TCP port 7.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
fn main() {
    bench_upstream::serve(7, bench_upstream::echo);
}
