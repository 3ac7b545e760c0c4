//! A process may start and stop many hosts: one that has stopped gives back its engine, its threads and its files. It is a
//! program of its own, with one test: what others hold would be counted.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sandbar::control::ConnectorState;
use sandbar_tests::in_process::{Worker, example};
use sandbar_tests::wait::{self, Seen};

/// What a process holds: mappings, threads, open files.
fn held() -> Result<[usize; 3]> {
    let maps = std::fs::read_to_string("/proc/self/maps")?.lines().count();
    let [threads, files] =
        ["task", "fd"].map(|what| std::fs::read_dir(format!("/proc/self/{what}")).map(Iterator::count));
    Ok([maps, threads?, files?])
}

/// One whole life of a host: plugins are compiled or loaded, a connector works, dies, and is taken away; it stops.
async fn life() -> Result<()> {
    let mut worker = Worker::start_in(Arc::new(tempfile::tempdir()?)).await?;
    worker.put("faulty.wasm", &example("faulty")?)?;
    worker.start_neighbour("faulty").await?;
    let dying = [("connector.class", "faulty"), ("connector.type", "source"), ("topic", "dying"), ("mode", "trap")];
    worker.define("dying", &dying)?;
    worker.reason("dying", ConnectorState::Failed).await?;
    worker.probe().await?;
    ensure!(worker.stop().await?, "its tasks ended");
    Ok(())
}

#[test]
fn a_host_that_has_stopped_holds_nothing() -> Result<()> {
    let mut after = Vec::new();
    for _ in 0..4 {
        // A runtime each, as each process has one.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(life())?;
        drop(runtime);
        after.push(held()?);
    }
    println!("mappings, threads, files: {after:?}");
    let first = *after.first().context("a life")?;
    // A broker's own threads end by themselves, and let go of its file as they do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(wait::until("what the last one held is given back", wait::WITHIN, async || {
        let last = held()?;
        // An engine reserves thousands of mappings.
        let is_little = last[0] < first[0] + 500 && last[1] <= first[1] + 4 && last[2] <= first[2] + 8;
        Ok(Seen::when(is_little, || format!("{last:?} after {after:?}")))
    }))
}
