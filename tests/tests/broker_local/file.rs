//! The file: it survives a restart and a crash, other processes may open it, tools may look inside, a wrong one is
//! refused, and a full disk is survived.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use sandbar::broker::local::{LocalBroker, LocalOptions};
use sandbar::broker::{
    Broker as _, BrokerErrorKind, Commit, SourceOffset, StateChange, StatePlace, StateScope, TopicPartition,
    TopicPartitionOffset, TopicSettings, Topics,
};
use sandbar_tests::contract::{Task, output};
use tempfile::TempDir;

use crate::{Lock, fixture, keyed, read};

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
    let pattern = Topics::Pattern(format!("{topic}|{}", ours.name("later")));
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
async fn what_was_acknowledged_is_in_the_files_a_crash_leaves() -> Result<()> {
    let directory = TempDir::new()?;
    let (_, fixture) = fixture(&directory, LocalOptions::default())?;
    let topic = fixture.topic("t", 1).await?;
    let mut task = Task::open(&fixture, fixture.source("c")).await?;
    for commits in 1..=3 {
        let crashed = TempDir::new()?;
        task.session.stage(keyed(&topic, &[("k", Some("v"))])?).await?;
        task.session.commit(Commit::default()).await?;
        // No clean end: the files are taken as they are.
        for name in ["broker.db", "broker.db-wal"] {
            std::fs::copy(directory.path().join(name), crashed.path().join(name))?;
        }
        let image = LocalBroker::open(crashed.path())?;
        assert_eq!(read(&image, &topic).await?.len(), commits);
    }
    Ok(())
}

#[tokio::test]
async fn any_sqlite_tool_can_look_inside() -> Result<()> {
    let directory = TempDir::new()?;
    let (_, fixture) = fixture(&directory, LocalOptions::default())?;
    let topic = fixture.topic("t", 1).await?;
    let batch = output(&topic, |frame| {
        frame.record(Some(b"k"), Some(b"v")).timestamp(1_700_000_000_123).header("h", Some(b"1")).header("n", None);
        frame.record(None, None).timestamp(1_700_000_000_124);
    })?;
    fixture.write(batch).await?;
    let mut task = Task::open(&fixture, fixture.sink("c", 0, &topic)).await?;
    task.until_pending(2).await?;
    let place = TopicPartition::new(topic.as_str(), 0);
    let consumed = vec![TopicPartitionOffset { partition: place, offset: 1 }];
    task.session.commit(Commit { consumed, ..Commit::default() }).await?;

    let tool = rusqlite::Connection::open(directory.path().join("broker.db"))?;
    let record: (String, i64, String, String) = tool.query_row(
        "SELECT time, \"offset\", key, value FROM readable_records WHERE topic = ?1 ORDER BY \"offset\"",
        [&topic],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    assert_eq!(record, ("2023-11-14T22:13:20.123Z".into(), 0, "k".into(), "v".into()));
    let headers: Vec<u8> = tool.query_row("SELECT headers FROM records WHERE \"offset\" = 0", [], |row| row.get(0))?;
    assert_eq!(headers, b"\x01\0\0\0h\x01\0\0\x001\x01\0\0\0n\xff\xff\xff\xff");
    let lag: i64 = tool.query_row("SELECT lag FROM consumer_lag WHERE topic = ?1", [&topic], |row| row.get(0))?;
    assert_eq!(lag, 1);
    Ok(())
}

/// A host that starts and a tool that looks at its topics may both find that there is no file yet.
#[test]
fn several_may_make_the_file_at_once() -> Result<()> {
    for _ in 0..50 {
        let folder = tempfile::tempdir()?;
        let all = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            let open = || {
                all.wait();
                LocalBroker::open(folder.path()).map(drop)
            };
            let opened: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            opened.into_iter().try_for_each(|one| -> Result<()> { Ok(one.join().ok().context("it panicked")??) })
        })?;
    }
    Ok(())
}
