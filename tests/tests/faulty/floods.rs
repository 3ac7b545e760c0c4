//! Plugins that flood the host with lines, numbers, state or memory: they are cut or stopped, and nobody else pays.

use std::time::Instant;

use anyhow::{Result, ensure};
use sandbar::control::ConnectorState;
use sandbar_tests::logs;

use crate::{config, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_cut() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3"]).await?;
    for mode in ["log-flood", "stdout-flood", "stderr-flood"] {
        let (name, topic) = (format!("loud-{mode}"), format!("out-{mode}"));
        let more = [("count", "20000"), ("message", name.as_str()), ("topic", topic.as_str())];
        let started = Instant::now();
        worker.define(&name, &config("transform", mode, &more))?;
        worker.read(&topic, 3).await?;
        // 500 at once, then 50 a second, and what the host says of it itself.
        let most = 520 + 55 * usize::try_from(started.elapsed().as_secs())?.saturating_add(1);
        let lines = logs::lines(&[&name]).len();
        ensure!((500..=most).contains(&lines), "{mode}: {lines} lines");
        logs::line(&["logs too much, lines are left out for now", &name]).await?;
        worker.probe().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_cut() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3"]).await?;
    worker.define("metered", &config("transform", "metric-flood", &[("count", "10000")]))?;
    worker.read("out", 3).await?;
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_bounded() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1"]).await?;
    let more = [("count", "10000"), ("sandbox.state.max.bytes", "1000000")];
    worker.define("hoarding", &config("transform", "state-flood", &more))?;
    let reason = worker.reason("hoarding", ConnectorState::Failed).await?;
    ensure!(reason.contains("plugin faulty 0.1.0, connector hoarding, task 0: transform: "), "{reason}");
    ensure!(reason.contains("state"), "{reason}");
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_leaks_costs_an_instance_now_and_then_and_no_record() -> Result<()> {
    let mut worker = worker().await?;
    let values: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let more = [("sandbox.memory.max.bytes", "8388608"), ("batch.max.records", "1"), ("errors.tolerance", "all")];
    worker.define("leaking", &config("transform", "leak", &more))?;
    for value in &values {
        worker.write("in", &[value]).await?;
    }
    let passed: Vec<_> = worker.read("out", values.len()).await?.iter().map(|row| row.text()).collect();
    ensure!(passed == values, "{passed:?}");
    let connector = worker.wait("leaking", |c| c.state == ConnectorState::Running).await?;
    let totals = connector.totals();
    ensure!((2..=10).contains(&totals.instances) && totals.dropped == 0, "{totals:?}");
    worker.probe().await
}
