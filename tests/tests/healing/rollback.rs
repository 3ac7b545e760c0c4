//! A version that fails soon after it took over: the one before it takes over again, by itself and without a record lost
//! or doubled, and the one that failed is not tried again until its file changes or somebody wants it.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sandbar::control::{Command, ConnectorStatus};
use sandbar::storage::Restart;
use sandbar_tests::logs;
use serde_json::{Value, json};

use crate::{STEP, is_version, pass, passed, runs, start, version};

/// Whether the connector is back at version 1, with version 2 in quarantine for that reason.
fn is_back(step: &ConnectorStatus, why: &str) -> bool {
    let [quarantined] = step.quarantined.as_slice() else { return false };
    runs(step, 1) && quarantined.version == "2.0.0" && quarantined.reason.contains(why)
}

/// Replaces version 1 by a faulty version 2 and expects it to be rolled back.
async fn rolled_back(fault: &[(&str, Value)], why: &str) -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    pass(&worker, 1).await?;
    worker.put("step.wasm", &version(2, fault)?)?;
    worker.wait(STEP, |step| is_version(step, 2) || is_back(step, why)).await?;
    worker.write("in", &["2"]).await?;
    let step = worker.wait(STEP, |step| is_back(step, why)).await?;
    passed(&worker, 2).await?;
    let reason = step.reason.unwrap_or_default();
    ensure!(reason.starts_with("step 2.0.0 is in quarantine: "), "{reason}");
    let said = logs::line(&["rolled back", &step.quarantined[0].sha256.to_string()]).await?;
    ensure!(said.contains("version=2.0.0"), "{said}");

    // A definition that changes does not bring it back, a newer version is welcome.
    worker.define(STEP, &[&crate::config()[..], &[("commit.interval.ms", "50")]].concat())?;
    logs::line(&["definition changed", &worker.folder().path().display().to_string()]).await?;
    pass(&worker, 3).await?;
    worker.wait(STEP, |step| is_back(step, why)).await?;
    worker.put("step.wasm", &version(3, &[])?)?;
    worker.wait(STEP, |step| runs(step, 3) && step.quarantined.is_empty()).await?;
    pass(&worker, 4).await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_traps() -> Result<()> {
    rolled_back(&[("mode", json!("trap"))], "wasm `unreachable` instruction executed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_does_not_open() -> Result<()> {
    rolled_back(&[("mode", json!("fatal")), ("at", json!("open"))], "fatal: as configured").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_in_a_file_of_its_own() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    worker.put("step-2.wasm", &version(2, &[("mode", json!("trap"))])?)?;
    worker.wait(STEP, |step| is_version(step, 2)).await?;
    worker.write("in", &["1"]).await?;
    worker.wait(STEP, |step| is_back(step, "unreachable")).await?;
    passed(&worker, 1).await?;
    worker.remove("step-2.wasm")?;
    worker.wait(STEP, |step| runs(step, 1) && step.quarantined.is_empty()).await?;
    pass(&worker, 2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_have_it_tried_again() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    let fault = [("mode", json!("trap")), ("poison", json!("1"))];
    worker.put("step.wasm", &version(2, &fault)?)?;
    worker.wait(STEP, |step| is_version(step, 2)).await?;
    worker.write("in", &["1"]).await?;
    worker.wait(STEP, |step| is_back(step, "unreachable")).await?;
    passed(&worker, 1).await?;
    worker.tell(STEP, Command::Restart(Restart::Tasks { only_failed: false })).await?;
    worker.wait(STEP, |step| runs(step, 2) && step.quarantined.is_empty()).await?;
    pass(&worker, 2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_version_has_nothing_to_go_back_to() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut worker = start(&folder).await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    worker = sandbar_tests::in_process::Worker::start_in(folder).await?;
    worker.put("step.wasm", &version(2, &[("mode", json!("trap"))])?)?;
    worker.remove("step.json")?;
    worker.gone(STEP).await?;
    worker.define(STEP, &crate::config())?;
    worker.wait(STEP, |step| is_version(step, 2)).await?;
    worker.write("in", &["1"]).await?;
    let failed = worker.reason(STEP, sandbar::control::ConnectorState::Failed).await?;
    ensure!(failed.contains("unreachable"), "{failed}");
    let step = worker.connectors().into_iter().find(|c| c.name == STEP);
    ensure!(step.is_some_and(|step| step.quarantined.is_empty() && is_version(&step, 2)), "there is no other");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_versions_on_probation_the_one_before_both_counts() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    worker.put("step-new.wasm", &version(2, &[])?)?;
    worker.wait(STEP, |step| runs(step, 2)).await?;
    pass(&worker, 1).await?;
    worker.put("step-new.wasm", &version(3, &[("mode", json!("trap"))])?)?;
    worker.wait(STEP, |step| is_version(step, 3)).await?;
    worker.write("in", &["2"]).await?;
    worker.wait(STEP, |step| step.quarantined.len() == 1 && !is_version(step, 3)).await?;
    passed(&worker, 2).await?;
    let found = worker.wait(STEP, |step| !is_version(step, 3)).await?;
    // Version 2 was on probation itself: what is known to work is version 1.
    ensure!(is_version(&found, 1), "{:?}", found.plugin);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_has_no_version_before_fails_as_any_other() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    pass(&worker, 1).await?;
    worker.put("faulty.wasm", &sandbar_tests::in_process::example("faulty")?)?;
    let more = [("transforms", "bad"), ("transforms.bad.type", "faulty"), ("transforms.bad.mode", "trap")];
    worker.define(STEP, &[&crate::config()[..], &more].concat())?;
    logs::line(&["definition changed", &worker.folder().path().display().to_string()]).await?;
    worker.wait(STEP, |step| step.tasks.first().is_some_and(|task| task.progress.commits() == 0)).await?;
    worker.write("in", &["2"]).await?;
    let failed = worker.reason(STEP, sandbar::control::ConnectorState::Failed).await?;
    ensure!(failed.contains("unreachable"), "{failed}");
    ensure!(worker.connectors().iter().all(|connector| connector.quarantined.is_empty()), "nothing was replaced");
    worker.define(STEP, &crate::config())?;
    passed(&worker, 2).await
}
