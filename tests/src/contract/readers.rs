//! Cases: readers outside any group, and what a broker says of its topics.

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::{CleanupPolicy, Created, ReadFrom, ReadSpec, TopicSettings};

use super::fixture::{Fixture, drain, next, numbered, numbers, output, settings, take};
use super::task::Task;

/// From the beginning, an offset, a time, and the end.
pub async fn a_reader_starts_where_it_is_told(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("starts", 1).await?;
    let batch = output(&topic, |frame| {
        for n in 0..10_i64 {
            frame.record(None, Some(n.to_string().as_bytes())).timestamp(1_700_000_000_000 + n * 1_000);
        }
    })?;
    fixture.write(batch).await?;
    let rows = fixture.read_exactly(&topic, 10).await?;
    for (from, first) in [
        (ReadFrom::Beginning, 0),
        (ReadFrom::Offset(rows[4].offset), 4),
        (ReadFrom::Timestamp(1_700_000_006_500), 7),
        (ReadFrom::Timestamp(1_700_000_003_000), 3),
        (ReadFrom::Timestamp(1), 0),
        (ReadFrom::Timestamp(1_800_000_000_000), 10),
        (ReadFrom::End, 10),
    ] {
        let mut reader = fixture.reader(&topic, from).await?;
        let read = numbers(&drain(&mut *reader).await?);
        assert_eq!(read, (first..10).collect::<Vec<_>>(), "{from:?}");
    }
    Ok(())
}

/// A reader at the end gets what comes, and only that.
pub async fn a_reader_follows_from_the_end(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("followed", 2).await?;
    fixture.write_numbers(&topic, 0..10).await?;
    fixture.read_exactly(&topic, 10).await?;
    let mut reader = fixture.reader(&topic, ReadFrom::End).await?;
    fixture.write_numbers(&topic, 10..20).await?;
    assert_eq!(numbers(&take(&mut *reader, 10).await?), (10..20).collect::<Vec<_>>());
    fixture.write_numbers(&topic, 20..25).await?;
    assert_eq!(numbers(&take(&mut *reader, 5).await?), (20..25).collect::<Vec<_>>());
    Ok(())
}

/// Aborted records are not seen, and the end is found past them, even where nothing follows.
pub async fn a_reader_ends_past_aborted_records(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("aborted", 1).await?;
    let mut task = Task::open(fixture, fixture.source("writer")).await?;
    for (numbers, commit) in [(0..5, true), (100..150, false), (5..10, true), (150..170, false)] {
        task.session.stage(numbered(&topic, numbers)?).await?;
        if commit { task.commit().await? } else { task.abort().await? }
    }
    fixture.read_exactly(&topic, 10).await?;
    let mut reader = fixture.reader(&topic, ReadFrom::Beginning).await?;
    assert_eq!(numbers(&drain(&mut *reader).await?), (0..10).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// A reader of some partitions reads no others; a partition that is not there is an error.
pub async fn a_reader_reads_the_partitions_it_names(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("some", 3).await?;
    let batch = output(&topic, |frame| {
        for partition in 0..3 {
            let place = frame.topic_partition(None, Some(partition));
            frame.record(None, Some(partition.to_string().as_bytes())).topic_partition(place);
        }
    })?;
    fixture.write(batch).await?;
    fixture.read_exactly(&topic, 3).await?;
    let spec = |partitions| ReadSpec { topic: topic.clone(), partitions: Some(partitions), from: ReadFrom::Beginning };
    let mut reader = fixture.broker().reader(spec(vec![0, 2])).await?;
    assert_eq!(numbers(&drain(&mut *reader).await?), [0, 2]);
    ensure!(fixture.broker().reader(spec(vec![3])).await.is_err(), "there is no partition 3");
    Ok(())
}

/// Reading what is not there is an error and creates nothing.
pub async fn reading_creates_no_topic(fixture: &Fixture) -> Result<()> {
    let name = fixture.name("missing");
    let spec = ReadSpec { topic: name.clone(), partitions: None, from: ReadFrom::Beginning };
    ensure!(fixture.broker().reader(spec).await.is_err(), "a reader of a topic that does not exist");
    let topics = fixture.broker().topics().await?;
    ensure!(topics.iter().all(|info| info.name != name), "reading created the topic");
    Ok(())
}

/// A topic is listed with the range of offsets each partition holds.
pub async fn topics_are_listed(fixture: &Fixture) -> Result<()> {
    let compacted = TopicSettings { cleanup_policy: CleanupPolicy::Compact, ..settings(1) };
    fixture.broker().create_topic(&fixture.name("listed-b"), &compacted).await?;
    let topic = fixture.topic("listed-a", 2).await?;
    let batch = output(&topic, |frame| {
        let second = frame.topic_partition(None, Some(1));
        for _ in 0..3 {
            frame.record(None, Some(b"x")).topic_partition(second);
        }
    })?;
    fixture.write(batch).await?;
    fixture.read_exactly(&topic, 3).await?;
    let topics = fixture.broker().topics().await?;
    ensure!(topics.is_sorted_by(|a, b| a.name < b.name), "topics are listed by name");
    let info = topics.iter().find(|info| info.name == topic).context("not listed")?;
    assert_eq!(info.partitions[0], (0, 0));
    let (start, end) = info.partitions[1];
    // A transaction's end marker takes an offset on Kafka.
    ensure!(start == 0 && (3..=4).contains(&end), "{start}..{end}");
    let other = topics.iter().find(|info| info.name == fixture.name("listed-b")).context("not listed")?;
    ensure!(other.cleanup_policy.is_none_or(|policy| policy == CleanupPolicy::Compact), "{other:?}");
    Ok(())
}

/// An existing topic stays as it is; a name no broker takes is refused.
pub async fn creating_twice_changes_nothing(fixture: &Fixture) -> Result<()> {
    let name = fixture.name("twice");
    assert_eq!(fixture.broker().create_topic(&name, &settings(2)).await?, Created::New);
    assert_eq!(fixture.broker().create_topic(&name, &settings(5)).await?, Created::Existed);
    fixture.write_numbers(&name, 0..3).await?;
    let mut reader = fixture.reader(&name, ReadFrom::Beginning).await?;
    assert_eq!(numbers(&take(&mut *reader, 3).await?), [0, 1, 2]);
    ensure!(next(&mut *reader, super::fixture::WAIT).await?.is_empty(), "more than was written");
    let topics = fixture.broker().topics().await?;
    let info = topics.iter().find(|info| info.name == name).context("not listed")?;
    assert_eq!(info.partitions.len(), 2);
    ensure!(fixture.broker().create_topic("no spaces, please", &settings(1)).await.is_err(), "an illegal name");
    Ok(())
}
