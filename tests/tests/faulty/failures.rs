//! Faults that nobody tolerates: the connector is FAILED and says which plugin, in which version, for which connector, in
//! which call, and why.

use anyhow::{Context as _, Result, ensure};
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::in_process::Worker;
use sandbar_tests::logs;

use crate::{config, worker};

/// Fuel that is used up at once.
const FUEL: (&str, &str) = ("sandbox.fuel.per.call", "20000000");
/// A time that is over at once.
const TIME: (&str, &str) = ("sandbox.call.timeout.ms", "100");
const MEMORY: (&str, &str) = ("sandbox.memory.max.bytes", "8388608");

/// Defines a faulty connector, waits until it has failed with these words, and takes it away again.
async fn fails(
    worker: &mut Worker,
    name: &str,
    (kind, mode): (&str, &str),
    more: &[(&str, &str)],
    call: &str,
    cause: &str,
) -> Result<()> {
    worker.define(name, &config(kind, mode, more))?;
    // On a busy machine another call may be the one that takes too long first.
    let expected = format!("plugin faulty 0.1.0, connector {name}, task 0: {call}: {cause}");
    let says = |reason: &String| reason.contains(&expected) && reason.contains("(starts again in ");
    let failed = |c: &ConnectorStatus| c.state == ConnectorState::Failed && c.reason.as_ref().is_some_and(says);
    worker.wait(name, failed).await.with_context(|| format!("{kind} {mode} at {call}: {cause}"))?;
    logs::line(&[name, "failed: plugin faulty 0.1.0", call]).await?;
    worker.probe().await?;
    worker.remove(&format!("{name}.json"))?;
    worker.gone(name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transforms_that_fail() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["a record"]).await?;
    for (mode, more, cause) in [
        ("panic", &[("message", "no idea")][..], "trapped: "),
        ("trap", &[], "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("abort", &[], "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("exit", &[], "exited with status 3; a plugin must return, not exit"),
        ("loop", &[FUEL], "used up its fuel of 20000000 units for one call; sandbox.fuel.per.call sets it"),
        ("loop", &[TIME], "took longer than 100 ms; sandbox.call.timeout.ms sets it"),
        ("spin", &[TIME, ("millis", "60000")], "took longer than 100 ms; sandbox.call.timeout.ms sets it"),
        ("sleep", &[TIME, ("millis", "60000")], "took longer than 100 ms; sandbox.call.timeout.ms sets it"),
        ("recurse", &[], "trapped: "),
        ("allocate", &[MEMORY], "ran out of memory: "),
        ("fatal", &[("message", "no such table")], "fatal: no such table"),
        ("huge-output", &[], "contract violation: "),
    ] {
        fails(&mut worker, "transforming", ("transform", mode), more, "transform", cause).await?;
    }
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_that_fail() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["a record"]).await?;
    for (mode, at, call, cause) in [
        ("panic", "call", "write", "trapped: "),
        ("exit", "call", "write", "exited with status 3"),
        ("trap", "flush", "flush", "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("fatal", "flush", "flush", "fatal: as configured"),
        ("trap", "assigned", "assigned", "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("fatal", "assigned", "assigned", "fatal: as configured"),
        ("fatal", "open", "open", "fatal: as configured"),
    ] {
        fails(&mut worker, "sinking", ("sink", mode), &[("at", at)], call, cause).await?;
    }
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_that_fail() -> Result<()> {
    let mut worker = worker().await?;
    for (mode, at, call, cause) in [
        ("panic", "call", "poll", "trapped: "),
        ("trap", "committed", "committed", "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("fatal", "committed", "committed", "fatal: as configured"),
        ("trap", "open", "open", "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("exit", "open", "open", "exited with status 3"),
    ] {
        fails(&mut worker, "polling", ("source", mode), &[("at", at)], call, cause).await?;
    }
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_says_where_and_why() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["a record"]).await?;
    worker.define("panicking", &config("transform", "panic", &[("message", "the answer is 43")]))?;
    let reason = worker.reason("panicking", ConnectorState::Failed).await?;
    ensure!(reason.contains("the answer is 43") && reason.contains("fault.rs:"), "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_delivers_what_comes_before_its_fault_once_however_often_it_starts() -> Result<()> {
    let mut worker = worker().await?;
    worker.define("counting", &config("source", "trap", &[("poison", "5")]))?;
    // Each start makes two instances: the fault is tried again on a fresh one.
    worker.wait("counting", |c| c.state == ConnectorState::Failed && c.totals().instances >= 6).await?;
    let values: Vec<_> = worker.read("out", 5).await?.iter().map(|row| row.text()).collect();
    ensure!(values == ["0", "1", "2", "3", "4"], "{values:?}");
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_is_corrected_goes_on() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3"]).await?;
    worker.define("passing", &config("transform", "trap", &[("poison", "2")]))?;
    worker.reason("passing", ConnectorState::Failed).await?;
    worker.define("passing", &config("transform", "none", &[]))?;
    let values: Vec<_> = worker.read("out", 3).await?.iter().map(|row| row.text()).collect();
    ensure!(values == ["1", "2", "3"], "{values:?}");
    worker.wait("passing", |c| c.state == ConnectorState::Running).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_that_pass_are_waited_for() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3"]).await?;
    let wait = [("times", "2"), ("millis", "20"), ("poison", "2"), ("errors.retry.timeout", "-1")];
    for mode in ["retryable", "throttled", "retry-record"] {
        let (name, topic) = (format!("waiting-{mode}"), format!("out-{mode}"));
        let more: Vec<_> = wait.into_iter().chain([("topic", topic.as_str())]).collect();
        worker.define(&name, &config("transform", mode, &more))?;
        let values: Vec<_> = worker.read(&topic, 3).await?.iter().map(|row| row.text()).collect();
        ensure!(values == ["1", "2", "3"], "{mode}: {values:?}");
        let connector = worker.wait(&name, |c| c.state == ConnectorState::Running).await?;
        ensure!(connector.totals().instances == 1, "{mode}: an error that passes costs no instance");
    }
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_does_not_close_is_stopped_all_the_same() -> Result<()> {
    let mut worker = worker().await?;
    for (kind, mode) in [("source", "trap"), ("sink", "fatal"), ("transform", "loop")] {
        let name = format!("closing-{kind}");
        worker.define(&name, &config(kind, mode, &[("at", "close"), FUEL]))?;
        worker.wait(&name, |c| c.state == ConnectorState::Running && c.totals().instances >= 1).await?;
        worker.remove(&format!("{name}.json"))?;
        worker.gone(&name).await?;
        logs::line(&["the plugin did not close", &name, "task 0: close: "]).await?;
    }
    worker.probe().await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}
