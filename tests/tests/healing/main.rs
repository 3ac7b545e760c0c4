//! A host that helps itself, and lets itself be helped: versions that fail are rolled back, tasks that do not get on say so,
//! and operators pause, stop and restart what runs.

mod commands;
mod quarantine;
mod rollback;
mod stalled;

use std::sync::Arc;

use anyhow::Result;
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::in_process::Worker;
use sandbar_tests::plugins;
use serde_json::Value;

/// The connector that the tests are about.
pub(crate) const STEP: &str = "step";

/// A version of a transform that passes all records, but for its fault.
pub(crate) fn version(number: u32, fault: &[(&str, Value)]) -> Result<Vec<u8>> {
    plugins::variant("faulty", |manifest| {
        manifest["name"] = STEP.into();
        manifest["version"] = format!("{number}.0.0").into();
        for (key, value) in fault {
            manifest["config"]["properties"][*key]["default"] = value.clone();
        }
    })
}

/// A worker on a folder that passes records from `in` to `out` by version 1.
pub(crate) async fn start(folder: &Arc<tempfile::TempDir>) -> Result<Worker> {
    let mut worker = Worker::start_in(Arc::clone(folder)).await?;
    worker.put("step.wasm", &version(1, &[])?)?;
    worker.define(STEP, &config())?;
    worker.wait(STEP, |step| runs(step, 1)).await?;
    Ok(worker)
}

/// What its definition says.
pub(crate) fn config() -> [(&'static str, &'static str); 4] {
    [("connector.class", STEP), ("connector.type", "transform"), ("topics", "in"), ("topic", "out")]
}

/// Whether the connector runs that version.
pub(crate) fn runs(step: &ConnectorStatus, number: u32) -> bool {
    step.state == ConnectorState::Running && is_version(step, number)
}

/// Whether the connector has that version, in whatever state.
pub(crate) fn is_version(step: &ConnectorStatus, number: u32) -> bool {
    step.plugin.as_ref().is_some_and(|(_, version)| *version == format!("{number}.0.0"))
}

/// Passes one more record, and checks that nothing was lost or doubled: the values are the numbers from 1 on.
pub(crate) async fn pass(worker: &Worker, number: usize) -> Result<()> {
    worker.write("in", &[&number.to_string()]).await?;
    passed(worker, number).await
}

/// Waits until so many records have passed.
pub(crate) async fn passed(worker: &Worker, count: usize) -> Result<()> {
    let values: Vec<_> = worker.read("out", count).await?.iter().map(|row| row.text().to_owned()).collect();
    let expected: Vec<_> = (1..=count).map(|n| n.to_string()).collect();
    anyhow::ensure!(values == expected, "{values:?} passed");
    Ok(())
}
