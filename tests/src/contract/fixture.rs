//! What every case starts from: a broker, names nobody else uses, and ways to write and read that wait with a limit.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use sandbar::batch::Batch;
use sandbar::broker::{
    BatchLimits, Broker, Input, Output, PartitionBatch, ReadFrom, ReadSpec, Reader, SessionSpec, TopicSettings, Topics,
};
use sandbar_abi::FrameBuilder;

/// The longest any wait of a case may take: a rebalance of a Kafka group takes seconds, on a busy machine many.
pub const WITHIN: Duration = Duration::from_secs(60);
/// How long a single call waits for input before the case looks at the world again.
pub(super) const WAIT: Duration = Duration::from_millis(200);
/// How long a case listens for what must not come.
const QUIET: Duration = Duration::from_millis(400);
/// Bounds that no case reaches by accident.
pub(super) const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 4 << 20 };

static CASES: AtomicU64 = AtomicU64::new(0);

/// A broker, and names that no other case and no earlier run uses.
pub struct Fixture {
    broker: Arc<dyn Broker>,
    run: String,
    _keep: Option<Box<dyn Any + Send + Sync>>,
}

/// A broker, and what has to stay until the case is over: a directory, a process.
pub struct Opened {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// What has to stay.
    pub keep: Option<Box<dyn Any + Send + Sync>>,
}

impl From<Arc<dyn Broker>> for Opened {
    fn from(broker: Arc<dyn Broker>) -> Self {
        Self { broker, keep: None }
    }
}

/// What a test file's function may open.
pub trait Open {
    /// The broker; `None` where there is none to test, which was said already.
    fn opened(self) -> Option<Opened>;
}

impl Open for Opened {
    fn opened(self) -> Option<Opened> {
        Some(self)
    }
}

impl Open for Arc<dyn Broker> {
    fn opened(self) -> Option<Opened> {
        Some(self.into())
    }
}

impl Open for Option<Arc<dyn Broker>> {
    fn opened(self) -> Option<Opened> {
        self.map(Opened::from)
    }
}

/// A record as cases compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Row {
    /// The value, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Fixture {
    /// A fixture on a broker.
    pub fn new(opened: impl Into<Opened>) -> Self {
        let Opened { broker, keep } = opened.into();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let case = CASES.fetch_add(1, Ordering::Relaxed);
        Self { broker, run: format!("{started:x}-{}-{case}", std::process::id()), _keep: keep }
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &dyn Broker {
        &*self.broker
    }

    /// A name for this case only.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        format!("contract-{}-{what}", self.run)
    }

    /// Creates a topic whose records do not age, and returns its name.
    pub async fn topic(&self, what: &str, partitions: i32) -> Result<String> {
        let name = self.name(what);
        self.broker.create_topic(&name, &settings(partitions)).await?;
        Ok(name)
    }

    /// Task 0 of a connector that consumes nothing.
    #[must_use]
    pub fn source(&self, connector: &str) -> SessionSpec {
        SessionSpec {
            worker_group: self.name("workers"),
            connector: self.name(connector),
            task: 0,
            input: None,
            topic_settings: settings(1),
            consumer_overrides: BTreeMap::new(),
            producer_overrides: BTreeMap::new(),
            transaction_timeout: Duration::from_secs(10),
        }
    }

    /// A task of a connector that consumes a topic, in the connector's group.
    #[must_use]
    pub fn sink(&self, connector: &str, task: u32, topic: &str) -> SessionSpec {
        self.subscriber(connector, task, Topics::Names(vec![topic.to_owned()]))
    }

    /// A task of a connector that consumes topics, in the connector's group.
    #[must_use]
    pub fn subscriber(&self, connector: &str, task: u32, topics: Topics) -> SessionSpec {
        let group = format!("connect-{}", self.name(connector));
        SessionSpec { task, input: Some(Input { group, topics }), ..self.source(connector) }
    }

    /// Writes records outside any task.
    pub async fn write(&self, output: Output) -> Result<()> {
        Ok(self.broker.write(output, &settings(1)).await?)
    }

    /// Writes numbers as keys and values, outside any task.
    pub async fn write_numbers(&self, topic: &str, numbers: std::ops::Range<usize>) -> Result<()> {
        self.write(numbered(topic, numbers)?).await
    }

    /// Opens a reader of all partitions of a topic.
    pub async fn reader(&self, topic: &str, from: ReadFrom) -> Result<Box<dyn Reader>> {
        Ok(self.broker.reader(ReadSpec { topic: topic.to_owned(), partitions: None, from }).await?)
    }

    /// Reads a topic from its beginning until `count` records came, and makes sure that no more come.
    pub async fn read_exactly(&self, topic: &str, count: usize) -> Result<Vec<Row>> {
        let mut reader = self.reader(topic, ReadFrom::Beginning).await?;
        let rows = take(&mut *reader, count).await?;
        let more = next(&mut *reader, QUIET).await?;
        ensure!(more.is_empty(), "expected {count} records in {topic}, more came: {more:?}");
        Ok(rows)
    }
}

/// Settings of a topic whose records do not age: cases write old timestamps.
pub(super) fn settings(partitions: i32) -> TopicSettings {
    TopicSettings { partitions, retention_ms: Some(-1), ..TopicSettings::default() }
}

/// Waits with the limit that every wait of a case has.
pub async fn within<T>(what: &str, wait: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(WITHIN, wait).await.with_context(|| format!("{what}: not within {WITHIN:?}"))?
}

/// Builds an output.
pub fn output(topic: &str, build: impl FnOnce(&mut FrameBuilder)) -> Result<Output> {
    let mut frame = FrameBuilder::new();
    build(&mut frame);
    Ok(Output { topic: topic.into(), batch: Batch::build(&frame)? })
}

/// Records whose keys and values are numbers, as text.
pub(super) fn numbered(topic: &str, numbers: std::ops::Range<usize>) -> Result<Output> {
    output(topic, |frame| {
        for n in numbers {
            let text = n.to_string();
            frame.record(Some(text.as_bytes()), Some(text.as_bytes()));
        }
    })
}

/// The numbers of [`numbered`] records, in rising order.
pub(super) fn numbers(rows: &[Row]) -> Vec<usize> {
    let mut numbers: Vec<usize> = rows.iter().filter_map(|row| row.text().parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// The records of a batch, after a look at what every batch promises.
pub fn rows(from: &PartitionBatch) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::with_capacity(from.batch.len());
    for record in from.batch.frame().records() {
        let place = record.topic_partition.context("a consumed record says where it is from")?;
        let offset = record.offset.context("a consumed record has an offset")?;
        ensure!(place.topic == Some(&from.partition.topic), "{place:?} in a batch of {}", from.partition);
        ensure!(place.partition == Some(from.partition.partition), "{place:?} in a batch of {}", from.partition);
        ensure!(rows.last().is_none_or(|last| last.offset < offset), "offsets of a batch rise");
        rows.push(Row {
            topic: from.partition.topic.to_string(),
            partition: from.partition.partition,
            offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
        });
    }
    let last = rows.last().context("no batch is empty")?.offset;
    ensure!(from.next_offset > last, "the next offset lies past the records");
    Ok(rows)
}

/// One answer of a reader.
pub(super) async fn next(reader: &mut dyn Reader, wait: Duration) -> Result<Vec<Row>> {
    let mut all = Vec::new();
    for batch in reader.next(LIMITS, wait).await? {
        all.extend(rows(&batch)?);
    }
    Ok(all)
}

/// Reads until `count` records came, or more.
pub(super) async fn take(reader: &mut dyn Reader, count: usize) -> Result<Vec<Row>> {
    within(&format!("read {count} records"), async {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(next(reader, WAIT).await?);
        }
        Ok(all)
    })
    .await
}

/// Reads until the reader says that it has come to the end.
pub(super) async fn drain(reader: &mut dyn Reader) -> Result<Vec<Row>> {
    within("read to the end", async {
        let mut all = Vec::new();
        loop {
            all.extend(next(reader, WAIT).await?);
            if reader.at_end() {
                return Ok(all);
            }
        }
    })
    .await
}
