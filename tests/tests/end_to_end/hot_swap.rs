//! A plugin's file is replaced while it runs: by a newer version, which takes over without a record lost or doubled, and
//! by files that are no plugin, which change nothing.

use anyhow::{Context as _, Result, ensure};
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::scenario::Home;
use sandbar_tests::worker::{InProcess, find};
use sandbar_tests::{plugins, topics};
use serde_json::{Value, json};

use crate::{PARTITIONS, numbers};

sandbar_tests::on_both_brokers!(versions_change_without_a_seam);

/// How many records pass between two changes.
const STRETCH: u64 = 10_000;
/// Records a second: fast enough that every change lands in the middle.
const RATE: u32 = 20_000;

async fn versions_change_without_a_seam(home: &Home) -> Result<()> {
    home.install(&["datagen"])?;
    home.place("step.wasm", &step(1)?)?;
    let (from, to, name) = (home.name("from"), home.name("to"), home.name("step"));
    home.define("numbers", &numbers('a', &from, RATE, None))?;
    home.define(
        "step",
        &json!({
            "connector.class": "step",
            "tasks.max": 2,
            "topics": from,
            "topic": to,
            "topic.creation.default.partitions": PARTITIONS,
        }),
    )?;
    let mut worker = home.start_inside()?;
    let first = pass(&mut worker, &name, 0).await?;
    ensure!(version(&first) == Some("1.0.0"), "{:?}", first.plugin);

    home.place("step.wasm", &step(2)?)?;
    worker
        .until_connector(&name, "runs version 2", |step| {
            let all_run = step.tasks.len() == 2 && step.tasks.iter().all(|task| task.state == ConnectorState::Running);
            version(step) == Some("2.0.0") && all_run
        })
        .await?;
    pass(&mut worker, &name, 0).await?;

    // Not a module at all, half a module, a module that is no plugin.
    let whole = step(3)?;
    let half = whole.get(..whole.len() / 2).context("it has a half")?;
    for wrong in [&b"not a module"[..], half, b"\0asm\x01\0\0\0"] {
        let seen = home.log().length();
        home.place("step.wasm", wrong)?;
        home.log().until(seen, "plugin refused", "step.wasm").await?;
        let before = find_step(&mut worker, &name).await?;
        let after = pass(&mut worker, &name, before.totals().records_out).await?;
        ensure!(version(&after) == Some("2.0.0"), "{:?}", after.plugin);
        ensure!(after.totals().instances == before.totals().instances, "it was started again: {:?}", after.totals());
    }

    home.remove("numbers.json")?;
    worker.until("the source is gone", |status| find(status, &home.name("numbers")).is_none()).await?;
    let broker = home.broker().await?;
    let sent = topics::read(&*broker, &from).await?;
    let passed = topics::read_until(&*broker, &to, sent.len()).await?;
    worker.stop().await?;

    let (sent, passed) = (topics::values_by_partition(&sent), topics::values_by_partition(&passed));
    for (partition, sent) in &sent {
        let passed = passed.get(partition).with_context(|| format!("nothing in partition {partition}"))?;
        ensure!(sent.len() == passed.len(), "partition {partition}: {} sent, {} passed", sent.len(), passed.len());
        let mut versions = Vec::new();
        for (sent, passed) in sent.iter().zip(passed) {
            let mut value: Value = serde_json::from_str(passed)?;
            let version = value.as_object_mut().and_then(|fields| fields.remove("by")).and_then(|by| by.as_u64());
            versions.push(version.with_context(|| format!("{passed} was not marked"))?);
            ensure!(value == serde_json::from_str::<Value>(sent)?, "partition {partition}: {sent} became {passed}");
        }
        ensure!(versions.is_sorted(), "partition {partition}: the older version came back");
        ensure!(versions.first() == Some(&1) && versions.last() == Some(&2), "partition {partition}: one version only");
    }
    Ok(())
}

/// Version `n` of a plugin that marks records with its version.
fn step(n: i32) -> Result<Vec<u8>> {
    plugins::variant("json-transform", |manifest| {
        manifest["name"] = "step".into();
        manifest["version"] = format!("{n}.0.0").into();
        manifest["config"]["required"] = json!([]);
        manifest["config"]["properties"]["operations"]["default"] = json!([{"op": "set", "field": "by", "value": n}]);
    })
}

/// Waits until another stretch of records has passed.
async fn pass(worker: &mut InProcess, name: &str, before: u64) -> Result<ConnectorStatus> {
    let enough = before + STRETCH;
    worker.until_connector(name, &format!("has passed {enough}"), |step| step.totals().records_out >= enough).await
}

async fn find_step(worker: &mut InProcess, name: &str) -> Result<ConnectorStatus> {
    worker.until_connector(name, "is there", |_| true).await
}

fn version(connector: &ConnectorStatus) -> Option<&str> {
    connector.plugin.as_ref().map(|(_, version)| version.as_str())
}
