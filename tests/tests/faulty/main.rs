//! Faulty plugins in a whole host, on the embedded broker: what becomes of their connectors and their records, and that a
//! healthy neighbour does not notice.

mod dead_letters;
mod failures;
mod floods;

use anyhow::Result;
use sandbar_tests::in_process::{Worker, example};

/// A worker with the plugin `faulty`, which as `neighbour` passes records all the while.
pub(crate) async fn worker() -> Result<Worker> {
    let mut worker = Worker::start().await?;
    worker.put("faulty.wasm", &example("faulty")?)?;
    worker.start_neighbour("faulty").await?;
    Ok(worker)
}

/// The configuration of a faulty connector, and more keys.
pub(crate) fn config<'a>(kind: &'a str, mode: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut config = vec![("connector.class", "faulty"), ("connector.type", kind), ("mode", mode)];
    match kind {
        "source" => config.push(("topic", "out")),
        "sink" => config.push(("topics", "in")),
        _ => config.extend([("topics", "in"), ("topic", "out")]),
    }
    // Later keys win.
    config.extend_from_slice(more);
    config
}
