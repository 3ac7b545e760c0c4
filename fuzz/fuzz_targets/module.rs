//! See `sandbar_tests::fuzzing::module`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sandbar_tests::fuzzing::module(data));
