//! Whatever may land in the plugin folder, and whatever may be wrong around it: each is named in one clear line of the log,
//! and the connector that runs keeps running.

mod definitions;
mod places;
mod plugins;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::in_process::{Worker, example};
use sandbar_tests::logs;

/// A worker with a connector that passes records all the while.
pub(crate) async fn worker() -> Result<Worker> {
    let mut worker = Worker::start().await?;
    worker.put("faulty.wasm", &example("faulty")?)?;
    worker.start_neighbour("faulty").await?;
    Ok(worker)
}

/// Waits until the log says these things of a file, and makes sure that the connector that runs still does.
pub(crate) async fn says(worker: &mut Worker, file: &Path, words: &[&str]) -> Result<String> {
    let path = file.to_str().context("a path that is UTF-8")?;
    let needles: Vec<_> = std::iter::once(path).chain(words.iter().copied()).collect();
    let line = logs::line(&needles).await?;
    worker.probe().await?;
    let lines = logs::lines(&needles);
    ensure!(lines.len() == 1, "it is said more than once: {lines:#?}");
    Ok(line)
}

/// Whether the tests run as a user whom no permission stops.
pub(crate) fn is_root() -> Result<bool> {
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}
