//! A worker is killed twenty times in the middle of a million records: none is lost, none doubled, and the state is as if
//! nothing had happened.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::files::{self, Lines};
use sandbar_tests::scenario::{Home, On};
use sandbar_tests::wait::{self, Seen};
use sandbar_tests::worker::{Log, Process};
use sandbar_tests::{checks, topics};
use serde_json::json;

sandbar_tests::on_both_brokers!(killed_twenty_times);

const RECORDS: u32 = 1_000_000;
const PARTITIONS: i32 = 4;
const KILLS: u64 = 20;
/// One in so many kills comes while the worker starts, the others while records flow.
const EARLY: u64 = 5;
/// The words have so many letters; what is shorter, the records' numbers, is not counted.
const LETTERS: usize = 8;
/// How long the worker may need from one kill to the next.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the rest may need after the last one.
const REST: Duration = Duration::from_secs(300);

async fn killed_twenty_times(home: &Home) -> Result<()> {
    let mut chance = Chance::new()?;
    let about = chance.describe();
    scenario(home, &mut chance).await.context(about)
}

async fn scenario(home: &Home, chance: &mut Chance) -> Result<()> {
    let (lines, counts) = (home.name("lines"), home.name("counts"));
    define(home, &lines, &counts)?;
    let folder = home.out().join(&counts);
    let mut written = Lines::of(&folder);

    let mut moments: Vec<u64> = (0..KILLS).map(|_| chance.among(1..u64::from(RECORDS) * 19 / 20)).collect();
    moments.sort_unstable();
    for (nth, moment) in moments.into_iter().enumerate() {
        let events = home.log().length();
        let mut worker = home.start()?;
        if chance.among(0..EARLY) == 0 {
            starting(&mut worker, &home.log(), events, chance.among(1..12)).await?;
        } else {
            reached(&mut worker, &mut written, moment, LIMIT).await?;
        }
        worker.kill().with_context(|| format!("kill {nth}"))?;
    }
    ensure!(written.count()? < u64::from(RECORDS), "all was done before the last kill");

    let mut worker = home.start()?;
    reached(&mut worker, &mut written, RECORDS.into(), REST).await?;
    let events = home.log().events(0)?;
    let torn = events.iter().filter(|event| event.to_string().contains("unrecorded bytes off")).count();
    ensure!(torn > 0, "no kill came between a write and its commit");
    let status = worker.terminate().await?;
    ensure!(status.success(), "{status}");
    check(home, &lines, &counts).await
}

fn define(home: &Home, lines: &str, counts: &str) -> Result<()> {
    home.install(&["datagen", "word-count", "file-sink"])?;
    // The pace is one at which the source is still at work when the last kill comes.
    let rate = match home.on() {
        On::Embedded => 40_000,
        On::Kafka(_) => 20_000,
    };
    home.define(
        "lines",
        &json!({
            "connector.class": "datagen",
            "topic": lines,
            "topic.creation.default.partitions": PARTITIONS,
            "count": RECORDS,
            "rate": rate,
            "key": "{{int 0 999}}",
            "template": "{{seq}} {{pick absolute breaking champion daughter elephant fountain graphics hospital}}",
        }),
    )?;
    home.define(
        "count",
        &json!({
            "connector.class": "word-count",
            "tasks.max": 2,
            "topics": lines,
            "topic": counts,
            "topic.creation.default.partitions": PARTITIONS,
            "min.length": LETTERS,
            // On Kafka a killed task then has its partitions back before anybody misses it.
            "consumer.override.group.instance.id": "static",
        }),
    )?;
    home.define(
        "archive",
        &json!({
            "connector.class": "file-sink",
            "topics": counts,
            "topic.creation.default.partitions": PARTITIONS,
            "path": home.out().join("{topic}/{partition}.jsonl"),
            "sandbox.fs.write": home.out(),
            "consumer.override.group.instance.id": "static",
        }),
    )
}

/// Waits until so many lines are written.
async fn reached(worker: &mut Process, written: &mut Lines, lines: u64, limit: Duration) -> Result<()> {
    wait::until(&format!("{lines} lines are written"), limit, async || {
        worker.check()?;
        let count = written.count()?;
        Ok(Seen::when(count >= lines, || format!("{count} lines")))
    })
    .await
}

/// Waits until a worker that has just been started has logged so many events.
async fn starting(worker: &mut Process, log: &Log, from: usize, events: u64) -> Result<()> {
    wait::until(&format!("{events} events are logged"), LIMIT, async || {
        worker.check()?;
        let count = log.events(from)?.len() as u64;
        Ok(Seen::when(count >= events, || format!("{count} events")))
    })
    .await
}

async fn check(home: &Home, lines: &str, counts: &str) -> Result<()> {
    let broker = home.broker().await?;
    // The source: each number once, rising in each partition.
    checks::numbered_lines(&*broker, lines, RECORDS, PARTITIONS).await?;
    // The transform: each count of each word once, and the state they lead to.
    let model = checks::count(&*broker, lines, LETTERS).await?;
    checks::check_updates(&*broker, counts, &model).await?;
    checks::check_state(&*broker, &home.config()?.group_id, &home.name("count"), lines, &model).await?;
    // The sink: what the transform wrote, partition by partition, in order.
    let rows = topics::read(&*broker, counts).await?;
    for (partition, values) in topics::values_by_partition(&rows) {
        let lines = files::lines_of(&home.out().join(counts), partition)?;
        let differs = values.iter().zip(&lines).position(|(value, line)| value != line);
        ensure!(
            differs.is_none() && values.len() == lines.len(),
            "partition {partition}: {} records, {} lines, the first difference at {differs:?}",
            values.len(),
            lines.len()
        );
    }
    Ok(())
}
