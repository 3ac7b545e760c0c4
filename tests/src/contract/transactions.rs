//! Cases: what a task makes between two commits becomes visible together or not at all, and only the newest holder of
//! a transactional id may make anything visible.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use sandbar::broker::{
    BrokerErrorKind, Commit, ReadFrom, SourceOffset, StateChange, StatePlace, StateScope, TopicPartition,
    TopicPartitionOffset,
};

use super::fixture::{Fixture, WAIT, next, numbered, numbers};
use super::task::Task;

/// Records, consumed offsets, source offsets and state: all there after the commit, none after an abort.
pub async fn a_commit_is_all_or_nothing(fixture: &Fixture) -> Result<()> {
    let (input, out) = (fixture.topic("in", 1).await?, fixture.topic("out", 1).await?);
    fixture.write_numbers(&input, 0..10).await?;
    let scope = StateScope { stage: "".into(), place: StatePlace::Partition(TopicPartition::new(input.as_str(), 0)) };
    let offset = |n: &str| vec![SourceOffset { partition: r#"{"file":"a"}"#.into(), offset: Some(n.into()) }];
    let change = |value: &'static str| {
        vec![StateChange { scope: scope.clone(), key: "count".into(), value: Some(value.into()) }]
    };

    let mut task = Task::open(fixture, fixture.sink("mover", 0, &input)).await?;
    task.until_pending(10).await?;
    task.session.stage(numbered(&out, 0..10)?).await?;
    task.commit_with(offset("{\"line\":10}"), change("10")).await?;
    fixture.write_numbers(&input, 10..15).await?;
    task.until_pending(5).await?;
    task.session.stage(numbered(&out, 10..15)?).await?;
    task.close().await?;

    assert_eq!(numbers(&fixture.read_exactly(&out, 10).await?), (0..10).collect::<Vec<_>>());
    let mut task = Task::open(fixture, fixture.sink("mover", 0, &input)).await?;
    task.until_pending(5).await?;
    assert_eq!(numbers(&task.pending), (10..15).collect::<Vec<_>>());
    let offsets = task.session.load_offsets().await?;
    assert_eq!(offsets, [(r#"{"file":"a"}"#.to_owned(), r#"{"line":10}"#.to_owned())]);
    let state = task.session.load_state(&scope).await?;
    assert_eq!(state, [(Bytes::from("count"), Bytes::from("10"))]);
    task.close().await?;
    Ok(())
}

/// A commit that is made once more, because its acknowledgement came late, adds nothing.
pub async fn a_commit_made_twice_is_one(fixture: &Fixture) -> Result<()> {
    let (input, out) = (fixture.topic("in", 1).await?, fixture.topic("out", 1).await?);
    fixture.write_numbers(&input, 0..10).await?;
    let scope = StateScope { stage: "".into(), place: StatePlace::Partition(TopicPartition::new(input.as_str(), 0)) };
    let commit = Commit {
        consumed: vec![TopicPartitionOffset { partition: TopicPartition::new(input.as_str(), 0), offset: 10 }],
        source_offsets: vec![SourceOffset { partition: "{}".into(), offset: Some("{\"line\":10}".into()) }],
        state: vec![StateChange { scope: scope.clone(), key: "count".into(), value: Some("10".into()) }],
    };
    let mut task = Task::open(fixture, fixture.sink("twice", 0, &input)).await?;
    task.until_pending(10).await?;
    task.session.stage(numbered(&out, 0..10)?).await?;
    task.session.commit(commit.clone()).await?;
    task.session.commit(commit).await?;
    task.close().await?;

    assert_eq!(numbers(&fixture.read_exactly(&out, 10).await?), (0..10).collect::<Vec<_>>());
    fixture.write_numbers(&input, 10..15).await?;
    let mut task = Task::open(fixture, fixture.sink("twice", 0, &input)).await?;
    task.until_pending(5).await?;
    assert_eq!(numbers(&task.pending), (10..15).collect::<Vec<_>>());
    assert_eq!(task.session.load_offsets().await?, [("{}".to_owned(), r#"{"line":10}"#.to_owned())]);
    assert_eq!(task.session.load_state(&scope).await?, [(Bytes::from("count"), Bytes::from("10"))]);
    task.close().await?;
    Ok(())
}

/// A reader sees no record of an open transaction.
pub async fn nothing_shows_before_the_commit(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("hidden", 1).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    let mut reader = fixture.reader(&topic, ReadFrom::Beginning).await?;
    task.session.stage(numbered(&topic, 0..10)?).await?;
    let early = next(&mut *reader, WAIT).await?;
    ensure!(early.is_empty(), "visible before the commit: {early:?}");
    task.commit().await?;
    assert_eq!(numbers(&super::fixture::take(&mut *reader, 10).await?), (0..10).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// An abort costs what was staged since the last commit, and nothing else.
pub async fn an_abort_drops_what_was_staged(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("aborted", 1).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    task.session.stage(numbered(&topic, 0..3)?).await?;
    task.commit().await?;
    task.session.stage(numbered(&topic, 100..200)?).await?;
    task.abort().await?;
    task.abort().await?;
    task.session.stage(numbered(&topic, 3..5)?).await?;
    task.commit().await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 5).await?), (0..5).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// After an abort the same records come again, from the last commit on, or from the beginning without one.
pub async fn an_abort_rewinds_to_the_last_commit(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("rewound", 1).await?;
    fixture.write_numbers(&topic, 0..5).await?;
    let mut task = Task::open(fixture, fixture.sink("mover", 0, &topic)).await?;
    task.until_pending(5).await?;
    task.abort().await?;
    task.until_pending(5).await?;
    assert_eq!(numbers(&task.pending), (0..5).collect::<Vec<_>>());
    task.commit().await?;
    fixture.write_numbers(&topic, 5..9).await?;
    task.until_pending(4).await?;
    task.abort().await?;
    task.until_pending(4).await?;
    assert_eq!(numbers(&task.pending), (5..9).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// What was read and not committed comes again to the next session of the task.
pub async fn a_restart_resumes_at_the_last_commit(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("resumed", 2).await?;
    fixture.write_numbers(&topic, 0..20).await?;
    let mut task = Task::open(fixture, fixture.sink("mover", 0, &topic)).await?;
    task.until_pending(20).await?;
    task.commit().await?;
    fixture.write_numbers(&topic, 20..30).await?;
    task.until_pending(10).await?;
    task.close().await?;
    let mut task = Task::open(fixture, fixture.sink("mover", 0, &topic)).await?;
    task.until_pending(10).await?;
    task.step().await?;
    assert_eq!(numbers(&task.pending), (20..30).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// The older of two sessions with the same transactional id learns that it is no more.
pub async fn a_newer_session_fences_the_older(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("fenced", 1).await?;
    let mut older = Task::open(fixture, fixture.source("twin")).await?;
    older.session.stage(numbered(&topic, 0..1)?).await?;
    older.commit().await?;
    older.session.stage(numbered(&topic, 100..110)?).await?;
    let mut newer = Task::open(fixture, fixture.source("twin")).await?;
    let error = older.session.commit(Commit::default()).await.err().context("the older session still commits")?;
    assert_eq!(error.kind, BrokerErrorKind::Fenced, "{error}");
    newer.session.stage(numbered(&topic, 1..3)?).await?;
    newer.commit().await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 3).await?), [0, 1, 2]);
    drop(older);
    newer.close().await?;
    Ok(())
}

/// Closing a session aborts.
pub async fn closing_drops_the_open_transaction(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("closed", 1).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    task.session.stage(numbered(&topic, 100..200)?).await?;
    task.close().await?;
    fixture.write_numbers(&topic, 0..2).await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 2).await?), [0, 1]);
    Ok(())
}

/// A session that just goes away, as one of a killed task does, leaves nothing visible once the task is back.
pub async fn a_dropped_session_leaves_nothing(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("dropped", 1).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    task.session.stage(numbered(&topic, 100..200)?).await?;
    drop(task);
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    task.session.stage(numbered(&topic, 0..2)?).await?;
    task.commit().await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 2).await?), [0, 1]);
    task.close().await?;
    Ok(())
}

/// A commit needs no records, and no open transaction.
pub async fn an_empty_commit_is_a_commit(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("nothing", 1).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    task.session.commit(Commit::default()).await?;
    let offset = SourceOffset { partition: "{}".into(), offset: Some("{\"at\":1}".into()) };
    task.session.commit(Commit { source_offsets: vec![offset], ..Commit::default() }).await?;
    task.session.stage(numbered(&topic, 0..0)?).await?;
    task.session.commit(Commit::default()).await?;
    assert_eq!(task.session.load_offsets().await?, [("{}".to_owned(), "{\"at\":1}".to_owned())]);
    fixture.read_exactly(&topic, 0).await?;
    task.close().await?;
    Ok(())
}
