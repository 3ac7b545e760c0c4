//! Cases: what is written is what is read, where and in the order it was meant to be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::{BrokerErrorKind, Output};

use super::fixture::{Fixture, Row, numbered, numbers, output, settings, within};
use super::task::Task;

/// Kafka's default limit is just above a mebibyte, the client's just below: this passes both.
const NEARLY_TOO_LARGE: usize = 900_000;
/// No default takes this.
const TOO_LARGE: usize = 5 << 20;

/// Nulls, empties, binary, repeated headers and timestamps.
pub async fn records_survive_the_trip(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("trip", 1).await?;
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    let batch = output(&topic, |frame| {
        frame.record(None, None).timestamp(1);
        frame.record(Some(b""), Some(b"")).timestamp(1_700_000_000_123);
        frame.record(Some(&every_byte), Some(&every_byte)).timestamp(1_700_000_000_122);
        frame.record(Some(b"key"), None).timestamp(1_700_000_000_124).header("only", Some(b"one"));
        let mut with_headers = frame.record(None, Some(b"value"));
        with_headers.timestamp(1_700_000_000_125);
        with_headers.header("a", Some(b"1")).header("b", None).header("a", Some(b"")).header("ä", Some(&every_byte));
    })?;
    task.session.stage(batch).await?;
    task.commit().await?;

    let rows = fixture.read_exactly(&topic, 5).await?;
    let parts = |row: &Row| (row.timestamp, row.key.clone(), row.value.clone());
    let bytes = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(parts(&rows[0]), (Some(1), None, None));
    assert_eq!(parts(&rows[1]), (Some(1_700_000_000_123), bytes(b""), bytes(b"")));
    assert_eq!(parts(&rows[2]), (Some(1_700_000_000_122), bytes(&every_byte), bytes(&every_byte)));
    assert_eq!(parts(&rows[3]), (Some(1_700_000_000_124), bytes(b"key"), None));
    assert_eq!(parts(&rows[4]), (Some(1_700_000_000_125), None, bytes(b"value")));
    assert!(rows[..3].iter().all(|row| row.headers.is_empty()));
    assert_eq!(rows[3].headers, [("only".to_owned(), bytes(b"one"))]);
    let expected = [("a", bytes(b"1")), ("b", None), ("a", bytes(b"")), ("ä", bytes(&every_byte))];
    assert_eq!(rows[4].headers, expected.map(|(name, value)| (name.to_owned(), value)));
    task.close().await?;
    Ok(())
}

/// A record without a timestamp gets the time it was written at.
pub async fn a_missing_timestamp_is_the_present(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("present", 1).await?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_millis());
    let before = now()?;
    fixture.write_numbers(&topic, 0..1).await?;
    let rows = fixture.read_exactly(&topic, 1).await?;
    let timestamp = u128::try_from(rows[0].timestamp.context("no timestamp")?)?;
    ensure!((before..=now()?).contains(&timestamp), "{timestamp} is not the present");
    Ok(())
}

/// A large record arrives unharmed.
pub async fn a_record_of_nearly_a_mebibyte_passes(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("large", 1).await?;
    let value: Vec<u8> = (0..NEARLY_TOO_LARGE).map(|i| (i * 31 % 251) as u8).collect();
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    task.session.stage(one(&topic, &value)?).await?;
    task.commit().await?;
    let rows = fixture.read_exactly(&topic, 1).await?;
    ensure!(rows[0].value.as_deref() == Some(&value), "the value is not what was written");
    task.close().await?;
    Ok(())
}

/// The record is named, nothing of its batch is staged, and the transaction goes on.
pub async fn a_record_too_large_is_rejected_with_its_batch(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("too-large", 1).await?;
    let value = vec![0_u8; TOO_LARGE];
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    task.session.stage(numbered(&topic, 0..1)?).await?;
    let refused = output(&topic, |frame| {
        frame.record(None, Some(b"100"));
        frame.record(None, Some(&value));
        frame.record(None, Some(b"101"));
    })?;
    rejected(&mut task, refused, 1).await?;
    task.session.stage(numbered(&topic, 1..2)?).await?;
    task.commit().await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 2).await?), [0, 1]);
    task.close().await?;
    Ok(())
}

/// A record that names a partition the topic has not is refused in the same way.
pub async fn an_unknown_partition_is_rejected_with_its_batch(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("two", 2).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    let refused = output(&topic, |frame| {
        let there = frame.topic_partition(None, Some(1));
        let nowhere = frame.topic_partition(None, Some(7));
        frame.record(None, Some(b"100")).topic_partition(there);
        frame.record(None, Some(b"101")).topic_partition(there);
        frame.record(None, Some(b"102")).topic_partition(nowhere);
    })?;
    rejected(&mut task, refused, 2).await?;
    task.session.stage(numbered(&topic, 0..1)?).await?;
    task.commit().await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 1).await?), [0]);
    task.close().await?;
    Ok(())
}

/// Records of one partition are read in the order they were staged, over batches and transactions.
pub async fn order_holds_within_a_partition(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("order", 3).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    for transaction in 0..5 {
        for batch in 0..4 {
            let start = (transaction * 4 + batch) * 50;
            task.session.stage(numbered(&topic, start..start + 50)?).await?;
        }
        task.commit().await?;
    }
    let rows = fixture.read_exactly(&topic, 1_000).await?;
    assert_eq!(numbers(&rows), (0..1_000).collect::<Vec<_>>());
    for partition in 0..3 {
        let of_partition: Vec<Row> = rows.iter().filter(|row| row.partition == partition).cloned().collect();
        let read: Vec<usize> = of_partition.iter().filter_map(|row| row.text().parse().ok()).collect();
        assert_eq!(read, numbers(&of_partition), "partition {partition} is out of order");
    }
    task.close().await?;
    Ok(())
}

/// Where a key goes does not depend on the broker: another client of the same topic must find it there too.
pub async fn keys_choose_partitions_as_in_kafka(fixture: &Fixture) -> Result<()> {
    // Hashes from the unit tests of Kafka's own client.
    let known: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let topic = fixture.topic("keys", 7).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    let batch = output(&topic, |frame| {
        for (key, _) in known {
            frame.record(Some(key.as_bytes()), Some(key.as_bytes()));
        }
    })?;
    task.session.stage(batch).await?;
    task.commit().await?;
    let rows = fixture.read_exactly(&topic, known.len()).await?;
    let found: BTreeMap<String, i32> = rows.iter().map(|row| (row.text(), row.partition)).collect();
    let expected = known.map(|(key, hash)| (key.to_owned(), (hash & i32::MAX) % 7));
    assert_eq!(found, BTreeMap::from(expected));
    task.close().await?;
    Ok(())
}

/// Records without a key go anywhere, once.
pub async fn records_without_a_key_all_arrive(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("keyless", 4).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    for batch in 0..8 {
        let batch = output(&topic, |frame| {
            for n in batch * 25..(batch + 1) * 25 {
                frame.record(None, Some(n.to_string().as_bytes()));
            }
        })?;
        task.session.stage(batch).await?;
    }
    task.commit().await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 200).await?), (0..200).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// A record's own topic and partition win over the output's topic and the partitioner.
pub async fn a_record_may_name_its_topic_and_partition(fixture: &Fixture) -> Result<()> {
    let (ours, other) = (fixture.topic("ours", 3).await?, fixture.topic("other", 3).await?);
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    let batch = output(&ours, |frame| {
        let partition = frame.topic_partition(None, Some(2));
        let topic = frame.topic_partition(Some(&other), None);
        let both = frame.topic_partition(Some(&other), Some(1));
        frame.record(Some(b"21"), Some(b"0"));
        frame.record(Some(b"21"), Some(b"1")).topic_partition(partition);
        frame.record(Some(b"21"), Some(b"2")).topic_partition(topic);
        frame.record(Some(b"21"), Some(b"3")).topic_partition(both);
    })?;
    task.session.stage(batch).await?;
    task.commit().await?;
    let by_hash = (-973_932_308 & i32::MAX) % 3;
    let places = |rows: &[Row]| -> BTreeSet<(String, i32)> { rows.iter().map(|r| (r.text(), r.partition)).collect() };
    let text = |text: &str| text.to_owned();
    assert_eq!(places(&fixture.read_exactly(&ours, 2).await?), [(text("0"), by_hash), (text("1"), 2)].into());
    assert_eq!(places(&fixture.read_exactly(&other, 2).await?), [(text("2"), by_hash), (text("3"), 1)].into());
    task.close().await?;
    Ok(())
}

/// A topic that does not exist is created with the session's settings by the first record for it.
pub async fn writing_creates_the_topic(fixture: &Fixture) -> Result<()> {
    let topic = fixture.name("created-by-writing");
    let mut spec = fixture.source("writer");
    spec.topic_settings = settings(3);
    let mut task = Task::open(fixture, spec).await?;
    task.session.stage(numbered(&topic, 0..10)?).await?;
    task.commit().await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 10).await?), (0..10).collect::<Vec<_>>());
    let topics = fixture.broker().topics().await?;
    let info = topics.iter().find(|info| info.name == topic).context("the topic is not listed")?;
    assert_eq!(info.partitions.len(), 3);
    task.close().await?;
    Ok(())
}

/// A hundred thousand records in one transaction.
pub async fn a_large_transaction_arrives_whole(fixture: &Fixture) -> Result<()> {
    const RECORDS: usize = 100_000;
    let topic = fixture.topic("many", 4).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    within("stage many records", async {
        for start in (0..RECORDS).step_by(1_000) {
            task.session.stage(numbered(&topic, start..start + 1_000)?).await?;
        }
        Ok(())
    })
    .await?;
    task.commit().await?;
    let read = numbers(&fixture.read_exactly(&topic, RECORDS).await?);
    ensure!(read.into_iter().eq(0..RECORDS), "not every record came once");
    task.close().await?;
    Ok(())
}

/// The tools' way to write creates topics too, and refuses what a session refuses.
pub async fn a_write_outside_a_task_is_durable(fixture: &Fixture) -> Result<()> {
    let topic = fixture.name("written-by-a-tool");
    fixture.broker().write(numbered(&topic, 0..20)?, &settings(2)).await?;
    assert_eq!(numbers(&fixture.read_exactly(&topic, 20).await?), (0..20).collect::<Vec<_>>());
    let value = vec![0_u8; TOO_LARGE];
    let refused = one(&topic, &value)?;
    let error = fixture.broker().write(refused, &settings(2)).await.err().context("the record was taken")?;
    assert_eq!(error.kind, BrokerErrorKind::Rejected { record: 0 }, "{error}");
    Ok(())
}

async fn rejected(task: &mut Task, refused: Output, record: usize) -> Result<()> {
    let error = task.session.stage(refused).await.err().context("the batch was staged")?;
    ensure!(error.kind == BrokerErrorKind::Rejected { record }, "{:?}: {error}", error.kind);
    Ok(())
}

fn one(topic: &str, value: &[u8]) -> Result<Output> {
    output(topic, |frame| {
        frame.record(Some(b"k"), Some(value));
    })
}
