//! RUNNING means that a task gets on, or has nothing to do: else it says STALLED, and why.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::in_process::{Worker, config, example};
use sandbar_tests::logs;

/// One whose tasks may make no progress for so long.
async fn worker(patience: Duration) -> Result<Worker> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut worker = config(folder.path());
    worker.stall_timeout = patience;
    let worker = Worker::start_with(folder, worker).await?;
    worker.put("faulty.wasm", &example("faulty")?)?;
    Ok(worker)
}

fn faulty<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let common =
        [("connector.class", "faulty"), ("sandbox.call.timeout.ms", "300"), ("errors.retry.delay.max.ms", "100")];
    [&common, more].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_cannot_write_is_stalled_until_it_can() -> Result<()> {
    let mut worker = worker(Duration::from_millis(300)).await?;
    let stuck = [("connector.type", "sink"), ("topics", "in"), ("mode", "retryable"), ("times", "25")];
    worker.define("stuck", &faulty(&stuck))?;
    worker.wait("stuck", |c| c.state == ConnectorState::Running).await?;
    worker.write("in", &["a record"]).await?;
    let is_stalled = |c: &ConnectorStatus| {
        let why = c.reason.clone().unwrap_or_default();
        c.state == ConnectorState::Stalled && why.starts_with("no progress for ") && why.contains("retryable")
    };
    worker.wait("stuck", is_stalled).await?;
    logs::line(&["stuck", "stalled: no progress"]).await?;
    worker.wait("stuck", |c| c.state == ConnectorState::Running && c.totals().records_in == 1).await?;
    logs::line(&["stuck", "not stalled any more"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_nothing_to_do_runs() -> Result<()> {
    // Long enough to start in.
    let mut worker = worker(Duration::from_secs(3)).await?;
    let source = [("connector.type", "source"), ("topic", "out"), ("mode", "idle"), ("poll.interval.ms", "3600000")];
    worker.define("idle-source", &faulty(&source))?;
    worker.define("idle-sink", &faulty(&[("connector.type", "sink"), ("topics", "in")]))?;
    // Another one that is stalled shows that the time is up.
    worker.write("other", &["a record"]).await?;
    let stuck = [("connector.type", "sink"), ("topics", "other"), ("mode", "throttled"), ("millis", "600000")];
    worker.define("throttled", &faulty(&stuck))?;
    worker.wait("throttled", |c| c.state == ConnectorState::Stalled).await?;
    for name in ["idle-source", "idle-sink"] {
        worker.wait(name, |c| c.state == ConnectorState::Running && c.reason.is_none()).await?;
    }
    let told = logs::lines(&["stalled: "]);
    ensure!(!told.iter().any(|line| line.contains("idle-")), "{told:#?}");
    Ok(())
}
