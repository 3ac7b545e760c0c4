//! Traces, from the poll of a source to the commit of a sink, as a collector gets them.

mod away;
mod collector;
mod follow;
mod records;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sandbar::config::{TracingConfig, WorkerConfig};
use sandbar_tests::in_process::{Worker, config, example};
use sandbar_tests::rest::Rest;
use tempfile::TempDir;

/// A worker on the embedded broker with these plugins, told by a file what to trace.
struct Traced {
    worker: Worker,
    rest: Rest,
}

impl Traced {
    async fn start(tracing: &str, plugins: &[&str]) -> Result<Self> {
        Self::start_trusting(tracing, plugins, None).await
    }

    /// The same, with certificates that are trusted besides those of the system.
    async fn start_trusting(tracing: &str, plugins: &[&str], ca: Option<PathBuf>) -> Result<Self> {
        let folder = Arc::new(tempfile::tempdir()?);
        let mut settings = config(folder.path());
        settings.rest.listen = Some("127.0.0.1:0".to_owned());
        settings.http_ca_file = ca;
        settings.tracing = read(&folder, tracing)?;
        let mut worker = Worker::start_with(folder, settings).await?;
        for name in plugins {
            worker.put(&format!("{name}.wasm"), &example(name)?)?;
        }
        let count = plugins.len();
        worker.status(|status| status.world.registry.iter().count() == count).await?;
        let rest = Rest::at(&worker.address().context("it listens")?.to_string());
        Ok(Self { worker, rest })
    }

    /// A counter of the worker's metrics.
    async fn counter(&self, name: &str) -> Result<u64> {
        let metrics = self.rest.get("/metrics").await?.text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.with_context(|| format!("no {name} in {metrics}"))?.parse().context("a number")
    }
}

/// What a file with this table `[tracing]` says.
fn read(folder: &Arc<TempDir>, tracing: &str) -> Result<TracingConfig> {
    let text = format!("[tracing]\n{tracing}\n");
    let read = WorkerConfig::parse(&folder.path().join("sandbar.toml"), text.as_bytes());
    let (worker, _) = read.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    Ok(worker.tracing)
}
