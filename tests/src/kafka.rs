//! Finds the Apache Kafka that a test may use, and says aloud when there is none: a test that did not run must not look
//! like one that passed.
//!
//! `make test` starts a broker and names it. By hand: `make kafka`, then the variable it prints.

use std::env;
use std::io::{self, Write};

/// Names the broker for tests, as `host:port`.
pub const BOOTSTRAP_VARIABLE: &str = "SANDBAR_TEST_KAFKA";

/// Set to `1` where a test against Kafka may not be left out, as in CI.
pub const REQUIRE_VARIABLE: &str = "REQUIRE_KAFKA";

/// The broker for tests, as `host:port`, if there is one.
pub fn bootstrap() -> Option<String> {
    env::var(BOOTSTRAP_VARIABLE).ok().filter(|address| !address.is_empty())
}

/// The broker for the test of this name; without one, says on standard error that the test does not run.
///
/// Prefer [`kafka_or_skip!`](crate::kafka_or_skip), which also returns from the test.
///
/// # Panics
///
/// When there is no broker although `REQUIRE_KAFKA=1` asks for one.
pub fn bootstrap_or_say(test: &str) -> Option<String> {
    let found = bootstrap();
    if found.is_none() {
        assert!(
            env::var(REQUIRE_VARIABLE).as_deref() != Ok("1"),
            "{test}: {REQUIRE_VARIABLE} is set, but {BOOTSTRAP_VARIABLE} names no broker"
        );
        // Not `eprintln!`: the test runner keeps that for itself unless the test fails. Nobody to tell is no failure.
        let _ = writeln!(io::stderr(), "not run: {test} ({BOOTSTRAP_VARIABLE} names no broker)");
    }
    found
}

/// The broker for the enclosing test, as a `String`; without one, says so and returns from the test, with the value
/// given, if any: `kafka_or_skip!()`, `kafka_or_skip!(Ok(()))`.
#[macro_export]
macro_rules! kafka_or_skip {
    ($($value:expr)?) => {{
        let test = ::std::thread::current().name().unwrap_or(::core::module_path!()).to_owned();
        match $crate::kafka::bootstrap_or_say(&test) {
            Some(bootstrap) => bootstrap,
            None => return $($value)?,
        }
    }};
}
