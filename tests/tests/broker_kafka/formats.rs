//! How source offsets and state lie in Kafka, byte by byte: other programs read and write the one, a later Sandbar both.
//! `docs/delivery.md` says the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::kafka::{KafkaBroker, KafkaOptions};
use sandbar::broker::partitioner::partition_of_key;
use sandbar::broker::{
    Broker, BrokerErrorKind, CleanupPolicy, Commit, SourceOffset, StateChange, StatePlace, StateScope, TopicInfo,
    TopicPartition,
};
use sandbar_tests::contract::{Fixture, Row, Task, output};
use sandbar_tests::wait::{self, Seen};

/// A broker whose offsets lie in a topic of this test alone, and that topic.
async fn fixture() -> Result<Option<(Fixture, String)>> {
    let Some(broker) = crate::kafka().await? else { return Ok(None) };
    let topic = Fixture::new(broker).name("offsets");
    let servers = sandbar_tests::kafka::bootstrap().context("there is a cluster")?;
    let options = KafkaOptions { offset_storage_topic: topic.clone(), ..KafkaOptions::new(servers) };
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::new(options)?);
    Ok(Some((Fixture::new(broker), topic)))
}

fn offset(partition: &str, offset: Option<&str>) -> SourceOffset {
    SourceOffset { partition: partition.to_owned(), offset: offset.map(str::to_owned) }
}

fn change(scope: &StateScope, key: &'static [u8], value: Option<&'static str>) -> StateChange {
    StateChange { scope: scope.clone(), key: key.into(), value: value.map(Into::into) }
}

async fn info(fixture: &Fixture, topic: &str) -> Result<TopicInfo> {
    let topics = fixture.broker().topics().await?;
    topics.into_iter().find(|info| info.name == topic).with_context(|| format!("there is no topic {topic}"))
}

/// The values of each key, in order, with the partition that all of them are in.
type ByKey = BTreeMap<String, (i32, Vec<Option<String>>)>;

fn by_key(rows: &[Row]) -> Result<ByKey> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone());
    let mut found = ByKey::new();
    for row in rows {
        let key = text(row.key.as_ref().context("a record without a key")?)?;
        let (partition, values) = found.entry(key.clone()).or_insert((row.partition, Vec::new()));
        ensure!(*partition == row.partition, "{key:?} lies in two partitions");
        values.push(row.value.as_ref().map(text).transpose()?);
    }
    Ok(found)
}

fn values(values: &[Option<&str>]) -> Vec<Option<String>> {
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_lie_as_kafka_connect_has_them() -> Result<()> {
    let Some((fixture, topic)) = fixture().await? else { return Ok(()) };
    let mut task = Task::open(&fixture, fixture.source("reader")).await?;
    let (a, b) = (r#"{"file":"a","host":"x"}"#, r#"{"file":"b","host":"x"}"#);
    for source_offsets in [
        vec![offset(a, Some(r#"{"line":1}"#)), offset(b, Some(r#"{"line":2}"#))],
        vec![offset(a, Some(r#"{"line":3}"#)), offset(b, None)],
    ] {
        task.session.commit(Commit { source_offsets, ..Commit::default() }).await?;
    }
    task.close().await?;

    let info = info(&fixture, &topic).await?;
    assert_eq!((info.partitions.len(), info.cleanup_policy), (25, Some(CleanupPolicy::Compact)));
    let connector = fixture.name("reader");
    let (key_a, key_b) = (format!(r#"["{connector}",{a}]"#), format!(r#"["{connector}",{b}]"#));
    let place = |key: &str| partition_of_key(key.as_bytes(), 25);
    let expected = BTreeMap::from([
        (key_a.clone(), (place(&key_a), values(&[Some(r#"{"line":1}"#), Some(r#"{"line":3}"#)]))),
        (key_b.clone(), (place(&key_b), values(&[Some(r#"{"line":2}"#), None]))),
    ]);
    assert_eq!(by_key(&fixture.read_exactly(&topic, 4).await?)?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_lies_in_the_partition_of_its_input() -> Result<()> {
    const PARTITIONS: i32 = 3;
    let Some((fixture, _)) = fixture().await? else { return Ok(()) };
    let input = fixture.topic("input", PARTITIONS).await?;
    let mut task = Task::open(&fixture, fixture.sink("counter", 0, &input)).await?;
    task.until_owned(3).await?;
    let scope = |stage: &str, partition| StateScope {
        stage: stage.into(),
        place: StatePlace::Partition(TopicPartition::new(input.as_str(), partition)),
    };
    let of_task = StateScope { stage: "".into(), place: StatePlace::Task };
    let mut state: Vec<_> = (0..PARTITIONS).map(|p| change(&scope("", p), b"word", Some("1"))).collect();
    state.push(change(&scope("mask", 2), b"\0k", Some("2")));
    state.push(change(&of_task, b"k", Some("3")));
    task.commit_with(Vec::new(), state).await?;
    let deleted = vec![change(&scope("", 1), b"word", None), change(&scope("", 2), b"word", Some("4"))];
    task.commit_with(Vec::new(), deleted).await?;
    task.close().await?;

    let topic = format!("sandbar-state-{}-{}", fixture.name("workers"), fixture.name("counter"));
    let info = info(&fixture, &topic).await?;
    assert_eq!((info.partitions.len(), info.cleanup_policy), (3, Some(CleanupPolicy::Compact)));
    let expected = BTreeMap::from([
        (format!("partition/{input}/0/\0word"), (0, values(&[Some("1")]))),
        (format!("partition/{input}/1/\0word"), (1, values(&[Some("1"), None]))),
        (format!("partition/{input}/2/\0word"), (2, values(&[Some("1"), Some("4")]))),
        (format!("partition/{input}/2/mask\0\0k"), (2, values(&[Some("2")]))),
        ("task/0/\0k".to_owned(), (0, values(&[Some("3")]))),
    ]);
    assert_eq!(by_key(&fixture.read_exactly(&topic, 7).await?)?, expected);
    Ok(())
}

/// Kafka Connect spells keys otherwise, which puts them into other partitions: what was written last counts, whoever wrote
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_another_writer_are_found() -> Result<()> {
    let Some((fixture, topic)) = fixture().await? else { return Ok(()) };
    let connector = fixture.name("moved");
    let canonical = r#"{"file":"a","host":"x"}"#;
    let mut task = Task::open(&fixture, fixture.source("moved")).await?;
    let first = Commit { source_offsets: vec![offset(r#"{"first":0}"#, Some("{}"))], ..Commit::default() };
    task.session.commit(first).await?;
    let millis = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let write = async |value: Option<&str>, timestamp| {
        let key = format!(r#"["{connector}", {{"host": "x", "file": "a"}}]"#);
        let record = output(&topic, |frame| {
            frame.record(Some(key.as_bytes()), value.map(str::as_bytes)).timestamp(timestamp);
        });
        fixture.write(record?).await
    };
    let ours = async |task: &mut Task, value: Option<&str>| {
        task.session.commit(Commit { source_offsets: vec![offset(canonical, value)], ..Commit::default() }).await
    };
    let found = async |task: &mut Task| -> Result<Option<String>> {
        let mut all: BTreeMap<_, _> = task.session.load_offsets().await?.into_iter().collect();
        ensure!(all.remove(r#"{"first":0}"#).as_deref() == Some("{}"), "{all:?}");
        let found = all.remove(canonical);
        ensure!(all.is_empty(), "{all:?}");
        Ok(found)
    };

    write(Some(r#"{ "line": 7 }"#), millis - 60_000).await?;
    assert_eq!(found(&mut task).await?.as_deref(), Some(r#"{"line":7}"#));
    ours(&mut task, Some(r#"{"line":8}"#)).await?;
    assert_eq!(found(&mut task).await?.as_deref(), Some(r#"{"line":8}"#));
    ours(&mut task, None).await?;
    assert_eq!(found(&mut task).await?, None, "it was deleted, whatever was there before");
    write(Some(r#"{"line": 9}"#), millis + 60_000).await?;
    assert_eq!(found(&mut task).await?.as_deref(), Some(r#"{"line":9}"#));
    // The other one's clock was ahead: what it wrote must not look newer than what came after it.
    ours(&mut task, Some(r#"{"line":10}"#)).await?;
    assert_eq!(found(&mut task).await?.as_deref(), Some(r#"{"line":10}"#));
    write(None, millis + 120_000).await?;
    assert_eq!(found(&mut task).await?, None);
    task.close().await?;
    Ok(())
}

/// The cluster refuses a record, so the transaction that it was in is aborted: what else was written in it does not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_aborted_is_not_loaded() -> Result<()> {
    let Some((fixture, topic)) = fixture().await? else { return Ok(()) };
    let out = fixture.topic("out", 1).await?;
    let mut spec = fixture.source("unlucky");
    spec.producer_overrides = BTreeMap::from([("message.max.bytes".to_owned(), "4000000".to_owned())]);
    spec.producer_overrides.insert("compression.type".to_owned(), "none".to_owned());
    let mut task = Task::open(&fixture, spec).await?;
    let scope = StateScope { stage: "".into(), place: StatePlace::Task };
    let commit = |line: &str, count| Commit {
        source_offsets: vec![offset(r#"{"file":"a"}"#, Some(line))],
        state: vec![change(&scope, b"count", Some(count))],
        ..Commit::default()
    };
    task.session.commit(commit(r#"{"line":1}"#, "1")).await?;
    let state_topic = format!("sandbar-state-{}-{}", fixture.name("workers"), fixture.name("unlucky"));
    let written = async |topic: &str| -> Result<i64> {
        Ok(info(&fixture, topic).await?.partitions.iter().map(|(_, end)| end).sum())
    };
    let written = async || anyhow::Ok((written(&topic).await?, written(&state_topic).await?));
    let before = written().await?;

    let large = output(&out, |frame| {
        frame.record(None, Some(&vec![0; 2_000_000]));
    })?;
    wait::until("something is written that is aborted", wait::WITHIN, async || {
        task.session.stage(large.clone()).await?;
        let refused = task.session.commit(commit(r#"{"line":2}"#, "2")).await.err().context("the cluster took it")?;
        assert_eq!(refused.kind, BrokerErrorKind::Abortable, "{refused}");
        task.abort().await?;
        // Where the refusal came first, nothing else of the transaction was sent.
        let after = written().await?;
        Ok(Seen::when(after.0 > before.0 && after.1 > before.1, || format!("{before:?}, {after:?}")))
    })
    .await?;
    task.close().await?;

    let mut task = Task::open(&fixture, fixture.source("unlucky")).await?;
    assert_eq!(task.session.load_offsets().await?, [(r#"{"file":"a"}"#.into(), r#"{"line":1}"#.into())]);
    assert_eq!(task.session.load_state(&scope).await?, [("count".into(), "1".into())]);
    task.close().await?;
    Ok(())
}
