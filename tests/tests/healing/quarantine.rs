//! A version in quarantine stays there over a restart of the host, until its file changes or somebody wants it tried again;
//! and what ran well before it is there over a restart, too, though its own file was overwritten.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sandbar::control::{Command, ConnectorState, ConnectorStatus};
use sandbar::storage::Restart;
use sandbar_tests::in_process::Worker;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{STEP, is_version, pass, passed, runs, start, version};

/// A worker that went back to version 1, after version 2 in the file of that name had trapped on the first record.
async fn gone_back(folder: &Arc<TempDir>, file: &str) -> Result<Worker> {
    let mut worker = start(folder).await?;
    worker.put(file, &version(2, &[("mode", json!("trap")), ("poison", json!("1"))])?)?;
    worker.wait(STEP, |step| is_version(step, 2)).await?;
    worker.write("in", &["1"]).await?;
    worker.wait(STEP, |step| runs(step, 1) && holds_version_2(step)).await?;
    passed(&worker, 1).await?;
    Ok(worker)
}

fn holds_version_2(step: &ConnectorStatus) -> bool {
    let [quarantined] = step.quarantined.as_slice() else { return false };
    quarantined.version == "2.0.0" && quarantined.reason.contains("unreachable")
}

async fn started_again(worker: Worker) -> Result<Worker> {
    let folder = Arc::clone(worker.folder());
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Worker::start_in(folder).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_in_the_folder_runs_instead() -> Result<()> {
    let worker = gone_back(&Arc::new(tempfile::tempdir()?), "step-2.wasm").await?;
    let mut worker = started_again(worker).await?;
    let step = worker.wait(STEP, |step| runs(step, 1) && holds_version_2(step)).await?;
    let reason = step.reason.unwrap_or_default();
    ensure!(reason.starts_with("step 2.0.0 is in quarantine: "), "{reason}");
    pass(&worker, 2).await?;
    // A version that never ran here is no reason to go back to it, a newer one is welcome.
    worker.put("step-3.wasm", &version(3, &[])?)?;
    worker.wait(STEP, |step| runs(step, 3) && holds_version_2(step)).await?;
    pass(&worker, 3).await?;
    worker.remove("step-2.wasm")?;
    worker.wait(STEP, |step| runs(step, 3) && step.quarantined.is_empty()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ran_well_runs_though_its_file_was_overwritten() -> Result<()> {
    let mut worker = gone_back(&Arc::new(tempfile::tempdir()?), "step.wasm").await?;
    for record in 2..4 {
        worker = started_again(worker).await?;
        worker.wait(STEP, |step| runs(step, 1) && holds_version_2(step)).await?;
        pass(&worker, record).await?;
    }
    worker.put("step.wasm", &version(3, &[])?)?;
    worker.wait(STEP, |step| runs(step, 3) && step.quarantined.is_empty()).await?;
    pass(&worker, 4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_end_probation() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    pass(&worker, 1).await?;
    worker.put("step.wasm", &version(2, &[("mode", json!("trap")), ("poison", json!("3"))])?)?;
    worker.wait(STEP, |step| runs(step, 2)).await?;
    pass(&worker, 2).await?;
    let mut worker = started_again(worker).await?;
    worker.wait(STEP, |step| runs(step, 2)).await?;
    worker.write("in", &["3"]).await?;
    worker.wait(STEP, |step| runs(step, 1) && holds_version_2(step)).await?;
    passed(&worker, 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_else_is_left_it_waits_and_says_what_to_do() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let worker = gone_back(&folder, "step.wasm").await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    std::fs::remove_dir_all(folder.path().join("data/versions"))?;
    let mut worker = Worker::start_in(folder).await?;
    let step = worker.wait(STEP, |step| step.state == ConnectorState::Unassigned && step.reason.is_some()).await?;
    ensure!(holds_version_2(&step), "{step:?}");
    let reason = step.reason.unwrap_or_default();
    let (begins, ends) = (
        "waiting for plugin step; step 2.0.0 is in quarantine: ",
        "; put another version into the folder, or let it be tried again: sandbar restart step",
    );
    ensure!(reason.starts_with(begins) && reason.ends_with(ends), "{reason}");
    worker.put("step.wasm", &version(3, &[])?)?;
    worker.wait(STEP, |step| runs(step, 3) && step.quarantined.is_empty()).await?;
    pass(&worker, 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_it_for_good() -> Result<()> {
    let worker = gone_back(&Arc::new(tempfile::tempdir()?), "step.wasm").await?;
    let mut worker = started_again(worker).await?;
    worker.wait(STEP, |step| runs(step, 1) && holds_version_2(step)).await?;
    worker.tell(STEP, Command::Restart(Restart::Tasks { only_failed: false })).await?;
    worker.wait(STEP, |step| runs(step, 2) && step.quarantined.is_empty()).await?;
    pass(&worker, 2).await?;
    let mut worker = started_again(worker).await?;
    worker.wait(STEP, |step| runs(step, 2) && step.quarantined.is_empty()).await?;
    pass(&worker, 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changed_while_the_host_was_down_is_out_of_it() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let worker = gone_back(&folder, "step.wasm").await?;
    let file = worker.folder().path().join("plugins/step.wasm");
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    std::fs::write(file, version(2, &[])?)?;
    let mut worker = Worker::start_in(Arc::clone(&folder)).await?;
    worker.wait(STEP, |step| runs(step, 2) && step.quarantined.is_empty()).await?;
    pass(&worker, 2).await?;
    let kept = std::fs::read(folder.path().join("data/versions.json"))?;
    let kept: Value = serde_json::from_slice(&kept)?;
    ensure!(kept[STEP]["quarantined"] == json!([]), "it is kept all the same: {kept}");
    Ok(())
}
