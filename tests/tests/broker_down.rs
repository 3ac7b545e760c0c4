//! Kafka is down when the worker starts, and goes down again while records flow: the worker says so, keeps trying, and
//! goes on by itself; nothing is lost or doubled. The broker is one of this test's own.

use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar_tests::checks;
use sandbar_tests::files::Lines;
use sandbar_tests::own_kafka::OwnKafka;
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
/// A lone broker that comes back is held for dead until its earlier self's session is over. If it ends a transaction that
/// is past its time-out in these seconds, it takes the partitions for deleted, and never marks them as aborted. Here it
/// looks for such transactions later, and those are ended by their successors; see docs/delivery.md.
const LOOKS_LATE: &str = "transaction.abort.timed.out.transaction.cleanup.interval.ms=60000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_down_at_the_start_and_in_the_middle() -> Result<()> {
    // Where the suite has no Kafka, its jars may not be there either.
    sandbar_tests::kafka_or_skip!(Ok(()));
    let kafka = OwnKafka::start("down", &[LOOKS_LATE])?;
    scenario::run(On::Kafka(kafka.bootstrap().to_owned()), async |home| {
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
        home.log().until(0, "not in the worker group", &home.name("workers")).await?;
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
        // In good order: a lone broker that is killed while a transaction ends may forget its markers.
        kafka.halt()?;
        home.log().until(before, "failed", &home.name("numbers")).await?;
        worker.check()?;
        kafka.revive()?;
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
