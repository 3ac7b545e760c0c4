//! A task that can get on with nothing still answers its group: partitions that are to move do, and what was in hand comes
//! again where it went.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar::broker::{Input, SessionSpec, TopicSettings, Topics};
use sandbar_tests::contract::{Fixture, Task, within};
use sandbar_tests::scenario::{self, Home, On};
use sandbar_tests::topics;
use sandbar_tests::worker::find;
use serde_json::json;

const PARTITIONS: i32 = 4;
const RECORDS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transform_that_waits_lets_partitions_go() -> Result<()> {
    waits("transform").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_waits_lets_partitions_go() -> Result<()> {
    waits("sink").await
}

async fn waits(kind: &'static str) -> Result<()> {
    let brokers = sandbar_tests::kafka_or_skip!(Ok(()));
    scenario::run(On::Kafka(brokers), async |home| scenario(home, kind).await).await
}

/// One task holds all partitions and waits without end; another member of its group gets its share, and then all.
async fn scenario(home: &Home, kind: &str) -> Result<()> {
    let broker = home.broker().await?;
    let (from, to, name) = (home.name("from"), home.name("to"), home.name("waits"));
    topics::create(&*broker, &from, PARTITIONS).await?;
    let values = (0..RECORDS).map(|n| n.to_string());
    topics::write_values(&*broker, &from, values).await?;
    home.install(&["faulty"])?;
    let mut config = json!({
        "connector.class": "faulty",
        "connector.type": kind,
        "topics": from,
        "mode": "retryable",
        "message": "its system is down",
        "errors.retry.timeout": -1,
        "errors.retry.delay.max.ms": 60_000,
    });
    if kind == "transform" {
        config["topic"] = to.into();
    }
    home.define("waits", &config)?;
    let mut worker = home.start_inside()?;
    worker
        .until_connector(&name, "waits with a record in hand", |connector| {
            connector.tasks.iter().any(|task| task.trace.as_ref().is_some_and(|why| why.contains("is down")))
        })
        .await?;

    let fixture = Fixture::new(broker);
    let spec = SessionSpec {
        worker_group: home.name("others"),
        connector: home.name("other"),
        task: 0,
        input: Some(Input { group: format!("connect-{name}"), topics: Topics::Names(vec![from.clone()]) }),
        topic_settings: TopicSettings::default(),
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: Duration::from_secs(10),
    };
    let mut other = Task::open(&fixture, spec).await?;
    other.until_owned(PARTITIONS as usize / 2).await?;
    worker
        .until("the task waits on", |status| {
            find(status, &name).is_some_and(|c| c.tasks.iter().all(|t| t.trace.is_some()))
        })
        .await?;
    worker.stop().await?;
    within("read what the task has left", async {
        while other.pending.len() + other.done.len() < RECORDS {
            other.step().await?;
        }
        Ok(())
    })
    .await?;
    ensure!(other.owned.len() == PARTITIONS as usize, "it has all partitions now: {:?}", other.owned);
    other.commit().await?;
    let mut read: Vec<usize> = other.close().await?.iter().filter_map(|row| row.text().parse().ok()).collect();
    read.sort_unstable();
    assert_eq!(read, (0..RECORDS).collect::<Vec<_>>());
    Ok(())
}
