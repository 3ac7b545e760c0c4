//! See `sandbar_tests::fuzzing::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sandbar_tests::fuzzing::frame(data));
