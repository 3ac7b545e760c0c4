//! Compaction and retention: the file does not grow for ever.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::local::LocalOptions;
use sandbar::broker::{Broker as _, BrokerErrorKind, CleanupPolicy, TopicSettings};
use sandbar_tests::contract::{Task, output};
use tempfile::TempDir;

use crate::{fixture, keyed, offsets, read};

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
