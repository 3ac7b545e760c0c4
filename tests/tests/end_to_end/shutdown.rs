//! SIGTERM: tasks finish what they have taken up, the worker exits with 0, and the next one goes on where it ended.

use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar_tests::checks;
use sandbar_tests::files::Lines;
use sandbar_tests::scenario::Home;
use sandbar_tests::wait::{self, Seen};
use serde_json::json;

use crate::{PARTITIONS, mark, numbers};

sandbar_tests::on_both_brokers!(sigterm_drains);

const RECORDS: u32 = 100_000;
/// A quarter of it a second, so that SIGTERM comes while all of it runs.
const RATE: u32 = 25_000;
/// How often the worker is told to end before all is done.
const STOPS: u64 = 3;

async fn sigterm_drains(home: &Home) -> Result<()> {
    home.install(&["datagen", "json-transform", "file-sink"])?;
    let (from, to) = (home.name("from"), home.name("to"));
    home.define("numbers", &numbers('a', &from, RATE, Some(RECORDS)))?;
    home.define("mark", &mark(1, &from, &to))?;
    home.define(
        "files",
        &json!({
            "connector.class": "file-sink",
            "topics": to,
            "topic.creation.default.partitions": PARTITIONS,
            "path": home.out().join("{partition}.jsonl"),
            "sandbox.fs.write": home.out(),
        }),
    )?;
    let mut lines = Lines::of(home.out());
    for stop in 1..=STOPS + 1 {
        let mut worker = home.start()?;
        let enough = u64::from(RECORDS) * stop / (STOPS + 1);
        wait::until(&format!("{enough} records are in files"), Duration::from_secs(120), async || {
            worker.check()?;
            let count = lines.count()?;
            Ok(Seen::when(count >= enough, || format!("{count} lines")))
        })
        .await?;
        let status = worker.terminate().await?;
        ensure!(status.success(), "stop {stop}: {status}");
        if stop == 1 {
            ensure!(lines.count()? < u64::from(RECORDS), "all was done before the first stop");
        }
    }
    let broker = home.broker().await?;
    let sent = checks::read(&*broker, &from, PARTITIONS).await?;
    checks::complete("input", &sent, &[('a', RECORDS)])?;
    let marked = checks::read(&*broker, &to, PARTITIONS).await?;
    checks::same("input and output", &sent, &marked)?;
    checks::same("output and files", &marked, &checks::in_files(&home.out(), PARTITIONS)?)
}
