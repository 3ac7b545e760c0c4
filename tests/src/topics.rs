//! Topics as tests look at them: records read to the end by content, written by hand, and never counted by offsets,
//! which have gaps.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sandbar::batch::Batch;
use sandbar::broker::{
    BatchLimits, Broker, BrokerError, BrokerErrorKind, Output, ReadFrom, ReadSpec, Reader, TopicSettings, Topics,
};
use sandbar_abi::{FrameBuilder, Record};

use crate::wait::{self, Seen};

/// Large answers: these topics hold a million records.
const LIMITS: BatchLimits = BatchLimits { records: 20_000, bytes: 8 << 20 };
/// How long one call of a reader waits.
const WAIT: Duration = Duration::from_millis(200);

/// A record as cases compare it: text, all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The partition.
    pub partition: i32,
    /// The offset, to look a record up by; never to count with.
    pub offset: i64,
    /// The key.
    pub key: Option<String>,
    /// The value.
    pub value: Option<String>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The headers; a name that comes twice counts once.
    pub headers: BTreeMap<String, String>,
}

/// Creates a topic.
pub async fn create(broker: &dyn Broker, topic: &str, partitions: i32) -> Result<()> {
    broker.create_topic(topic, &TopicSettings { partitions, ..TopicSettings::default() }).await?;
    Ok(())
}

/// Appends the records of a frame, durably.
pub async fn write(broker: &dyn Broker, topic: &str, build: impl FnOnce(&mut FrameBuilder)) -> Result<()> {
    let mut frame = FrameBuilder::new();
    build(&mut frame);
    let output = Output { topic: topic.into(), batch: Batch::build(&frame)? };
    Ok(broker.write(output, &TopicSettings::default()).await?)
}

/// Appends records with these values and no key, durably.
pub async fn write_values<V: AsRef<str>>(
    broker: &dyn Broker,
    topic: &str,
    values: impl IntoIterator<Item = V>,
) -> Result<()> {
    let append = |frame: &mut FrameBuilder| {
        for value in values {
            frame.record(None, Some(value.as_ref().as_bytes()));
        }
    };
    write(broker, topic, append).await
}

/// Passes every record that is committed now to `each`, with its partition; partition by partition in order.
pub async fn for_each(
    broker: &dyn Broker,
    topic: &str,
    mut each: impl FnMut(i32, &Record<'_>) -> Result<()>,
) -> Result<()> {
    let spec = ReadSpec { topic: topic.to_owned(), partitions: None, from: ReadFrom::Beginning };
    let mut reader = broker.reader(spec).await?;
    let mut idle = 0;
    while !reader.at_end() {
        let batches = reader.next(LIMITS, WAIT).await?;
        idle = if batches.is_empty() { idle + 1 } else { 0 };
        if idle > 150 {
            bail!("the reader of {topic} neither reads nor ends");
        }
        for batch in batches {
            for record in batch.batch.frame().records() {
                each(batch.partition.partition, &record).with_context(|| format!("a record of {}", batch.partition))?;
            }
        }
    }
    Ok(())
}

/// A reader of a topic, if there is one to be read: not while it is missing, nor while it has no leader yet.
pub async fn opened(broker: &dyn Broker, spec: ReadSpec) -> Result<Option<Box<dyn Reader>>> {
    let topic = Topics::Names(vec![spec.topic.clone()]);
    let reader = async {
        let is_there = !broker.administration().ranges(&topic).await?.is_empty();
        Ok(if is_there { Some(broker.reader(spec).await?) } else { None })
    };
    match reader.await {
        Err(error) if is_retriable(&error) => Ok(None),
        reader => reader,
    }
}

/// Counts the committed records of a topic while they come.
pub struct Counter(Box<dyn Reader>);

impl Counter {
    /// One that begins with the first record, once there is a topic.
    pub async fn open(broker: &dyn Broker, topic: &str) -> Result<Option<Self>> {
        let spec = ReadSpec { topic: topic.to_owned(), partitions: None, from: ReadFrom::Beginning };
        Ok(opened(broker, spec).await?.map(Self))
    }

    /// How many records there are that it has not counted yet; waits a little for some.
    pub async fn more(&mut self) -> Result<u64> {
        Ok(self.0.next(LIMITS, WAIT).await?.iter().map(|batch| batch.batch.len() as u64).sum())
    }
}

/// Every record that is committed now; none where there is no such topic.
pub async fn read(broker: &dyn Broker, topic: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if exists(broker, topic).await? {
        for_each(broker, topic, |partition, record| {
            rows.push(row(partition, record)?);
            Ok(())
        })
        .await?;
    }
    Ok(rows)
}

/// Whether there is such a topic.
pub async fn exists(broker: &dyn Broker, topic: &str) -> Result<bool> {
    let topic = Topics::Names(vec![topic.to_owned()]);
    Ok(!broker.administration().ranges(&topic).await?.is_empty())
}

/// Reads the topic until it holds so many records, and returns all of them. More than that is an error.
pub async fn read_until(broker: &dyn Broker, topic: &str, count: usize) -> Result<Vec<Row>> {
    let rows = wait::until(&format!("{topic} holds {count} records"), wait::WITHIN, async || {
        let rows = match read(broker, topic).await {
            // A topic that has just been created may have no leader yet.
            Err(error) if is_retriable(&error) => return Ok(Seen::NotYet(format!("{error:#}"))),
            rows => rows?,
        };
        Ok(if rows.len() < count { Seen::NotYet(format!("{} records", rows.len())) } else { Seen::Done(rows) })
    })
    .await?;
    ensure!(rows.len() == count, "{topic} holds {} records and not {count}", rows.len());
    Ok(rows)
}

/// Whether a broker's error may be gone the next time.
fn is_retriable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<BrokerError>().is_some_and(|error| error.kind == BrokerErrorKind::Retriable)
}

/// The values of each partition, in order.
#[must_use]
pub fn values_by_partition(rows: &[Row]) -> BTreeMap<i32, Vec<&str>> {
    let mut values: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for row in rows {
        values.entry(row.partition).or_default().push(row.value.as_deref().unwrap_or_default());
    }
    values
}

/// A record's value, as text.
pub fn value<'r>(record: &Record<'r>) -> Result<&'r str> {
    Ok(std::str::from_utf8(record.value.context("it has no value")?)?)
}

/// A record's key, as text.
pub fn key<'r>(record: &Record<'r>) -> Result<&'r str> {
    Ok(std::str::from_utf8(record.key.context("it has no key")?)?)
}

fn row(partition: i32, record: &Record<'_>) -> Result<Row> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Ok(Row {
        partition,
        offset: record.offset.context("it has no offset")?,
        key: text(record.key),
        value: text(record.value),
        timestamp: record.timestamp,
        headers: record.headers.map(|(name, value)| (name.to_owned(), text(value).unwrap_or_default())).collect(),
    })
}
