//! Pause, resume, stop and restart: what they do, that they outlast the host, and what cannot be done.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sandbar::control::{Command, ConnectorState, ConnectorStatus};
use sandbar::storage::Restart;
use sandbar_abi::manifest::Kind;
use sandbar_tests::in_process::Worker;
use serde_json::json;

use crate::{STEP, config, is_version, pass, passed, runs, start, version};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_paused_stays_so_until_it_is_resumed() -> Result<()> {
    for (command, state) in [(Command::Pause, ConnectorState::Paused), (Command::Stop, ConnectorState::Stopped)] {
        let folder = Arc::new(tempfile::tempdir()?);
        let mut worker = start(&folder).await?;
        pass(&worker, 1).await?;
        worker.tell(STEP, command).await?;
        worker.wait(STEP, |step| step.state == state).await?;
        worker.write("in", &["2"]).await?;
        ensure!(worker.stop().await?, "not all tasks ended by themselves");

        let mut worker = Worker::start_in(folder).await?;
        worker.wait(STEP, |step| step.state == state).await?;
        passed(&worker, 1).await?;
        worker.tell(STEP, Command::Resume).await?;
        worker.wait(STEP, |step| runs(step, 1)).await?;
        passed(&worker, 2).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_run_says_what_it_would_run() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut worker = start(&folder).await?;
    for (command, state) in [(Command::Pause, ConnectorState::Paused), (Command::Stop, ConnectorState::Stopped)] {
        let would_run = |step: &ConnectorStatus, number| {
            step.state == state && step.kind == Some(Kind::Transform) && is_version(step, number)
        };
        worker.put("step.wasm", &version(1, &[])?)?;
        worker.tell(STEP, Command::Resume).await?;
        worker.wait(STEP, |step| runs(step, 1)).await?;
        worker.tell(STEP, command).await?;
        worker.wait(STEP, |step| step.tasks.iter().all(|task| task.state == state) && would_run(step, 1)).await?;
        worker.put("step.wasm", &version(2, &[])?)?;
        worker.wait(STEP, |step| would_run(step, 2)).await?;
        ensure!(worker.stop().await?, "not all tasks ended by themselves");
        worker = Worker::start_in(Arc::clone(&folder)).await?;
        worker.wait(STEP, |step| would_run(step, 2)).await?;
        worker.remove("step.wasm")?;
        worker.wait(STEP, |step| step.state == state && step.kind.is_none() && step.plugin.is_none()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_says_something_newer_counts() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut worker = start(&folder).await?;
    worker.tell(STEP, Command::Pause).await?;
    worker.wait(STEP, |step| step.state == ConnectorState::Paused).await?;
    let config: serde_json::Map<_, _> =
        config().into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    let stopped = json!({"name": STEP, "initial_state": "STOPPED", "config": config});
    worker.put("step.json", stopped.to_string().as_bytes())?;
    worker.wait(STEP, |step| step.state == ConnectorState::Stopped).await?;
    worker.put("step.json", json!({"name": STEP, "config": config}).to_string().as_bytes())?;
    worker.wait(STEP, |step| runs(step, 1)).await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    let mut worker = Worker::start_in(folder).await?;
    worker.wait(STEP, |step| runs(step, 1)).await?;
    pass(&worker, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_begin_anew_and_lose_nothing() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    pass(&worker, 1).await?;
    worker.tell(STEP, Command::Restart(Restart::Tasks { only_failed: true })).await?;
    pass(&worker, 2).await?;
    let instances = worker.wait(STEP, |step| runs(step, 1)).await?.totals().instances;
    ensure!(instances == 1, "it had not failed, and was restarted: {instances} instances");
    for (nth, command) in
        [(2, Command::Restart(Restart::Tasks { only_failed: false })), (3, Command::Restart(Restart::Task(0)))]
    {
        worker.tell(STEP, command).await?;
        pass(&worker, nth + 1).await?;
        worker.wait(STEP, |step| runs(step, 1) && step.totals().instances == nth as u64).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_task_does_not_wait_for_its_pause() -> Result<()> {
    let mut worker = Worker::start().await?;
    worker.put("step.wasm", &version(1, &[("mode", json!("fatal")), ("poison", json!("1"))])?)?;
    worker.define(STEP, &config())?;
    worker.wait(STEP, |step| runs(step, 1)).await?;
    worker.write("in", &["1"]).await?;
    // The pause has grown to seconds by then.
    worker.wait(STEP, |step| step.state == ConnectorState::Failed && step.totals().instances >= 6).await?;
    let before = worker.connectors()[0].totals().instances;
    worker.tell(STEP, Command::Restart(Restart::Tasks { only_failed: true })).await?;
    worker.wait(STEP, |step| step.totals().instances > before).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_why() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    let refused = async |connector: &str, command| match worker.tell(connector, command).await {
        Ok(()) => "done".to_owned(),
        Err(error) => error.to_string(),
    };
    ensure!(refused("steps", Command::Pause).await == "Unknown connector steps");
    ensure!(refused(STEP, Command::Restart(Restart::Task(1))).await == "Unknown task: step-1");
    ensure!(refused(STEP, Command::Stop).await == "done");
    let restart = Command::Restart(Restart::Tasks { only_failed: false });
    ensure!(refused(STEP, restart).await == "connector step is STOPPED; resume it first");
    ensure!(refused(STEP, Command::Restart(Restart::Task(0))).await == "connector step is STOPPED; resume it first");
    worker.wait(STEP, |step| step.state == ConnectorState::Stopped).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_whose_file_is_renamed_runs_on() -> Result<()> {
    let mut worker = start(&Arc::new(tempfile::tempdir()?)).await?;
    pass(&worker, 1).await?;
    let plugins = worker.folder().path().join("plugins");
    for (nth, (from, to)) in [("step.json", "other.json"), ("other.json", "a.json")].into_iter().enumerate() {
        std::fs::rename(plugins.join(from), plugins.join(to))?;
        let path = plugins.join(to);
        worker.wait(STEP, |step| step.file.as_deref() == Some(path.as_path()) && runs(step, 1)).await?;
        pass(&worker, nth + 2).await?;
    }
    Ok(())
}
