//! What guests use is measured, and what they have the host do for them is charged to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbar::sandbox::{CallErrorKind, Grants, Instance, Ledger, Limits, Meter, Usage};
use sandbar_abi::manifest::Kind;
use sandbar_abi::{FrameBuilder, names};
use sandbar_tests::logs;
use sandbar_tests::wat::Guest;

use crate::{Call, LIMITS, compile, grant, open, open_with, second_call_fails, spec};

/// Fuel that no test lives to see the end of, but for one that is about it.
const PLENTY: Limits = Limits { fuel_per_call: 1_000_000_000, ..LIMITS };

/// Opens a guest whose use is counted.
async fn metered(guest: &Guest, limits: Limits) -> Result<(Instance, Arc<Meter>)> {
    let spec = spec(limits, Grants::default());
    let opened = Instance::open(&compile(guest)?, &spec, Ledger::new("", LIMITS.state_max_bytes)).await;
    Ok((opened.map_err(|(error, _)| error)?, spec.meter))
}

/// What one flush uses.
async fn flush_uses(body: &str, field: &str) -> Result<Usage> {
    let (mut instance, meter) = metered(&Guest::new().field(field).with(names::FLUSH, body), PLENTY).await?;
    let before = meter.usage();
    instance.flush().await?;
    let after = meter.usage();
    Ok(Usage {
        calls: after.calls - before.calls,
        fuel: after.fuel - before.fuel,
        time: after.time.checked_sub(before.time).context("time goes on")?,
        busy: after.busy.checked_sub(before.busy).context("time goes on")?,
        host_calls: after.host_calls - before.host_calls,
        memory_peak: after.memory_peak,
    })
}

/// A loop of so many rounds around something.
fn rounds(count: u32, each: &str) -> String {
    format!(
        "(local i32) (loop $again {each} (br_if $again (i32.lt_u
            (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {count})))) (i64.const 0)"
    )
}

#[tokio::test]
async fn a_call_is_measured() -> Result<()> {
    let used = flush_uses(&rounds(100_000, "(drop (i32.load (i32.const 0)))"), "").await?;
    assert_eq!((used.calls, used.host_calls), (1, 0));
    assert!((500_000..2_000_000).contains(&used.fuel), "{used:?}");
    assert!(used.time >= used.busy && !used.busy.is_zero(), "{used:?}");
    assert_eq!(used.memory_peak, 64 << 10);

    let grown = flush_uses("(drop (memory.grow (i32.const 3))) (i64.const 0)", "").await?;
    assert_eq!(grown.memory_peak, 4 * (64 << 10));
    let again = flush_uses("(drop (memory.grow (i32.const 3))) (i64.const 0)", "").await?;
    assert_eq!(again.fuel, grown.fuel, "the same work takes the same fuel");
    Ok(())
}

#[tokio::test]
async fn a_wait_takes_time_and_no_thread() -> Result<()> {
    let wait: String = 30_000_000_u64.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
    let data = format!("(data (i32.const 1040) \"\\01\\00\\00\\00\\00\\00\\00\\00{wait}\")");
    let body =
        "(drop (call $poll_oneoff (i32.const 1024) (i32.const 1200) (i32.const 1) (i32.const 1300))) (i64.const 0)";
    let used = flush_uses(body, &data).await?;
    assert!(used.time >= Duration::from_millis(30), "{used:?}");
    assert!(used.busy < used.time / 2, "{used:?}");
    assert_eq!(used.host_calls, 1);
    Ok(())
}

#[tokio::test]
async fn a_call_that_fails_is_measured_too() -> Result<()> {
    let body = format!("{} unreachable", rounds(1000, "(call $log (i32.const 4) (i32.const 0) (i32.const 1))"));
    let body = body.replace("(i64.const 0) unreachable", "unreachable");
    let (mut instance, meter) = metered(&Guest::new().with(names::FLUSH, &body), PLENTY).await?;
    let before = meter.usage();
    instance.flush().await.err().context("it traps")?;
    assert_eq!(meter.usage().host_calls - before.host_calls, 1000);
    assert!(meter.usage().fuel - before.fuel > 1000 * 500);
    Ok(())
}

#[tokio::test]
async fn every_host_call_is_counted_and_charged() -> Result<()> {
    for (call, bytes) in [
        ("(call $log (i32.const 4) (i32.const 0) (i32.const 1000))", 1000),
        ("(call $set_error (i32.const -1) (i32.const 0) (i32.const 1000))", 1000),
        ("(call $metric (i32.const 0) (i32.const 0) (i32.const 100) (f64.const 1))", 100),
        ("(drop (call $config_get (i32.const 1024) (i32.const 8) (i32.const 0) (i32.const 100)))", 13),
        ("(drop (call $state_put (i32.const 1024) (i32.const 8) (i32.const 0) (i32.const 1000)))", 1008),
        ("(drop (call $state_get (i32.const 1024) (i32.const 8) (i32.const 0) (i32.const 0)))", 8),
        ("(drop (call $state_delete (i32.const 1024) (i32.const 8)))", 8),
        ("(drop (call $offset_put (i32.const 1048) (i32.const 7) (i32.const 1048) (i32.const 7)))", 80 * 14),
        ("(drop (call $offset_get (i32.const 1048) (i32.const 7) (i32.const 0) (i32.const 0)))", 80 * 7),
        ("(drop (call $random_get (i32.const 0) (i32.const 100)))", 0),
        ("(drop (call $fd_write (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0)))", 0),
    ] {
        let data = r#"(data (i32.const 1024) "greeting") (data (i32.const 1048) "{\22a\22:1}")"#;
        let used = flush_uses(&rounds(10, call), data).await.context(call)?;
        assert_eq!(used.host_calls, 10, "{call}");
        // Ten rounds of the loop itself are less than 30 units each.
        let charged = 10 * (500 + bytes);
        assert!((charged..charged + 300).contains(&used.fuel), "{call}: {used:?}, charged {charged}");
    }
    Ok(())
}

#[tokio::test]
async fn host_calls_without_end_use_up_the_fuel() -> Result<()> {
    for call in [
        "(call $log (i32.const 4) (i32.const 0) (i32.const 1))",
        "(drop (call $state_get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))",
        "(drop (call $fd_write (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0)))",
        "(drop (call $random_get (i32.const 0) (i32.const 1)))",
    ] {
        let limits = Limits { fuel_per_call: 50_000_000, ..LIMITS };
        let guest = Guest::new().with(names::FLUSH, &format!("(loop $again {call} (br $again)) unreachable"));
        let (mut instance, meter) = metered(&guest, limits).await?;
        let error = instance.flush().await.err().context("it must end")?;
        assert!(matches!(error.kind, CallErrorKind::OutOfFuel(50_000_000)), "{call}: {error}");
        assert!(error.to_string().ends_with("sandbox.fuel.per.call sets it"), "{error}");
        // What WASI owes is taken at the next tick, which may be late on a busy machine.
        assert!(meter.usage().host_calls < 10_000_000, "{call}: {:?}", meter.usage());
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_cannot_pay_at_its_end_has_failed() -> Result<()> {
    // So short that no tick of the clock comes in between: 1,000 calls of WASI for a budget of 200,000.
    let body = rounds(1000, "(drop (call $fd_write (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0)))");
    let limits = Limits { fuel_per_call: 200_000, ..LIMITS };
    let mut instance = open_with(&Guest::new().with(names::FLUSH, &body), limits, Grants::default()).await?;
    let error = instance.flush().await.err().context("it must fail")?;
    assert!(matches!(error.kind, CallErrorKind::OutOfFuel(200_000)), "{error}");
    assert!(instance.flush().await.is_err(), "it is not called again");
    Ok(())
}

#[tokio::test]
async fn tables_are_bounded_and_named() -> Result<()> {
    let tables = "(table $one 10 funcref) (table $two 10 funcref)";
    let storm =
        "(loop $again (br_if $again (i32.ne (table.grow $two (ref.null func) (i32.const 1000)) (i32.const -1))))
        unreachable";
    let cause = "ran out of table elements: 100020 were asked for in all its tables, the limit is 100000";
    let error =
        second_call_fails(Guest::new().field(tables).second_call(names::WRITE, storm), Call::Write, cause).await?;
    assert!(matches!(error.kind, CallErrorKind::OutOfTable { .. }));

    // Two tables that are fine each, and too much together.
    let guest = Guest::new().field("(table 60000 funcref) (table 60000 funcref)");
    let error = open(&guest).await.err().context("it must not start")?.to_string();
    assert!(error.contains("cannot be started: ran out of table elements: 120000 were asked for"), "{error}");

    // A refusal that the guest lives with: it may still take what is left, and not one more.
    let body = "(drop (table.grow $two (ref.null func) (i32.const 200000)))
        (if (i32.ne (table.grow $two (ref.null func) (i32.const 99980)) (i32.const 10)) (then unreachable))
        (if (i32.ne (table.grow $one (ref.null func) (i32.const 1)) (i32.const -1)) (then unreachable)) (i64.const 0)";
    open(&Guest::new().field(tables).with(names::FLUSH, body)).await?.flush().await?;
    Ok(())
}

/// A poll that answers with records of so many bytes each, to one that asks for ten records and 1,000 bytes.
async fn poll(sizes: &[usize]) -> Result<Result<usize, String>> {
    let mut frame = FrameBuilder::new();
    for size in sizes {
        frame.record(Some(b"key"), Some(&vec![b'v'; size - 3]));
    }
    let guest = Guest::new().answers(names::POLL, &frame.finish()?);
    let reply = open(&guest).await?.poll(10, 1000, Duration::ZERO).await;
    Ok(reply.map(|reply| reply.output.map_or(0, |output| output.len())).map_err(|error| error.kind.to_string()))
}

#[tokio::test]
async fn a_source_keeps_to_what_it_was_asked_for() -> Result<()> {
    assert_eq!(poll(&[10; 10]).await?, Ok(10));
    let cause = "contract violation: 11 records were returned, at most 10 were asked for";
    assert_eq!(poll(&[10; 11]).await?, Err(cause.to_owned()));

    assert_eq!(poll(&[30_000]).await?, Ok(1), "one large record may go alone");
    assert_eq!(poll(&[999, 30_000]).await?, Ok(2), "the limit was not reached before the last");
    let cause =
        "contract violation: record 2 was added to keys and values of 1000 bytes, no more were asked for than 1000";
    assert_eq!(poll(&[500, 500, 10]).await?, Err(cause.to_owned()));
    Ok(())
}

#[tokio::test]
async fn the_last_line_is_logged_though_nothing_ends_it() -> Result<()> {
    logs::capture();
    let mark = "said with its last breath";
    let data = format!("(data (i32.const 1024) \"{mark}\") (data (i32.const 1100) \"\\00\\04\\00\\00\\19\")");
    let body = "(drop (call $fd_write (i32.const 2) (i32.const 1100) (i32.const 1) (i32.const 1108))) unreachable";
    let mut instance = open(&Guest::new().field(&data).with(names::FLUSH, body)).await?;
    instance.flush().await.err().context("it traps")?;
    assert!(logs::lines(&[mark]).is_empty());
    drop(instance);
    assert_eq!(logs::lines(&[mark]).len(), 1);
    Ok(())
}

#[tokio::test]
async fn wasi_copies_no_more_than_a_frame_at_once() -> Result<()> {
    // One buffer of 64 MiB and one byte, of a guest that has as much memory: refused with "no memory" (48).
    let folder = tempfile::tempdir()?;
    let len: String = (64_u32 << 20 | 1).to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
    let data = format!("(data (i32.const 1024) \"\\00\\00\\00\\00{len}\")");
    let body = "(if (i32.ne (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0)) (i32.const 48))
        (then unreachable)) (i64.const 0)";
    let guest = Guest::new().pages(1025).field(&data).with(names::FLUSH, body);
    let limits = Limits { memory_max_bytes: 128 << 20, ..PLENTY };
    open_with(&guest, limits, grant(&[], &[folder.path().to_owned()])).await?.flush().await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_in_json_is_bounded() -> Result<()> {
    let mut json = vec![b' '; (1 << 20) + 1];
    json[0] = b'[';
    json[1 << 20] = b']';
    let guest = Guest::new().answers(names::TASK_CONFIGS, &json);
    let limits = Limits { memory_max_bytes: 4 << 20, ..LIMITS };
    let error = open_with(&guest, limits, Grants::default()).await?.task_configs(1).await.err().context("it fails")?;
    assert_eq!(
        error.kind.to_string(),
        "contract violation: an answer of 1048577 bytes is longer than the limit of 1048576"
    );
    Ok(())
}

#[tokio::test]
async fn a_trace_is_no_longer_than_a_line_may_be() -> Result<()> {
    let name = "n".repeat(30_000);
    let guest = Guest::new()
        .field(&format!("(func ${name} unreachable)"))
        .with(names::FLUSH, &format!("(call ${name}) (i64.const 0)"));
    let error = open(&guest).await?.flush().await.err().context("it traps")?;
    let trace = error.trace.context("a trap has a trace")?;
    assert!((1000..=names::MAX_TEXT_BYTES).contains(&trace.len()), "{}", trace.len());
    Ok(())
}

#[tokio::test]
async fn a_guest_that_computes_stands_back_for_its_neighbours_and_no_longer() -> Result<()> {
    // One thread. The guest computes for a while, the neighbour works in pieces of a tenth of a millisecond.
    let body = rounds(30_000_000, "");
    let (mut instance, meter) = metered(&Guest::new().with(names::FLUSH, &body), PLENTY).await?;
    instance.flush().await?;
    let alone = meter.usage();

    let until = Instant::now() + Duration::from_secs(20);
    let neighbour = tokio::spawn(async move {
        let mut worked = Duration::ZERO;
        loop {
            let started = Instant::now();
            while started.elapsed() < Duration::from_micros(100) {
                std::hint::spin_loop();
            }
            worked += started.elapsed();
            if Instant::now() > until {
                return worked;
            }
            tokio::task::yield_now().await;
        }
    });
    let started = Instant::now();
    instance.flush().await?;
    let took = started.elapsed();
    neighbour.abort();
    let beside = meter.usage();
    let busy = beside.busy.checked_sub(alone.busy).context("time goes on")?;
    // Ten times as long for the neighbour as for the guest; a busy machine blurs it.
    assert!(took > busy * 4, "busy {busy:?}, took {took:?}");
    assert!(took < busy * 16 + Duration::from_millis(100), "busy {busy:?}, took {took:?}");
    Ok(())
}

#[tokio::test]
async fn usage_is_that_of_all_instances() -> Result<()> {
    let mut spec = spec(LIMITS, Grants::default());
    spec.open.kind = Kind::Sink;
    let compiled = compile(&Guest::new().with(names::FLUSH, "unreachable"))?;
    for nth in 1..=3 {
        let opened = Instance::open(&compiled, &spec, Ledger::new("", 1000)).await;
        let mut instance = opened.map_err(|(error, _)| error)?;
        instance.flush().await.err().context("it traps")?;
        // reserve, open and flush.
        assert_eq!(spec.meter.usage().calls, 3 * nth);
    }
    Ok(())
}
