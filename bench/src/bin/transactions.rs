//! What exactly once costs: records passed from one topic of Apache Kafka to another, in batches of several sizes, by a
//! native loop without transactions, by one with a transaction for each batch, and by the host with a plugin that passes
//! them on. All three consume with one client, produce with one, and commit after each batch.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use sandbar::broker::{Broker, TopicSettings};
use sandbar::config::WorkerConfig;
use sandbar::wiring;
use sandbar_bench::{Host, median, plugin, row, table};
use serde_json::json;

/// Batch sizes, and how many records are passed in them: some seconds each.
const SIZES: [(usize, usize); 4] = [(10, 2_000), (100, 20_000), (1_000, 200_000), (10_000, 400_000)];
const RUNS: usize = 3;
const VALUE: [u8; 100] = [b'x'; 100];
const INPUT: &str = "bench-in";
/// How long any one wait of a client may last.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let brokers = std::env::args().nth(1).context("name the broker: transactions HOST:PORT")?;
    let folder = tempfile::tempdir()?;
    let worker = worker(folder.path(), &brokers)?;
    let broker = wiring::broker(&worker).await?;
    broker.create_topic(INPUT, &TopicSettings { partitions: 1, ..TopicSettings::default() }).await?;
    let most = SIZES.iter().map(|(_, records)| *records).max().unwrap_or_default();
    fill(&brokers, most)?;

    for (batch, records) in SIZES {
        let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for run in 0..RUNS {
            for (way, is_exact) in [("native, at least once", false), ("native, a transaction a batch", true)] {
                let output = topic(&*broker, &format!("{batch}-{run}-{is_exact}")).await?;
                let brokers = brokers.clone();
                let pass = move || native(&brokers, &output, batch, records, is_exact);
                let took = tokio::task::spawn_blocking(pass).await??;
                rates.entry(way).or_default().push(thousands(records, took));
            }
            let output = topic(&*broker, &format!("{batch}-{run}-host")).await?;
            let (passed, took) = host(&brokers, &output, batch, records).await?;
            rates.entry("the host").or_default().push(thousands(passed, took));
        }
        table(&format!("One topic to another, {batch} records a commit"));
        for (way, rates) in &rates {
            row(way, "thousand records/s", rates);
        }
        let of = |way: &str| rates.get(way).cloned().map_or(f64::NAN, median);
        let (plain, exact) = (of("native, at least once"), of("native, a transaction a batch"));
        println!("\nratio native, a transaction a batch / at least once: {:.2}", exact / plain);
        println!("\nratio the host / native, a transaction a batch: {:.2}", of("the host") / exact);
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // below a million
fn thousands(records: usize, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64() / 1e3
}

fn worker(folder: &Path, brokers: &str) -> anyhow::Result<WorkerConfig> {
    // A group of its own: the one before is missed for a while after it stopped.
    let group = folder.file_name().unwrap_or_default().to_string_lossy();
    let text = format!(
        "plugins = \"plugins\"\ndata = \"data\"\ngroup.id = \"{group}\"\n[kafka]\nbootstrap.servers = {}\n",
        serde_json::to_string(brokers)?
    );
    let parsed = WorkerConfig::parse(&folder.join("sandbar.toml"), text.as_bytes());
    parsed.map(|(worker, _)| worker).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

async fn topic(broker: &dyn Broker, name: &str) -> anyhow::Result<String> {
    let name = format!("bench-out-{name}");
    broker.create_topic(&name, &TopicSettings { partitions: 1, ..TopicSettings::default() }).await?;
    Ok(name)
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Fills the topic that all read.
fn fill(brokers: &str, records: usize) -> anyhow::Result<()> {
    let producer: BaseProducer = client(brokers).create()?;
    for number in 0..records {
        send(&producer, INPUT, number.to_string().as_bytes(), &VALUE)?;
    }
    Ok(producer.flush(LIMIT)?)
}

/// Queues a record, and waits where the queue is full.
fn send(producer: &BaseProducer, topic: &str, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    let started = Instant::now();
    while let Err((error, back)) = producer.send(record) {
        let is_full = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
        ensure!(is_full && started.elapsed() < LIMIT, "a record could not be queued: {error}");
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    Ok(())
}

/// Waits until everything is acknowledged. The wrapper's own way to do that looks ten times a second only.
fn delivered(producer: &BaseProducer) -> anyhow::Result<()> {
    let started = Instant::now();
    while producer.in_flight_count() > 0 {
        ensure!(started.elapsed() < LIMIT, "records were not acknowledged in time");
        producer.poll(Duration::from_millis(1));
    }
    Ok(())
}

/// Passes records in batches: consumed, produced, acknowledged, committed. Returns how long it took.
fn native(brokers: &str, output: &str, batch: usize, records: usize, is_exact: bool) -> anyhow::Result<Duration> {
    let group = format!("group-{output}");
    let mut settings = client(brokers);
    settings.set("group.id", &group).set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = settings.create()?;
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(INPUT, 0, Offset::Beginning)?;
    consumer.assign(&start)?;
    let mut settings = client(brokers);
    settings.set("enable.idempotence", "true");
    if is_exact {
        settings.set("transactional.id", &group);
    }
    let producer: BaseProducer = settings.create()?;
    if is_exact {
        producer.init_transactions(LIMIT)?;
    }
    // What it takes to connect is not what is measured.
    let mut next = Some(consumer.poll(LIMIT).context("no record came")??.detach());
    let started = Instant::now();
    let mut passed = 0;
    while passed < records {
        if is_exact {
            producer.begin_transaction()?;
        }
        let mut last = 0;
        for _ in 0..batch.min(records - passed) {
            let message = match next.take() {
                Some(message) => message,
                None => consumer.poll(LIMIT).context("no record came")??.detach(),
            };
            let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
            send(&producer, output, key, value)?;
            last = message.offset();
            passed += 1;
        }
        delivered(&producer)?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(INPUT, 0, Offset::Offset(last + 1))?;
        if is_exact {
            let group = consumer.group_metadata().context("the consumer has no group")?;
            producer.send_offsets_to_transaction(&offsets, &group, LIMIT)?;
            producer.commit_transaction(LIMIT)?;
        } else {
            consumer.commit(&offsets, CommitMode::Sync)?;
        }
    }
    Ok(started.elapsed())
}

/// Has the host pass records, and returns how many of them it passed in what time, once it was at work.
async fn host(brokers: &str, output: &str, batch: usize, records: usize) -> anyhow::Result<(usize, Duration)> {
    let folder = tempfile::tempdir()?;
    let plugins = folder.path().join("plugins");
    std::fs::create_dir_all(&plugins)?;
    std::fs::copy(plugin("faulty")?, plugins.join("faulty.wasm"))?;
    let definition = json!({ "name": output, "config": {
        "connector.class": "faulty",
        "connector.type": "transform",
        "mode": "none",
        "topics": INPUT,
        "topic": output,
        "batch.max.records": batch.min(10_000),
        "commit.max.records": 2 * batch, // those consumed and those staged both count
        // Longer than a batch takes; a transaction that may last longer is one that brokers refuse.
        "commit.interval.ms": 20_000,
    }});
    std::fs::write(plugins.join("pass.json"), definition.to_string())?;
    let mut host = Host::start_with(worker(folder.path(), brokers)?).await?;
    let out = |status: &sandbar::control::Status| {
        let passed: u64 = status.connectors.iter().map(|connector| connector.totals().records_out).sum();
        usize::try_from(passed).unwrap_or_default()
    };
    host.wait("the first records passed", |status| out(status) > 0).await?;
    let (before, started) = (out(&host.status.borrow()), Instant::now());
    host.wait("all records passed", |status| out(status) >= records).await?;
    let (passed, took) = (out(&host.status.borrow()) - before, started.elapsed());
    host.stop().await?;
    if passed == 0 {
        bail!("{records} records passed before anything could be measured");
    }
    Ok((passed, took))
}
