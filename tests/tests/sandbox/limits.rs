//! Guests that want more than their budget: of fuel, time, memory, state and log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbar::sandbox::{CallErrorKind, Grants, Limits};
use sandbar_abi::names;
use sandbar_tests::logs;
use sandbar_tests::wat::Guest;

use crate::{Call, LIMITS, WHO, open, open_with, second_call_fails, second_call_fails_within};

/// What an entry of state or offsets counts beside its bytes.
const ENTRY: usize = 128;
const LOOP: &str = "(loop $again (br $again))";
/// Fuel that no test lives to see the end of.
const NO_FUEL_LIMIT: u64 = u64::MAX / 2;
/// How late the end of a call may be noticed on a machine that has much else to do.
const LATE: Duration = Duration::from_secs(5);

fn short() -> Limits {
    Limits { fuel_per_call: NO_FUEL_LIMIT, call_timeout: Duration::from_millis(60), ..LIMITS }
}

#[tokio::test]
async fn a_loop_without_end_uses_up_its_fuel() -> Result<()> {
    let guest = Guest::new().second_call(names::TRANSFORM, LOOP);
    let cause = "used up its fuel of 5000000 units for one call; sandbox.fuel.per.call sets it";
    second_call_fails(guest, Call::Transform, cause).await?;
    Ok(())
}

#[tokio::test]
async fn fuel_is_a_budget_for_each_call_and_not_for_all() -> Result<()> {
    // Most of the fuel of a call, in every call.
    let body = "(local i32) (loop $again (br_if $again (i32.lt_u
        (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 500000)))) (i64.const 0)";
    let mut instance = open(&Guest::new().with(names::FLUSH, body)).await?;
    for _ in 0..20 {
        instance.flush().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_loop_with_fuel_enough_is_stopped_by_the_clock() -> Result<()> {
    let started = Instant::now();
    let guest = Guest::new().second_call(names::TRANSFORM, LOOP);
    let cause = "took longer than 60 ms; sandbox.call.timeout.ms sets it";
    let error = second_call_fails_within(short(), guest, Call::Transform, cause).await?;
    assert!(started.elapsed() < LATE, "{:?}", started.elapsed());
    assert!(error.trace.is_some(), "the guest ran: it can be told where");
    Ok(())
}

/// Asks WASI to sleep for an hour: one subscription to the monotonic clock.
fn sleep() -> String {
    let hour: String = 3_600_000_000_000_u64.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const 1040) \"\\01\\00\\00\\00\\00\\00\\00\\00{hour}\")")
}

#[tokio::test]
async fn a_sleep_is_ended_by_the_clock() -> Result<()> {
    let started = Instant::now();
    let fault = "(drop (call $poll_oneoff (i32.const 1024) (i32.const 1200) (i32.const 1) (i32.const 1300)))";
    let guest = Guest::new().field(&sleep()).second_call(names::POLL, fault);
    let cause = "took longer than 60 ms; sandbox.call.timeout.ms sets it";
    second_call_fails_within(short(), guest, Call::Poll, cause).await?;
    assert!(started.elapsed() < LATE, "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_guest_that_runs_lets_others_run() -> Result<()> {
    let spinning = Guest::new().with(names::FLUSH, &format!("{LOOP} unreachable"));
    let limits = Limits { fuel_per_call: NO_FUEL_LIMIT, ..LIMITS };
    let mut spinner = open_with(&spinning, limits, Grants::default()).await?;
    let mut neighbour = open(&Guest::new()).await?;
    let neighbour = async {
        for _ in 0..10 {
            neighbour.flush().await?;
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    // One thread for both: the neighbour only gets on if the spinning guest lets go of it.
    tokio::select! {
        spun = spinner.flush() => anyhow::bail!("the loop ended first: {spun:?}"),
        done = neighbour => done,
    }
}

const GROW: &str = "(memory.grow (i32.const 1))";

#[tokio::test]
async fn growing_memory_beyond_the_limit_and_trapping() -> Result<()> {
    let storm = format!("(loop $again (br_if $again (i32.ne {GROW} (i32.const -1)))) unreachable");
    let cause =
        "ran out of memory: 1114112 bytes were asked for, the limit is 1048576; sandbox.memory.max.bytes sets it";
    let error = second_call_fails(Guest::new().second_call(names::WRITE, &storm), Call::Write, cause).await?;
    assert!(matches!(error.kind, CallErrorKind::OutOfMemory { .. }));

    let leap = "(if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))";
    let cause =
        "ran out of memory: 4294967296 bytes were asked for, the limit is 1048576; sandbox.memory.max.bytes sets it";
    second_call_fails(Guest::new().second_call(names::WRITE, leap), Call::Write, cause).await?;
    Ok(())
}

#[tokio::test]
async fn growing_memory_again_and_again_uses_up_fuel() -> Result<()> {
    let storm = format!("(loop $again (drop {GROW}) (br $again))");
    let cause = "used up its fuel of 5000000 units for one call; sandbox.fuel.per.call sets it";
    second_call_fails(Guest::new().second_call(names::WRITE, &storm), Call::Write, cause).await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_the_guest_lives_with_is_not_blamed_for_a_later_trap() -> Result<()> {
    let body = "(if (i32.eq (call $begin) (i32.const 2)) (then unreachable))
        (drop (memory.grow (i32.const 1000))) (i64.const 0)";
    let cause = "trapped: wasm trap: wasm `unreachable` instruction executed";
    second_call_fails(Guest::new().with(names::FLUSH, body), Call::Flush, cause).await?;
    Ok(())
}

#[tokio::test]
async fn a_guest_that_begins_above_its_limit_does_not_start() -> Result<()> {
    let error = open(&Guest::new().pages(17)).await.err().context("it must not start")?.to_string();
    assert!(error.starts_with(&format!("{WHO}: start: cannot be started: ")), "{error}");
    assert!(error.contains("memory"), "{error}");
    Ok(())
}

/// Puts keys of four bytes with values of 96 until the host refuses, traps unless the refusal is the one for a flood.
const FLOOD: &str = r#"(func $flood (param $first i32) (local $key i32) (local $code i32)
    (local.set $key (local.get $first))
    (loop $again
        (i32.store (i32.const 1024) (local.get $key))
        (local.set $code (call $state_put (i32.const 1024) (i32.const 4) (i32.const 2048) (i32.const 96)))
        (local.set $key (i32.add (local.get $key) (i32.const 1)))
        (br_if $again (i32.eqz (local.get $code))))
    (if (i32.ne (local.get $code) (i32.const -2)) (then unreachable)))"#;

#[tokio::test]
async fn state_is_bounded_in_a_call_and_over_many() -> Result<()> {
    let body = "(call $flood (i32.mul (call $begin) (i32.const 100000))) (i64.const 0)";
    let mut instance = open(&Guest::new().field(FLOOD).with(names::FLUSH, body)).await?;
    let mut bytes = 0;
    for _ in 0..5 {
        instance.flush().await?;
        let (_, state) = instance.ledger().take_staged();
        bytes +=
            state.iter().map(|c| ENTRY + c.key.len() + c.value.as_ref().map_or(0, bytes::Bytes::len)).sum::<usize>();
    }
    assert!((LIMITS.state_max_bytes / 2..=LIMITS.state_max_bytes).contains(&bytes), "{bytes}");
    Ok(())
}

/// Puts the offset `7` for as many source partitions as the host takes, each a number of seven digits.
const OFFSETS: &str = r#"(data (i32.const 2048) "7") (func $offsets (param $first i32) (local $n i32) (local $at i32) (local $rest i32)
    (local.set $n (local.get $first))
    (loop $again
        (local.set $rest (local.get $n))
        (local.set $at (i32.const 1031))
        (loop $digit
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
            (local.set $rest (i32.div_u (local.get $rest) (i32.const 10)))
            (br_if $digit (i32.gt_u (local.get $at) (i32.const 1024))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.eqz
            (call $offset_put (i32.const 1024) (i32.const 7) (i32.const 2048) (i32.const 1))))))"#;

#[tokio::test]
async fn source_offsets_are_bounded_over_many_calls() -> Result<()> {
    let body = "(call $offsets (i32.mul (call $begin) (i32.const 1000000))) (i64.const 0)";
    let mut instance = open(&Guest::new().field(OFFSETS).with(names::FLUSH, body)).await?;
    let mut bytes = 0;
    for _ in 0..5 {
        instance.flush().await?;
        let (offsets, _) = instance.ledger().take_staged();
        bytes +=
            offsets.iter().map(|o| ENTRY + o.partition.len() + o.offset.as_ref().map_or(0, String::len)).sum::<usize>();
    }
    assert!((LIMITS.state_max_bytes / 2..=LIMITS.state_max_bytes).contains(&bytes), "{bytes}");
    Ok(())
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut() -> Result<()> {
    logs::capture();
    for (mark, write) in [
        ("flood by log", "(call $log (i32.const 3) (i32.const 1024) (i32.const 12))"),
        ("flood by out", "(drop (call $fd_write (i32.const 1) (i32.const 1040) (i32.const 1) (i32.const 1048)))"),
        ("flood by err", "(drop (call $fd_write (i32.const 2) (i32.const 1040) (i32.const 1) (i32.const 1048)))"),
    ] {
        let data = format!("(data (i32.const 1024) \"{mark}\\0a\") (data (i32.const 1040) \"\\00\\04\\00\\00\\0d\")");
        let body = format!(
            "(local i32) (loop $again {write} (br_if $again (i32.lt_u
                (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 5000)))) (i64.const 0)"
        );
        let guest = Guest::new().field(&data).with(names::FLUSH, &body);
        let limits = Limits { fuel_per_call: NO_FUEL_LIMIT, ..LIMITS };
        let started = Instant::now();
        open_with(&guest, limits, Grants::default()).await?.flush().await?;
        // 500 at once, then 50 a second.
        let most = 501 + 50 * usize::try_from(started.elapsed().as_secs())?.saturating_add(1);
        let lines = logs::lines(&[mark]).len();
        assert!((500..=most).contains(&lines), "{mark}: {lines} lines");
    }
    assert!(!logs::lines(&["logs too much, lines are left out for now"]).is_empty());
    Ok(())
}

#[tokio::test]
async fn a_flood_goes_on_over_no_instance() -> Result<()> {
    logs::capture();
    let data = "(data (i32.const 1024) \"flood by many instances\")";
    let body = "(local i32) (loop $again (call $log (i32.const 3) (i32.const 1024) (i32.const 23))
        (br_if $again (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 400)))) unreachable";
    let compiled = crate::compile(&Guest::new().field(data).with(names::FLUSH, body))?;
    let spec = crate::spec(LIMITS, Grants::default());
    let started = Instant::now();
    for _ in 0..20 {
        let ledger = sandbar::sandbox::Ledger::new("", 0);
        let mut instance =
            sandbar::sandbox::Instance::open(&compiled, &spec, ledger).await.map_err(|(error, _)| error)?;
        assert!(instance.flush().await.is_err());
    }
    let most = 501 + 50 * usize::try_from(started.elapsed().as_secs())?.saturating_add(1);
    let lines = logs::lines(&["flood by many instances"]).len();
    assert!((400..=most).contains(&lines), "{lines} lines");
    Ok(())
}
