//! See `sandbar_tests::fuzzing::http_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sandbar_tests::fuzzing::http_message(data));
