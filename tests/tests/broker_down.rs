//! Kafka is down when the worker starts, and out of reach again while records flow: the worker says so, keeps trying, and
//! goes on by itself; nothing is lost or doubled. The broker is one of this test's own.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use sandbar_tests::checks;
use sandbar_tests::files::Lines;
use sandbar_tests::own_kafka::{Node, OwnCluster};
use sandbar_tests::proxy::Mode;
use sandbar_tests::scenario::{self, On};
use sandbar_tests::wait::{self, Seen};
use serde_json::json;

const RECORDS: u32 = 60_000;
const RATE: u32 = 5_000;
const PARTITIONS: i32 = 4;
/// A transaction's time-out follows from it; a commit that hangs is given up after that and a grace. The default would
/// have the test wait for minutes.
const CALL_TIMEOUT_MS: u32 = 2_000;
/// A commit is given up, a restart follows.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_down_at_the_start_and_in_the_middle() -> Result<()> {
    // Where the suite has no Kafka, its jars may not be there either.
    sandbar_tests::kafka_or_skip!(Ok(()));
    let cluster = OwnCluster::start("down", 1, &[]).await?;
    let Some(Node { kafka, proxy }) = cluster.nodes().first() else { bail!("there is no broker") };
    scenario::run(On::Kafka(cluster.proxied()), async |home| {
        home.install(&["datagen", "file-sink"])?;
        let topic = home.name("numbers");
        home.define(
            "numbers",
            &json!({
                "connector.class": "datagen",
                "topic": topic,
                "topic.creation.default.partitions": PARTITIONS,
                "rate": RATE,
                "count": RECORDS,
                "key": "key-{{int 0 999}}",
                "template": r#"{"n": "{{seq}}", "s": "a"}"#,
                "sandbox.call.timeout.ms": CALL_TIMEOUT_MS,
            }),
        )?;
        home.define(
            "files",
            &json!({
                "connector.class": "file-sink",
                "topics": topic,
                "topic.creation.default.partitions": PARTITIONS,
                "path": home.out().join("{partition}.jsonl"),
                "sandbox.fs.write": home.out(),
                "sandbox.call.timeout.ms": CALL_TIMEOUT_MS,
                "consumer.override.session.timeout.ms": 6000,
            }),
        )?;
        let mut lines = Lines::of(home.out());

        kafka.crash()?;
        let mut worker = home.start()?;
        home.log().until(0, "what operators want of connectors cannot be read", &home.name("workers")).await?;
        worker.check()?;
        kafka.revive()?;
        let quarter = u64::from(RECORDS / 4);
        wait::until("a quarter is in files", LIMIT, async || {
            worker.check()?;
            let count = lines.count()?;
            Ok(Seen::when(count >= quarter, || format!("{count} lines")))
        })
        .await?;

        let before = home.log().length();
        // The broker itself stays up: a lone one that ends while a transaction commits may forget its markers. Brokers that
        // go and come back under load are those of `fire/outages`.
        proxy.set(Mode::Cut);
        home.log().until(before, "failed", &home.name("numbers")).await?;
        worker.check()?;
        proxy.set(Mode::Pass);
        wait::until("all is in files", LIMIT, async || {
            worker.check()?;
            let count = lines.count()?;
            Ok(Seen::when(count >= u64::from(RECORDS), || format!("{count} lines")))
        })
        .await?;
        let status = worker.terminate().await?;
        ensure!(status.success(), "{status}");

        let broker = home.broker().await?;
        let sent = checks::read(&*broker, &topic, PARTITIONS).await?;
        checks::complete("topic", &sent, &[('a', RECORDS)])?;
        checks::same("topic and files", &sent, &checks::in_files(&home.out(), PARTITIONS)?)
    })
    .await
}
