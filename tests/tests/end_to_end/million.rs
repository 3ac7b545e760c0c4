//! A million records through the whole of it: none lost, none doubled, all in order.

use std::time::Duration;

use anyhow::Result;
use sandbar_tests::checks;
use sandbar_tests::files::Lines;
use sandbar_tests::scenario::Home;
use sandbar_tests::wait::{self, Seen};
use serde_json::json;

use crate::{PARTITIONS, mark, numbers};

sandbar_tests::on_both_brokers!(a_million_records);

/// Of each of the two sources.
const RECORDS: u32 = 500_000;
/// It takes about 20 seconds on two cores; tests run beside each other.
const LIMIT: Duration = Duration::from_secs(240);

async fn a_million_records(home: &Home) -> Result<()> {
    home.install(&["datagen", "json-transform", "file-sink"])?;
    let (orders, marked) = (home.name("orders"), home.name("marked"));
    for source in ['a', 'b'] {
        home.define(&source.to_string(), &numbers(source, &orders, 0, Some(RECORDS)))?;
    }
    let mut transform = mark(1, &orders, &marked);
    transform["tasks.max"] = 3.into();
    home.define("mark", &transform)?;
    home.define(
        "archive",
        &json!({
            "connector.class": "file-sink",
            "tasks.max": 2,
            "topics": marked,
            "topic.creation.default.partitions": PARTITIONS,
            "path": home.out().join("{topic}/{partition}.jsonl"),
            "sandbox.fs.write": home.out(),
        }),
    )?;

    let folder = home.out().join(&marked);
    let mut lines = Lines::of(&folder);
    let mut worker = home.start()?;
    wait::until("all records are in files", LIMIT, async || {
        worker.check()?;
        let count = lines.count()?;
        Ok(Seen::when(count >= u64::from(2 * RECORDS), || format!("{count} lines")))
    })
    .await?;
    let status = worker.terminate().await?;
    anyhow::ensure!(status.success(), "{status}");

    let broker = home.broker().await?;
    let sent = checks::read(&*broker, &orders, PARTITIONS).await?;
    checks::complete("input", &sent, &[('a', RECORDS), ('b', RECORDS)])?;
    let transformed = checks::read(&*broker, &marked, PARTITIONS).await?;
    checks::same("input and output of the transform", &sent, &transformed)?;
    let written = checks::in_files(&folder, PARTITIONS)?;
    checks::same("output of the transform and files", &transformed, &written)
}
