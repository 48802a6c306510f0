//! HTTP on TCP port 80.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
fn main() {
    bench_upstream::serve(80, bench_upstream::http);
}
