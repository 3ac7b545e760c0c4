//! The embedded broker: topics, consumer groups and transactions in one SQLite file, for machines where nothing else is
//! installed. It behaves as Kafka does wherever the port lets one see it; the contract suite holds it to that.
//!
//! One thread writes, in groups (`writer`); readers have connections of their own (`reads`). What is committed is in
//! the file and only there. In memory are what a transaction has staged (`staging`), who owns which partition
//! (`group`), and where partitions end (`catalog`), so that waiting costs nothing.

mod catalog;
mod commit;
mod compaction;
mod coordinator;
mod errors;
mod fetch;
mod group;
mod headers;
mod maintenance;
mod operations;
mod options;
mod reader;
mod reads;
mod retention;
mod schema;
mod session;
mod staging;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use self::catalog::{Catalog, Topic};
use self::commit::{CommitWork, Committer};
use self::coordinator::Coordinator;
use self::group::Subscription;
use self::options::Place;
use self::reader::LocalReader;
use self::reads::Reads;
use self::session::LocalSession;
use self::staging::Staging;
use self::writer::{Shared, Work, Writer};
use super::{
    Administration, Broker, BrokerError, CleanupPolicy, Commit, Created, Output, ReadSpec, Reader, Session,
    SessionSpec, StateScope, TopicInfo, TopicPartition, TopicPartitionOffset, TopicSettings, Topics,
};
use crate::wall_clock::now_ms;

pub use options::{Durability, LocalOptions};

/// An embedded broker. Several may have the same file open, in several processes: each sees what the others commit.
/// Consumer groups are shared by the sessions of one of them only.
#[derive(Clone)]
pub struct LocalBroker {
    inner: Arc<Inner>,
}

/// What sessions and readers hold on to.
struct Inner {
    shared: Arc<Shared>,
    writer: Writer,
    reads: Arc<Reads>,
    /// Counts batches, so that records without a key go to another partition with each.
    turn: AtomicUsize,
}

impl LocalBroker {
    /// Opens a file, or the one in a data directory, with the default options.
    pub fn open(path: &Path) -> Result<Self, BrokerError> {
        Self::open_with(path, LocalOptions::default())
    }

    /// Opens a file, or the one in a data directory. The file is created if it does not exist, the directory is not.
    pub fn open_with(path: &Path, options: LocalOptions) -> Result<Self, BrokerError> {
        Self::open_for(path, options, Place::Threads)
    }

    /// Opens a file and works with it where it is asked to, on the calling thread, without threads of its own: for
    /// simulations, which run on one thread and have to take the same course each time. The path may be a URI of SQLite's,
    /// such as that of a database in memory, `file:/name?vfs=memdb`.
    pub fn open_inline(path: &Path, options: LocalOptions) -> Result<Self, BrokerError> {
        Self::open_for(path, options, Place::Inline)
    }

    fn open_for(path: &Path, options: LocalOptions, place: Place) -> Result<Self, BrokerError> {
        let path = if path.is_dir() { path.join(options::FILE_NAME) } else { path.to_owned() };
        let connection = schema::open_writer(&path, &options)?;
        let catalog = Arc::new(Catalog::default());
        let coordinator = Arc::new(Coordinator::new(Arc::clone(&catalog)));
        let shared = Arc::new(Shared { path: path.clone(), options, catalog, coordinator });
        let operation = "open the embedded broker";
        operations::refresh(&connection, &shared).map_err(|error| errors::sqlite(&error, operation, &path))?;
        let writer = Writer::start(connection, Arc::clone(&shared), place)
            .map_err(|error| BrokerError::retriable(operation, format!("no thread to write from: {error}")))?;
        // A tool that writes one batch and ends must not always begin with the first partition.
        let turn = match place {
            Place::Threads => usize::try_from(now_ms()).unwrap_or(0),
            Place::Inline => 0,
        };
        let reads = Arc::new(Reads::new(path, place));
        Ok(Self { inner: Arc::new(Inner { shared, writer, reads, turn: AtomicUsize::new(turn) }) })
    }

    /// Deletes what retention and compaction no longer keep, now, and waits for it. It happens by itself every
    /// [`LocalOptions::maintenance_interval`].
    pub async fn maintain(&self) -> Result<(), BrokerError> {
        self.inner.writer.maintain().await
    }
}

impl Inner {
    async fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<(Created, Arc<Topic>), BrokerError> {
        let (name, settings) = (name.to_owned(), settings.clone());
        let operation = format!("create topic {name}");
        let work = move |work: &mut Work<'_>| operations::create_topic(work, &name, &settings);
        let (created, topic) = self.writer.run(&operation, work).await?;
        Ok((created, self.known(topic)))
    }

    /// A topic that may have been created by another process just now.
    async fn find_topic(&self, name: &str) -> Result<Option<Arc<Topic>>, BrokerError> {
        if let Some(topic) = self.shared.catalog.get(name) {
            return Ok(Some(topic));
        }
        let (operation, name) = (format!("look for topic {name}"), name.to_owned());
        let found = self.writer.run(&operation, move |work| operations::find_topic(work, &name)).await?;
        Ok(found.map(|topic| self.known(topic)))
    }

    /// The catalog's entry of a topic, which is the one that is watched; two may have found the topic at once.
    fn known(&self, topic: Arc<Topic>) -> Arc<Topic> {
        self.shared.catalog.get(&topic.name).unwrap_or(topic)
    }

    /// The committed source offsets of a connector.
    async fn source_offsets(
        &self,
        operation: String,
        connector: Arc<str>,
    ) -> Result<Vec<(String, String)>, BrokerError> {
        self.writer.barrier(&operation).await?;
        let read = self.reads.run(operation, move |connection| {
            let sql = "SELECT source_partition, source_offset FROM source_offsets WHERE connector = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([&*connector], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        read.await
    }

    /// The committed state of a stage of a connector in one place.
    async fn state(
        &self,
        operation: String,
        connector: Arc<str>,
        stage: Arc<str>,
        place: String,
    ) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
        self.writer.barrier(&operation).await?;
        let read = self.reads.run(operation, move |connection| {
            let sql = "SELECT key, value FROM state WHERE connector = ?1 AND stage = ?2 AND place = ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([&*connector, &*stage, &*place], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?.into(), row.get::<_, Vec<u8>>(1)?.into()))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        read.await
    }

    /// Another number each time.
    fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// What a session subscribes to; topics that are named are created.
    async fn subscription(&self, topics: Topics, settings: &TopicSettings) -> Result<Subscription, BrokerError> {
        match topics {
            Topics::Names(names) => {
                for name in &names {
                    if self.find_topic(name).await?.is_none() {
                        self.create_topic(name, settings).await?;
                    }
                }
                Ok(Subscription::Names(names.into_iter().collect()))
            }
            Topics::Pattern(pattern) => Subscription::pattern(&pattern)
                .map_err(|error| BrokerError::fatal(format!("subscribe to topics like {pattern}"), error)),
        }
    }
}

#[async_trait]
impl Broker for LocalBroker {
    fn describe(&self) -> String {
        format!("embedded broker at {}", self.inner.shared.path.display())
    }

    fn administration(&self) -> &dyn Administration {
        self
    }

    async fn session(&self, spec: SessionSpec) -> Result<Box<dyn Session>, BrokerError> {
        let inner = &self.inner;
        let id: Arc<str> = format!("{}-{}-{}", spec.worker_group, spec.connector, spec.task).into();
        let operation = format!("open session {id}");
        let transactional_id = Arc::clone(&id);
        let epoch =
            inner.writer.run(&operation, move |work| operations::open_producer(work, &transactional_id)).await?;
        // The predecessor can commit nothing any more, so what it holds is free.
        inner.shared.coordinator.evict(&id);
        let wake = Arc::new(Notify::new());
        let membership = match spec.input {
            Some(input) => {
                let subscription = inner.subscription(input.topics, &spec.topic_settings).await?;
                let group = input.group.into();
                let coordinator = &inner.shared.coordinator;
                Some(coordinator.join(group, Arc::clone(&id), subscription, Arc::clone(&wake)))
            }
            None => None,
        };
        let member = membership.as_ref().map(|membership| membership.key().clone());
        let committer =
            Committer { transactional_id: id, epoch, connector: spec.connector.into(), task: spec.task, member };
        Ok(Box::new(LocalSession::new(Arc::clone(inner), committer, spec.topic_settings, membership, wake)))
    }

    async fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<Created, BrokerError> {
        Ok(self.inner.create_topic(name, settings).await?.0)
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        let read = self.inner.reads.run("list topics", |connection| {
            let sql = "SELECT t.name, t.cleanup_policy, p.log_start, p.next_offset FROM topics t \
                       JOIN partitions p ON p.topic_id = t.id ORDER BY t.name, p.partition";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut topics: BTreeMap<String, TopicInfo> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let (name, policy): (String, String) = (row.get(0)?, row.get(1)?);
                let topic = topics.entry(name.clone()).or_insert_with(|| TopicInfo {
                    name,
                    partitions: Vec::new(),
                    cleanup_policy: CleanupPolicy::from_name(&policy),
                });
                topic.partitions.push((row.get(2)?, row.get(3)?));
            }
            Ok(topics.into_values().collect())
        });
        read.await
    }

    async fn reader(&self, spec: ReadSpec) -> Result<Box<dyn Reader>, BrokerError> {
        match self.inner.find_topic(&spec.topic).await? {
            Some(topic) => Ok(Box::new(LocalReader::open(Arc::clone(&self.inner), topic, spec).await?)),
            None => Err(BrokerError::fatal(format!("read topic {}", spec.topic), "there is no such topic")),
        }
    }

    async fn write(&self, output: Output, settings: &TopicSettings) -> Result<(), BrokerError> {
        let operation = format!("write to topic {}", output.topic);
        let mut staging = Staging::default();
        staging.stage(&self.inner, output, settings).await?;
        let work = CommitWork { task: None, staged: staging.share(), commit: Commit::default() };
        let outcome = self.inner.writer.submit(operation.clone(), staging.bytes(), move |tx| work.run(tx)).await?;
        outcome.await.unwrap_or_else(|_| Err(writer::stopped(operation)))
    }
}

#[async_trait]
impl Administration for LocalBroker {
    async fn source_offsets(&self, connector: &str) -> Result<Vec<(String, String)>, BrokerError> {
        self.inner.source_offsets(format!("source offsets of {connector}"), connector.into()).await
    }

    async fn state(
        &self,
        _worker_group: &str,
        connector: &str,
        scope: &StateScope,
    ) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
        let place = commit::place(0, &scope.place);
        self.inner.state(format!("state of {connector}"), connector.into(), Arc::clone(&scope.stage), place).await
    }

    async fn ranges(&self, topics: &Topics) -> Result<Vec<(TopicPartition, (i64, i64))>, BrokerError> {
        let operation = "look up the ends of partitions";
        let subscription = Subscription::to(topics).map_err(|error| BrokerError::fatal(operation, error))?;
        let all = self.topics().await?.into_iter().filter(|topic| subscription.matches(&topic.name));
        let ranges = all.flat_map(|topic| {
            let name: Arc<str> = topic.name.into();
            (0..)
                .zip(topic.partitions)
                .map(move |(number, range)| (TopicPartition::new(Arc::clone(&name), number), range))
        });
        Ok(ranges.collect())
    }

    async fn cluster_id(&self) -> Result<String, BrokerError> {
        Ok("embedded".to_owned())
    }

    async fn group_offsets(&self, group: &str, topics: &Topics) -> Result<Vec<TopicPartitionOffset>, BrokerError> {
        let operation = format!("look up where group {group} stands");
        let subscription = Subscription::to(topics).map_err(|error| BrokerError::fatal(operation.as_str(), error))?;
        self.inner.writer.barrier(&operation).await?;
        let group = group.to_owned();
        let all = self.inner.reads.run(operation, move |connection| operations::group_offsets(connection, &group));
        Ok(all.await?.into_iter().filter(|at| subscription.matches(&at.partition.topic)).collect())
    }

    async fn set_group_offsets(
        &self,
        group: &str,
        _topics: &Topics,
        offsets: Vec<(TopicPartition, Option<i64>)>,
    ) -> Result<(), BrokerError> {
        let operation = format!("set where group {group} stands");
        if self.inner.shared.coordinator.has_members(group) {
            return Err(BrokerError::fatal(operation, "the group has members"));
        }
        let group = group.to_owned();
        self.inner
            .writer
            .run(&operation, move |work| operations::set_group_offsets(work.connection, &group, &offsets))
            .await
    }
}
