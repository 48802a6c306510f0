//! See `netstack_fuzz::cases::frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netstack_fuzz::cases::frames::run(input));
