//! See `netstack_fuzz::cases::calls`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netstack_fuzz::cases::calls::run(input));
