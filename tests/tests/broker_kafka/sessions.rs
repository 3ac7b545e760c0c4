//! What only a Kafka session has to be held to: membership while its task is busy, calls that are given up, and
//! records that the cluster refuses after they were staged.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::{BatchLimits, BrokerErrorKind, Commit, Consumed, TopicSettings};
use sandbar_tests::contract::{Fixture, Task, output, rows, within};

/// The shortest `max.poll.interval.ms` that a broker's default group settings leave room for.
const POLL_INTERVAL: Duration = Duration::from_secs(6);
/// A busy task is busy for longer than that.
const BUSY: Duration = Duration::from_secs(9);

async fn fixture() -> Result<Option<Fixture>> {
    Ok(crate::kafka().await?.map(Fixture::new))
}

fn numbered(frame: &mut sandbar_abi::FrameBuilder, count: usize) {
    for n in 0..count {
        frame.record(Some(n.to_string().as_bytes()), Some(n.to_string().as_bytes()));
    }
}

/// The time itself is what is tested here: nothing happens in it, and nothing may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_task_stays_in_its_group() -> Result<()> {
    let Some(fixture) = fixture().await? else { return Ok(()) };
    let topic = fixture.topic("busy", 1).await?;
    fixture.write(output(&topic, |frame| numbered(frame, 20))?).await?;
    let mut spec = fixture.sink("busy", 0, &topic);
    let interval = POLL_INTERVAL.as_millis().to_string();
    spec.consumer_overrides = BTreeMap::from([
        ("session.timeout.ms".to_owned(), interval.clone()),
        ("max.poll.interval.ms".to_owned(), interval),
    ]);
    let mut task = Task::open(&fixture, spec).await?;
    task.until_pending(20).await?;
    tokio::time::sleep(BUSY).await;
    task.commit().await?;
    assert_eq!(task.done.len(), 20, "the commit was refused: the group had given the task up");
    fixture.write(output(&topic, |frame| numbered(frame, 5))?).await?;
    task.until_pending(5).await?;
    assert_eq!(task.owned.len(), 1);
    task.close().await?;
    Ok(())
}

/// Whatever is read by a call that nobody waits for any more comes with the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_loses_no_record() -> Result<()> {
    const RECORDS: usize = 2_000;
    let Some(fixture) = fixture().await? else { return Ok(()) };
    let topic = fixture.topic("given-up", 3).await?;
    let mut task = Task::open(&fixture, fixture.sink("given-up", 0, &topic)).await?;
    task.until_owned(3).await?;
    fixture.write(output(&topic, |frame| numbered(frame, RECORDS))?).await?;
    let limits = BatchLimits { records: 7, bytes: 1 << 20 };
    let mut offsets = Vec::new();
    let mut given_up = 0;
    within("read everything", async {
        while offsets.len() < RECORDS {
            // Every other call is given up as soon as it is made.
            let patience = if given_up % 2 == 0 { Duration::from_micros(50) } else { Duration::from_secs(1) };
            given_up += 1;
            let call = task.session.consume(limits, Duration::from_secs(5));
            if let Ok(Consumed::Batches(batches)) = match tokio::time::timeout(patience, call).await {
                Ok(answer) => answer,
                Err(_) => continue,
            } {
                for batch in batches {
                    offsets.extend(rows(&batch)?.into_iter().map(|row| (row.partition, row.offset)));
                }
            }
        }
        Ok(())
    })
    .await?;
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), RECORDS, "each record came once");
    task.close().await?;
    Ok(())
}

/// The client lets the record pass, the cluster does not: the transaction is lost, the error says where and why, and
/// the session goes on after the abort.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_cluster_refuses_costs_the_transaction() -> Result<()> {
    let Some(fixture) = fixture().await? else { return Ok(()) };
    let topic = fixture.topic("refused", 1).await?;
    let mut spec = fixture.source("refused");
    spec.producer_overrides = BTreeMap::from([("message.max.bytes".to_owned(), "4000000".to_owned())]);
    let mut task = Task::open(&fixture, spec).await?;
    // Compression must not make it small.
    let mut noise = 1_u32;
    let value: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    })
    .take(2_000_000)
    .collect();
    let large = output(&topic, |frame| {
        frame.record(None, Some(&value));
    })?;
    let error = within("be refused", async {
        Ok(match task.session.stage(large).await {
            Ok(()) => task.session.commit(Commit::default()).await,
            refused => refused,
        })
    })
    .await?
    .err()
    .context("the cluster took two megabytes")?;
    assert_eq!(error.kind, BrokerErrorKind::Abortable, "{error}");
    ensure!(error.to_string().contains(&topic) && error.message.contains("too large"), "{error}");
    task.abort().await?;
    // What comes next must not pay for it: a task would blame good records.
    task.session.stage(output(&topic, |frame| numbered(frame, 3))?).await?;
    task.session.commit(Commit::default()).await?;
    assert_eq!(fixture.read_exactly(&topic, 3).await?.len(), 3);
    task.close().await?;
    Ok(())
}

/// Records thrown away half sent leave no gap that the next transaction would stumble over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_batch_leaves_the_producer_usable() -> Result<()> {
    let Some(fixture) = fixture().await? else { return Ok(()) };
    let topic = fixture.topic("used-again", 2).await?;
    let mut task = Task::open(&fixture, fixture.source("used-again")).await?;
    for _ in 0..20 {
        task.session.stage(output(&topic, |frame| numbered(frame, 500))?).await?;
        task.abort().await?;
    }
    task.session.stage(output(&topic, |frame| numbered(frame, 10))?).await?;
    task.session.commit(Commit::default()).await?;
    assert_eq!(fixture.read_exactly(&topic, 10).await?.len(), 10);
    task.close().await?;
    Ok(())
}

/// Settings that Kafka refuses are an error that says which, not a retry for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_no_cluster_meets_are_fatal() -> Result<()> {
    let Some(fixture) = fixture().await? else { return Ok(()) };
    let settings = TopicSettings { replication_factor: 99, ..TopicSettings::default() };
    let error = fixture.broker().create_topic(&fixture.name("ninety-nine"), &settings).await.err();
    let error = error.context("a topic with 99 replicas")?;
    assert_eq!(error.kind, BrokerErrorKind::Fatal, "{error}");
    ensure!(error.to_string().contains("ninety-nine"), "{error}");
    Ok(())
}
