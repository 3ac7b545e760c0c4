//! Guests that trap, exit, or say themselves that something is wrong.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sandbar::sandbox::CallErrorKind;
use sandbar_abi::names;
use sandbar_tests::wat::Guest;

use crate::{Call, WHO, open, second_call_fails};

#[tokio::test]
async fn a_trap_in_any_call() -> Result<()> {
    for call in Call::ALL {
        let guest = Guest::new().second_call(call.export(), "unreachable");
        let cause = "trapped: wasm trap: wasm `unreachable` instruction executed";
        let error = second_call_fails(guest, call, cause).await.with_context(|| format!("{call:?}"))?;
        assert!(matches!(error.kind, CallErrorKind::Trap(_)));
        assert!(error.trace.context("a trap has a trace")?.contains("    0: "));
    }
    Ok(())
}

#[tokio::test]
async fn a_trap_while_it_starts() -> Result<()> {
    let trap = "trapped: wasm trap: wasm `unreachable` instruction executed";
    for (export, call) in [(names::INITIALIZE, "_initialize"), (names::RESERVE, "reserve"), (names::OPEN, "open")] {
        let error = open(&Guest::new().with(export, "unreachable")).await.err().context("it must not open")?;
        assert_eq!(error.to_string(), format!("{WHO}: {call}: {trap}"));
    }
    Ok(())
}

#[tokio::test]
async fn every_kind_of_trap_is_named() -> Result<()> {
    for (fault, trap) in [
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "integer divide by zero"),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "integer overflow"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion to integer"),
        ("(drop (i32.load (i32.const 65536)))", "out of bounds memory access"),
        ("(drop (i64.load offset=0xffffffff (i32.const -1)))", "out of bounds memory access"),
        ("(call_indirect (i32.const 7))", "undefined element: out of bounds table access"),
        ("(call_indirect (i32.const 0))", "uninitialized element"),
        ("(call_indirect (param i32) (i32.const 1) (i32.const 1))", "indirect call type mismatch"),
    ] {
        let table = "(table 2 funcref) (elem (i32.const 1) func $nothing) (func $nothing)";
        let guest = Guest::new().field(table).second_call(names::TRANSFORM, fault);
        let cause = format!("trapped: wasm trap: {trap}");
        second_call_fails(guest, Call::Transform, &cause).await.context(fault)?;
    }
    Ok(())
}

#[tokio::test]
async fn recursion_without_end() -> Result<()> {
    let recursion = "(func $deeper (param i32) (call $deeper (i32.add (local.get 0) (i32.const 1))))";
    let guest = Guest::new().field(recursion).second_call(names::WRITE, "(call $deeper (i32.const 0))");
    second_call_fails(guest, Call::Write, "trapped: wasm trap: call stack exhausted").await?;
    Ok(())
}

#[tokio::test]
async fn an_exit_is_not_an_answer() -> Result<()> {
    for status in [0, 3] {
        let guest = Guest::new().second_call(names::POLL, &format!("(call $proc_exit (i32.const {status}))"));
        let cause = format!("exited with status {status}; a plugin must return, not exit");
        second_call_fails(guest, Call::Poll, &cause).await?;
    }
    Ok(())
}

/// Fails the second call of an export with a class, after leaving a message for it.
fn says(class: i64, message: &str) -> Guest {
    let mut guest = Guest::new();
    let at = guest.data(message.as_bytes());
    let (ptr, len) = (at & 0xffff_ffff, at >> 32);
    let fault = format!(
        "(call $set_error (i32.const {class}) (i32.const {ptr}) (i32.const {len})) (return (i64.const {class}))"
    );
    guest.second_call(names::TRANSFORM, &fault)
}

#[tokio::test]
async fn errors_that_the_guest_returns() -> Result<()> {
    let transform = Call::Transform;
    second_call_fails(says(-1, "not now"), transform, "retryable: not now").await?;
    second_call_fails(says(-2, "no such table"), transform, "fatal: no such table").await?;
    second_call_fails(says(-3, "called twice"), transform, "contract violation: called twice").await?;
    let throttled = "throttled for 250 ms: too fast";
    let error = second_call_fails(says(-4, "250\ntoo fast"), transform, throttled).await?;
    assert_eq!(error.kind.delay(), Duration::from_millis(250));
    Ok(())
}

#[tokio::test]
async fn errors_without_a_message_and_with_odd_ones() -> Result<()> {
    let silent = Guest::new().second_call(names::TRANSFORM, "(return (i64.const -2))");
    second_call_fails(silent, Call::Transform, "fatal: without a message").await?;
    second_call_fails(says(-4, "soon\nsay it again"), Call::Transform, "throttled for 1000 ms: say it again").await?;
    let for_ever = "throttled for 3600000 ms: wait";
    second_call_fails(says(-4, "18446744073709551615\nwait"), Call::Transform, for_ever).await?;
    let cut = format!("fatal: {}", "x".repeat(names::MAX_TEXT_BYTES));
    second_call_fails(says(-2, &"x".repeat(3 * names::MAX_TEXT_BYTES)), Call::Transform, &cut).await?;
    Ok(())
}

#[tokio::test]
async fn an_error_class_that_does_not_exist() -> Result<()> {
    for raw in [-5, i64::MIN, -4_294_967_297] {
        let guest = Guest::new().second_call(names::FLUSH, &format!("(return (i64.const {raw}))"));
        let cause = format!("contract violation: sandbar_flush returned {raw}, which is no error class");
        second_call_fails(guest, Call::Flush, &cause).await?;
    }
    Ok(())
}

#[tokio::test]
async fn last_words_come_with_the_trap_that_follows_and_with_no_later_one() -> Result<()> {
    let words = "(call $set_error (i32.const -3) (i32.const 1024) (i32.const 5))";
    let guest = Guest::new().field("(data (i32.const 1024) \"panic\")");
    let trap = guest.clone().second_call(names::WRITE, &format!("{words} unreachable"));
    second_call_fails(trap, Call::Write, "trapped: panic").await?;

    let body = format!("(if (i32.eq (call $begin) (i32.const 2)) (then unreachable)) {words} (i64.const 0)");
    let later = guest.with(names::WRITE, &body);
    let cause = "trapped: wasm trap: wasm `unreachable` instruction executed";
    second_call_fails(later, Call::Write, cause).await?;
    Ok(())
}
