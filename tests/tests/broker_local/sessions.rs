//! Sessions, where the embedded broker promises more than the contract can ask of Kafka.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::local::LocalOptions;
use sandbar::broker::{
    Broker as _, BrokerErrorKind, Commit, StateChange, StatePlace, StateScope, TopicPartition, TopicPartitionOffset,
};
use sandbar_tests::contract::{Task, output, within};
use tempfile::TempDir;

use crate::{LIMITS, Lock, fixture, keyed, offsets, read};

#[tokio::test]
async fn only_the_owner_of_a_partition_commits_its_offsets_and_state() -> Result<()> {
    let directory = TempDir::new()?;
    let (_, fixture) = fixture(&directory, LocalOptions::default())?;
    let topic = fixture.topic("t", 1).await?;
    let place = TopicPartition::new(topic.as_str(), 0);
    let mut task = Task::open(&fixture, fixture.sink("c", 0, &topic)).await?;
    task.until_owned(1).await?;
    task.release(vec![place.clone()]).await?;
    let consumed = vec![TopicPartitionOffset { partition: place.clone(), offset: 1 }];
    let scope = StateScope { stage: "".into(), place: StatePlace::Partition(place) };
    let state = vec![StateChange { scope, key: "k".into(), value: None }];
    for commit in [Commit { consumed, ..Commit::default() }, Commit { state, ..Commit::default() }] {
        let error = task.session.commit(commit).await.err().context("the commit was taken")?;
        assert_eq!(error.kind, BrokerErrorKind::Rebalanced, "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_fenced_session_loses_its_partitions_at_once_and_is_told() -> Result<()> {
    let directory = TempDir::new()?;
    let (_, fixture) = fixture(&directory, LocalOptions::default())?;
    let topic = fixture.topic("t", 2).await?;
    let mut older = Task::open(&fixture, fixture.sink("c", 0, &topic)).await?;
    older.until_owned(2).await?;
    let mut newer = Task::open(&fixture, fixture.sink("c", 0, &topic)).await?;
    newer.until_owned(2).await?;
    let told = older.session.consume(LIMITS, Duration::ZERO).await.err().context("the older session still consumes")?;
    assert_eq!(told.kind, BrokerErrorKind::Fenced, "{told}");
    let error = older.session.commit(Commit::default()).await.err().context("the commit was taken")?;
    assert_eq!(error.kind, BrokerErrorKind::Fenced);
    drop(older);
    fixture.write_numbers(&topic, 0..10).await?;
    newer.until_pending(10).await?;
    Ok(())
}

#[tokio::test]
async fn a_commit_that_nobody_waited_for_counts_once() -> Result<()> {
    let directory = TempDir::new()?;
    let (broker, fixture) = fixture(&directory, LocalOptions::default())?;
    let (input, out) = (fixture.topic("in", 1).await?, fixture.topic("out", 1).await?);
    fixture.write_numbers(&input, 0..10).await?;
    let mut task = Task::open(&fixture, fixture.sink("c", 0, &input)).await?;
    task.until_pending(10).await?;
    let place = TopicPartition::new(input.as_str(), 0);
    let consumed = vec![TopicPartitionOffset { partition: place, offset: 10 }];
    task.session.stage(keyed(&out, &[("k", Some("v"))])?).await?;
    // Polled once, the commit is on its way to the writer, who waits for the file; then its caller gives up.
    let lock = Lock::take(directory.path())?;
    let mut commit = task.session.commit(Commit { consumed, ..Commit::default() });
    let given_up = std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context))).await;
    drop(commit);
    ensure!(given_up.is_pending(), "the commit did not wait for the file");
    lock.give_back()?;
    let error = task.session.commit(Commit::default()).await.err().context("the session goes on as if nothing was")?;
    assert_eq!(error.kind, BrokerErrorKind::Abortable);
    task.abort().await?;
    task.session.commit(Commit::default()).await?;
    assert_eq!(read(&broker, &out).await?.len(), 1, "written once");
    fixture.write_numbers(&input, 10..12).await?;
    task.until_pending(2).await?;
    assert_eq!(offsets(&task.pending), [10, 11], "the abort returns to where the commit went");
    Ok(())
}

#[tokio::test]
async fn a_transaction_is_bounded() -> Result<()> {
    let directory = TempDir::new()?;
    let (_, fixture) = fixture(&directory, LocalOptions::default())?;
    let topic = fixture.topic("t", 1).await?;
    let mut task = Task::open(&fixture, fixture.source("c")).await?;
    let value = vec![b'x'; 1_000_000];
    let batch = output(&topic, |frame| {
        for _ in 0..50 {
            frame.record(None, Some(&value));
        }
    })?;
    for _ in 0..5 {
        task.session.stage(batch.clone()).await?;
    }
    let error = task.session.stage(batch).await.err().context("more than the bound was staged")?;
    ensure!(error.kind == BrokerErrorKind::Abortable && error.message.contains("268435456"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_commit_at_once() -> Result<()> {
    const TASKS: u32 = 40;
    const COMMITS: usize = 10;
    let directory = TempDir::new()?;
    let (broker, fixture) = fixture(&directory, LocalOptions::default())?;
    // Nobody has created the topic: all find it missing at once.
    let topic = fixture.name("shared");
    let mut running = tokio::task::JoinSet::new();
    for number in 0..TASKS {
        let mut spec = fixture.source("many");
        spec.task = number;
        let mut session = broker.session(spec).await?;
        let topic = topic.clone();
        running.spawn(async move {
            for n in 0..COMMITS {
                session.stage(keyed(&topic, &[("k", Some(&n.to_string()))])?).await?;
                session.commit(Commit::default()).await?;
            }
            session.close().await?;
            anyhow::Ok(())
        });
    }
    let mut watching = Task::open(&fixture, fixture.sink("watcher", 0, &topic)).await?;
    within("all commits", async {
        while let Some(done) = running.join_next().await {
            done??;
        }
        Ok(())
    })
    .await?;
    watching.until_pending(TASKS as usize * COMMITS).await?;
    assert_eq!(offsets(&watching.pending), (0..i64::from(TASKS) * COMMITS as i64).collect::<Vec<_>>());
    Ok(())
}
