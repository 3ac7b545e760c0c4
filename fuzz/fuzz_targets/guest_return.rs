//! See `sandbar_tests::fuzzing::guest_return`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sandbar_tests::fuzzing::guest_return(data));
