//! What only the embedded broker promises: one file that other processes may open, that survives a restart, that says
//! when it is full and goes on when it is not, and that does not grow for ever.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use sandbar::broker::local::{LocalBroker, LocalOptions};
use sandbar::broker::{
    BatchLimits, Broker, BrokerErrorKind, CleanupPolicy, Commit, Consumed, Output, ReadFrom, ReadSpec, SourceOffset,
    StateChange, StatePlace, StateScope, TopicPartition, TopicPartitionOffset, TopicSettings,
};
use sandbar_tests::contract::{Fixture, Row, Task, output, rows, within};
use tempfile::TempDir;

const LIMITS: BatchLimits = BatchLimits { records: 1_000_000, bytes: 1 << 30 };

fn fixture(directory: &TempDir, options: LocalOptions) -> Result<(LocalBroker, Fixture)> {
    let broker = LocalBroker::open_with(directory.path(), options)?;
    Ok((broker.clone(), Fixture::new(Arc::new(broker) as Arc<dyn Broker>)))
}

fn keyed(topic: &str, records: &[(&str, Option<&str>)]) -> Result<Output> {
    output(topic, |frame| {
        for (key, value) in records {
            frame.record(Some(key.as_bytes()), value.map(str::as_bytes));
        }
    })
}

async fn read(broker: &dyn Broker, topic: &str) -> Result<Vec<Row>> {
    let spec = ReadSpec { topic: topic.to_owned(), partitions: None, from: ReadFrom::Beginning };
    let mut reader = broker.reader(spec).await?;
    let mut all = Vec::new();
    while !reader.at_end() {
        for batch in reader.next(LIMITS, Duration::ZERO).await? {
            all.extend(rows(&batch)?);
        }
    }
    Ok(all)
}

fn offsets(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.offset).collect()
}

/// Holds the file as another process that writes to it does.
struct Lock(rusqlite::Connection);

impl Lock {
    fn take(directory: &Path) -> Result<Self> {
        let connection = rusqlite::Connection::open(directory.join("broker.db"))?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self(connection))
    }

    fn give_back(self) -> Result<()> {
        Ok(self.0.execute_batch("ROLLBACK")?)
    }
}

#[tokio::test]
async fn everything_committed_survives_a_restart() -> Result<()> {
    let directory = TempDir::new()?;
    let scope = StateScope { stage: "".into(), place: StatePlace::Task };
    let (topic, spec) = {
        let (_, fixture) = fixture(&directory, LocalOptions::default())?;
        let topic = fixture.topic("t", 2).await?;
        fixture.write_numbers(&topic, 0..50).await?;
        let spec = fixture.sink("c", 0, &topic);
        let mut task = Task::open(&fixture, spec.clone()).await?;
        task.until_pending(50).await?;
        let offset = SourceOffset { partition: "{}".into(), offset: Some("1".into()) };
        let change = StateChange { scope: scope.clone(), key: "k".into(), value: Some("v".into()) };
        task.commit_with(vec![offset], vec![change]).await?;
        fixture.write_numbers(&topic, 50..60).await?;
        (topic, spec)
    };
    let (_, fixture) = fixture(&directory, LocalOptions::default())?;
    assert_eq!(fixture.read_exactly(&topic, 60).await?.len(), 60);
    let mut task = Task::open(&fixture, spec).await?;
    task.until_pending(10).await?;
    assert_eq!(task.pending.len(), 10);
    assert_eq!(task.session.load_offsets().await?, [("{}".to_owned(), "1".to_owned())]);
    assert_eq!(task.session.load_state(&scope).await?, [(Bytes::from("k"), Bytes::from("v"))]);
    Ok(())
}

#[tokio::test]
async fn another_process_is_seen_within_moments() -> Result<()> {
    let directory = TempDir::new()?;
    let (_, ours) = fixture(&directory, LocalOptions::default())?;
    // A second broker on the file shares nothing with the first, as one in another process.
    let (_, theirs) = fixture(&directory, LocalOptions::default())?;
    let topic = ours.topic("t", 1).await?;
    let pattern = sandbar::broker::Topics::Pattern(format!("{topic}|{}", ours.name("later")));
    let mut task = Task::open(&ours, ours.subscriber("c", 0, pattern)).await?;
    task.until_owned(1).await?;
    theirs.write_numbers(&topic, 0..10).await?;
    task.until_pending(10).await?;
    let later = ours.name("later");
    theirs.write_numbers(&later, 10..20).await?;
    // A topic that this process has not noticed yet can be read and written at once.
    assert_eq!(ours.read_exactly(&later, 10).await?.len(), 10);
    ours.write_numbers(&later, 20..30).await?;
    task.until_pending(30).await?;
    assert_eq!(theirs.read_exactly(&later, 20).await?.len(), 20);
    Ok(())
}

#[test]
fn a_newer_schema_and_a_foreign_file_are_refused() -> Result<()> {
    let refusal = |path: &Path| LocalBroker::open(path).err().context("the file was opened").map(|e| e.to_string());
    let directory = TempDir::new()?;
    let newer = directory.path().join("newer.db");
    drop(LocalBroker::open(&newer)?);
    rusqlite::Connection::open(&newer)?.pragma_update(None, "user_version", 99)?;
    let message = refusal(&newer)?;
    ensure!(message.contains("schema 99, this version knows 1 at most"), "{message}");

    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign)?.execute_batch("CREATE TABLE theirs (a)")?;
    let message = refusal(&foreign)?;
    ensure!(message.contains("belongs to another program"), "{message}");

    let nonsense = directory.path().join("nonsense.db");
    std::fs::write(&nonsense, vec![b'x'; 10_000])?;
    let message = refusal(&nonsense)?;
    ensure!(message.contains("not a database"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_the_same_commit_succeeds_once_there_is_room() -> Result<()> {
    let directory = TempDir::new()?;
    let options = LocalOptions { max_file_bytes: Some(4 << 20), ..LocalOptions::default() };
    let (broker, fixture) = fixture(&directory, options)?;
    let settings = TopicSettings { retention_ms: Some(60_000), ..TopicSettings::default() };
    let (old, new) = (fixture.name("old"), fixture.name("new"));
    broker.create_topic(&new, &settings).await?;
    let large = vec![b'x'; 500_000];
    let stale = output(&old, |frame| {
        for _ in 0..4 {
            frame.record(None, Some(&large)).timestamp(1);
        }
    })?;
    broker.write(stale, &settings).await?;

    let fresh = output(&new, |frame| {
        for _ in 0..5 {
            frame.record(None, Some(&large));
        }
    })?;
    let mut large = Task::open(&fixture, fixture.source("large")).await?;
    let mut small = Task::open(&fixture, fixture.source("small")).await?;
    large.session.stage(fresh).await?;
    small.session.stage(keyed(&new, &[("k", Some("v"))])?).await?;
    // While the file is locked both commits get into the queue, and from there into one transaction.
    let lock = Lock::take(directory.path())?;
    let (_, refused, accepted, unlocked) = tokio::join!(
        broker.create_topic(&new, &settings),
        large.session.commit(Commit::default()),
        small.session.commit(Commit::default()),
        async { lock.give_back() },
    );
    unlocked?;
    let error = refused.err().context("there is no room for it")?;
    ensure!(error.kind == BrokerErrorKind::Retriable && error.message.contains("disk full"), "{error:?}");
    accepted.context("a small commit beside it has room")?;
    assert_eq!(read(&broker, &new).await?.len(), 1);

    broker.maintain().await?;
    large.session.commit(Commit::default()).await?;
    assert_eq!(read(&broker, &old).await?, []);
    assert_eq!(read(&broker, &new).await?.len(), 6);
    Ok(())
}

#[tokio::test]
async fn compaction_keeps_the_newest_of_each_key_and_forgets_deletions_later() -> Result<()> {
    let directory = TempDir::new()?;
    let options = LocalOptions { tombstone_retention: Duration::ZERO, ..LocalOptions::default() };
    let (broker, fixture) = fixture(&directory, options)?;
    let topic = fixture.name("compacted");
    let settings = TopicSettings { cleanup_policy: CleanupPolicy::Compact, ..TopicSettings::default() };
    let records = [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("c", Some("1")), ("b", None)];
    broker.write(keyed(&topic, &records)?, &settings).await?;
    broker.maintain().await?;
    assert_eq!(offsets(&read(&broker, &topic).await?), [2, 3, 4], "the deletion of b can still be seen");
    broker.write(keyed(&topic, &[("a", Some("3"))])?, &settings).await?;
    broker.maintain().await?;
    assert_eq!(offsets(&read(&broker, &topic).await?), [3, 5]);

    // A reader that comes across gaps, at the end too, gets to the end.
    broker.write(keyed(&topic, &[("d", None)])?, &settings).await?;
    for _ in 0..3 {
        broker.maintain().await?;
    }
    assert_eq!(offsets(&read(&broker, &topic).await?), [3, 5]);
    let mut task = Task::open(&fixture, fixture.sink("c", 0, &topic)).await?;
    task.until_pending(2).await?;
    task.commit().await?;
    broker.write(keyed(&topic, &[("e", Some("1"))])?, &settings).await?;
    task.until_pending(1).await?;
    assert_eq!(offsets(&task.pending), [7]);

    let keyless = output(&topic, |frame| {
        frame.record(None, Some(b"x"));
    })?;
    let error = broker.write(keyless, &settings).await.err().context("a record without a key was taken")?;
    assert_eq!(error.kind, BrokerErrorKind::Rejected { record: 0 });
    Ok(())
}

#[tokio::test]
async fn compaction_of_many_records_takes_several_steps() -> Result<()> {
    let directory = TempDir::new()?;
    let (broker, fixture) = fixture(&directory, LocalOptions::default())?;
    let topic = fixture.name("compacted");
    let settings = TopicSettings { cleanup_policy: CleanupPolicy::Compact, ..TopicSettings::default() };
    for round in 0..2 {
        let batch = output(&topic, |frame| {
            for n in 0..35_000 {
                frame.record(Some((n % 1_000).to_string().as_bytes()), Some(format!("{round}-{n}").as_bytes()));
            }
        })?;
        broker.write(batch, &settings).await?;
        broker.maintain().await?;
        let left = read(&broker, &topic).await?;
        assert_eq!(left.len(), 1_000);
        ensure!(left.iter().all(|row| row.text().starts_with(&format!("{round}-34"))), "not the newest: {:?}", left[0]);
    }
    Ok(())
}

#[tokio::test]
async fn retention_deletes_by_age_and_by_size() -> Result<()> {
    let directory = TempDir::new()?;
    let (broker, fixture) = fixture(&directory, LocalOptions::default())?;
    let (aged, sized, kept) = (fixture.name("aged"), fixture.name("sized"), fixture.name("kept"));
    let by_age = TopicSettings { retention_ms: Some(60_000), ..TopicSettings::default() };
    let by_size = TopicSettings { retention_ms: Some(-1), retention_bytes: Some(1_000), ..TopicSettings::default() };
    let by_default = TopicSettings::default();
    for (topic, settings) in [(&aged, &by_age), (&sized, &by_size), (&kept, &by_default)] {
        let batch = output(topic, |frame| {
            for _ in 0..30 {
                frame.record(None, Some(&[b'x'; 100])).timestamp(1);
            }
            frame.record(None, Some(&[b'x'; 100]));
            frame.record(None, Some(&[b'x'; 100])).timestamp(1);
        })?;
        broker.write(batch, settings).await?;
    }
    broker.maintain().await?;
    assert_eq!(offsets(&read(&broker, &aged).await?), [30, 31], "the first that may stay keeps what follows");
    assert_eq!(offsets(&read(&broker, &sized).await?), (22..32).collect::<Vec<_>>());
    assert_eq!(offsets(&read(&broker, &kept).await?), [30, 31], "seven days by default");
    let topics = broker.topics().await?;
    let info = topics.iter().find(|info| info.name == sized).context("not listed")?;
    assert_eq!(info.partitions, [(22, 32)]);

    let mut task = Task::open(&fixture, fixture.sink("c", 0, &sized)).await?;
    task.until_pending(10).await?;
    assert_eq!(offsets(&task.pending), (22..32).collect::<Vec<_>>());
    Ok(())
}

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
        assert_eq!(error.kind, BrokerErrorKind::Abortable, "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_fenced_session_loses_its_partitions_at_once() -> Result<()> {
    let directory = TempDir::new()?;
    let (_, fixture) = fixture(&directory, LocalOptions::default())?;
    let topic = fixture.topic("t", 2).await?;
    let mut older = Task::open(&fixture, fixture.sink("c", 0, &topic)).await?;
    older.until_owned(2).await?;
    let mut newer = Task::open(&fixture, fixture.sink("c", 0, &topic)).await?;
    newer.until_owned(2).await?;
    let told = older.session.consume(LIMITS, Duration::ZERO).await?;
    ensure!(matches!(&told, Consumed::Lost(partitions) if partitions.len() == 2), "{told:?}");
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
