//! What the cluster has: topics, their partitions and offsets; and the creation of those that are missing. One for
//! each broker object, shared by its sessions.
//!
//! librdkafka's metadata calls block, so the asynchronous half runs them on tokio's blocking threads.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use super::config::{KafkaOptions, Properties};
use super::context::{Context, Owner, lock};
use super::ends::ends;
use super::errors::broker_error;
use super::subscribe::PATTERN_REFRESH;
use crate::broker::{BrokerError, BrokerErrorKind, Created, TopicSettings};

/// How long one question to the cluster may take: with the time to open a producer it stays below 15 seconds.
pub(super) const ASK_WITHIN: Duration = Duration::from_secs(6);
/// How long a new topic may take to have leaders everywhere.
const CREATE_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two looks at partitions without a leader.
const LEADER_PAUSE: Duration = Duration::from_millis(20);
/// librdkafka's events (log lines, errors) that are served before a question; they only wait for the next one.
const EVENTS_SERVED: usize = 256;

/// A client outside any group.
pub(super) type Probe = BaseConsumer<Context<()>>;

/// The cluster, as far as Sandbar asks about it.
pub(super) struct Admin {
    worker: Properties,
    probe: Mutex<Option<Arc<Probe>>>,
    /// The topics that were seen, and how many partitions they have where that was not forgotten.
    known: Mutex<HashMap<String, Option<i32>>>,
    names: Mutex<Option<(Instant, Arc<[String]>)>>,
}

/// The first offset that is kept of a partition, and the one after its last.
pub(super) type Range = (i64, i64);

impl Admin {
    /// Connects when it is first asked.
    pub fn new(options: &KafkaOptions) -> Self {
        let mut worker = Properties::worker(options);
        // Looking at a topic must not create it, and ends are those of everything written, decided or not.
        worker.set("allow.auto.create.topics", "false");
        worker.set("isolation.level", "read_uncommitted");
        Self { worker, probe: Mutex::default(), known: Mutex::default(), names: Mutex::default() }
    }

    /// How many partitions a topic has, from memory where it was seen before; `None`: there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<i32>, BrokerError> {
        if let Some(count) = self.known(topic) {
            return Ok(Some(count));
        }
        let count = self.look(topic)?.map(|(count, _)| count);
        if count.is_some() {
            lock(&self.known).insert(topic.to_owned(), count);
        }
        Ok(count)
    }

    /// The same as it is now: a topic may have grown since. Of one that seems to be missing it is what it was, for it may only
    /// seem so. Where records go stays as it is in memory.
    pub fn partitions_now(&self, topic: &str) -> Result<Option<i32>, BrokerError> {
        if !is_legal_name(topic) {
            return Ok(None);
        }
        let now = self.look(topic)?.map(|(count, _)| count);
        let was = lock(&self.known).get(topic).copied();
        unless_lost(topic, now.or(was.flatten()), was.is_some())
    }

    /// How many partitions a topic has, from memory, where it must not be taken for empty where it only seems to be missing: that a topic is gone which
    /// was seen before is an error.
    pub fn lasting_partitions(&self, topic: &str) -> Result<Option<i32>, BrokerError> {
        let count = self.partitions(topic)?;
        unless_lost(topic, count, lock(&self.known).contains_key(topic))
    }

    /// How many partitions a topic has, if it was seen before.
    pub fn known(&self, topic: &str) -> Option<i32> {
        lock(&self.known).get(topic).copied().flatten()
    }

    /// Forgets how many partitions topics have, because something is wrong with them: they may have been deleted, or have
    /// grown.
    pub fn forget(&self, topics: &[String]) {
        let mut known = lock(&self.known);
        for topic in topics {
            if let Some(count) = known.get_mut(topic) {
                *count = None;
            }
        }
    }

    /// Names of all topics but Kafka's own, at most [`PATTERN_REFRESH`] old.
    pub fn topic_names(&self, now: Instant) -> Result<Arc<[String]>, BrokerError> {
        let mut names = lock(&self.names);
        if let Some((at, names)) = &*names
            && now.saturating_duration_since(*at) < PATTERN_REFRESH
        {
            return Ok(Arc::clone(names));
        }
        let all: Arc<[String]> = self.all()?.into_iter().map(|(name, _)| name).collect();
        *names = Some((now, Arc::clone(&all)));
        Ok(all)
    }

    /// Ranges of partitions, records of open transactions included.
    pub fn ranges(&self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, Range>, BrokerError> {
        let probe = self.probe()?;
        let places: Vec<(&str, i32)> = partitions.iter().map(|partition| (topic, *partition)).collect();
        let starts = ends(&probe, &places, Offset::Beginning)?;
        let ends = ends(&probe, &places, Offset::End)?;
        Ok(partitions.iter().copied().zip(starts.into_iter().zip(ends)).collect())
    }

    /// Finds a topic or creates it; says how many partitions it has.
    pub async fn ensure(self: &Arc<Self>, topic: &str, settings: &TopicSettings) -> Result<i32, BrokerError> {
        if let Some(count) = self.known(topic) {
            return Ok(count);
        }
        self.create(topic, settings).await?;
        let (admin, name) = (Arc::clone(self), topic.to_owned());
        let count = blocking(move || admin.partitions(&name)).await?;
        count.ok_or_else(|| BrokerError::retriable(format!("create topic {topic}"), "it was deleted at once"))
    }

    /// Creates a topic unless it exists, and waits until it can be written to.
    pub async fn create(self: &Arc<Self>, topic: &str, settings: &TopicSettings) -> Result<Created, BrokerError> {
        let operation = format!("create topic {topic}");
        if !is_legal_name(topic) {
            return Err(BrokerError::fatal(operation, "not a topic name: 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-'"));
        }
        let (admin, name) = (Arc::clone(self), topic.to_owned());
        if blocking(move || admin.look(&name)).await?.is_some() {
            return Ok(Created::Existed);
        }
        let client = self.client(&operation).await?;
        let (retention_ms, retention_bytes) =
            (settings.retention_ms.map(|n| n.to_string()), settings.retention_bytes.map(|n| n.to_string()));
        let replication = TopicReplication::Fixed(settings.replication_factor);
        let mut new = NewTopic::new(topic, settings.partitions, replication)
            .set("cleanup.policy", settings.cleanup_policy.name());
        new.config.extend(retention_ms.as_deref().map(|value| ("retention.ms", value)));
        new.config.extend(retention_bytes.as_deref().map(|value| ("retention.bytes", value)));
        let results = client
            .create_topics(&[new], &options().operation_timeout(Some(CREATE_WITHIN)))
            .await
            .map_err(|error| broker_error(operation.as_str(), &error))?;
        dispose(client);
        let created = match results.into_iter().next() {
            Some(Ok(_)) => Created::New,
            Some(Err((_, Code::TopicAlreadyExists))) => Created::Existed,
            Some(Err((_, code))) => {
                return Err(broker_error(operation, &KafkaError::AdminOp(code)));
            }
            None => return Err(BrokerError::retriable(operation, "the broker did not answer for the topic")),
        };
        let (admin, name) = (Arc::clone(self), topic.to_owned());
        blocking(move || admin.await_leaders(&name)).await?;
        Ok(created)
    }

    /// Forgets where a group without members stands. One that Kafka does not know stands nowhere already.
    pub async fn delete_group(&self, group: &str) -> Result<(), BrokerError> {
        let operation = format!("forget where group {group} stands");
        let client = self.client(&operation).await?;
        let deleted = client.delete_groups(&[group], &options()).await;
        dispose(client);
        match deleted.map_err(|error| broker_error(operation.as_str(), &error))?.into_iter().next() {
            Some(Ok(_)) | Some(Err((_, Code::GroupIdNotFound))) => Ok(()),
            Some(Err((_, Code::NonEmptyGroup))) => Err(BrokerError::fatal(operation, "the group has members")),
            Some(Err((_, code))) => Err(broker_error(operation, &KafkaError::AdminOp(code))),
            None => Err(BrokerError::retriable(operation, "the broker did not answer for the group")),
        }
    }

    /// Which cluster it is. Blocks.
    pub fn cluster_id(&self) -> Result<String, BrokerError> {
        let id = self.probe()?.client().fetch_cluster_id(ASK_WITHIN);
        id.ok_or_else(|| BrokerError::retriable("ask which cluster it is", "the cluster does not answer"))
    }

    /// A topic's partitions, and whether all of them have a leader.
    fn look(&self, topic: &str) -> Result<Option<(i32, bool)>, BrokerError> {
        let operation = format!("look at topic {topic}");
        let probe = self.probe()?;
        let metadata = probe.fetch_metadata(Some(topic), ASK_WITHIN).map_err(|e| self.unreachable(&operation, &e))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Err(BrokerError::retriable(operation, "the broker's answer leaves it out"));
        };
        match found.error() {
            None => {
                let leaders = leaders(found);
                let count = i32::try_from(leaders.len()).unwrap_or(i32::MAX);
                Ok(Some((count, !leaders.is_empty() && leaders.iter().all(|led| *led))))
            }
            Some(
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            ) => Ok(None),
            Some(error) => Err(broker_error(operation, &KafkaError::MetadataFetch(error.into()))),
        }
    }

    fn await_leaders(&self, topic: &str) -> Result<(), BrokerError> {
        let deadline = Instant::now() + CREATE_WITHIN;
        loop {
            match self.look(topic) {
                Ok(Some((_, true))) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind != BrokerErrorKind::Retriable => return Err(error),
                Err(error) => tracing::debug!(topic, %error, "a new topic is not there yet"),
            }
            if Instant::now() >= deadline {
                let operation = format!("create topic {topic}");
                return Err(BrokerError::retriable(operation, "it was created, but it has no leader yet"));
            }
            thread::sleep(LEADER_PAUSE);
        }
    }

    /// The client that questions go through; made once, its events served now and then.
    pub(super) fn probe(&self) -> Result<Arc<Probe>, BrokerError> {
        let mut slot = lock(&self.probe);
        let probe = match &*slot {
            Some(probe) => Arc::clone(probe),
            None => {
                let probe = self
                    .worker
                    .build()
                    .create_with_context(Context::new(Owner::worker("metadata"), ()))
                    .map_err(|error| broker_error("create the metadata client", &error))?;
                Arc::clone(slot.insert(Arc::new(probe)))
            }
        };
        for _ in 0..EVENTS_SERVED {
            probe.poll(Duration::ZERO);
        }
        Ok(probe)
    }

    /// An administration client for one request. rdkafka never serves its events, so it must not live long.
    pub(super) async fn client(&self, operation: &str) -> Result<AdminClient<Context<()>>, BrokerError> {
        let (worker, operation) = (self.worker.clone(), operation.to_owned());
        blocking(move || {
            let context = Context::new(Owner::worker("admin"), ());
            worker.build().create_with_context(context).map_err(|error| broker_error(operation, &error))
        })
        .await
    }

    /// A question without an answer: the reason came as an event.
    pub(super) fn unreachable(&self, operation: &str, error: &KafkaError) -> BrokerError {
        let mut failed = broker_error(operation, error);
        if let Ok(probe) = self.probe()
            && let Some(reason) = probe.context().last_error()
        {
            failed.message = format!("{}: {reason}", failed.message);
        }
        failed
    }
}

/// A broker that lags behind the others says of a topic it has not heard of what it says of one that was deleted.
fn unless_lost(topic: &str, count: Option<i32>, was_seen: bool) -> Result<Option<i32>, BrokerError> {
    if count.is_none() && was_seen {
        let what = "it was there and is missing now; if it was deleted on purpose, restart the host";
        return Err(BrokerError::retriable(format!("look at topic {topic}"), what));
    }
    Ok(count)
}

/// Whether Kafka takes a name for a topic.
pub(super) fn is_legal_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

/// Runs a call that blocks where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, BrokerError> + Send + 'static,
) -> Result<T, BrokerError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome,
        Err(error) => Err(BrokerError::fatal("call Kafka", error)),
    }
}

pub(super) fn leaders(topic: &MetadataTopic) -> Vec<bool> {
    topic.partitions().iter().map(|partition| partition.leader() >= 0).collect()
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CREATE_WITHIN))
}

/// Closing waits for the client's thread: not here.
pub(super) fn dispose(client: AdminClient<Context<()>>) {
    tokio::task::spawn_blocking(move || drop(client));
}

#[cfg(test)]
mod tests {
    //! What can be said without a cluster.

    use super::*;

    #[test]
    fn what_was_there_is_not_taken_for_empty() {
        assert_eq!(unless_lost("offsets", None, false), Ok(None));
        assert_eq!(unless_lost("offsets", Some(25), true), Ok(Some(25)));
        let lost = unless_lost("offsets", None, true).unwrap_err();
        assert!(lost.kind == BrokerErrorKind::Retriable && lost.to_string().contains("offsets"), "{lost}");
    }

    #[test]
    fn topics_that_were_forgotten_were_seen_all_the_same() {
        let admin = Admin::new(&KafkaOptions::new("localhost:1"));
        lock(&admin.known).insert("seen".to_owned(), Some(3));
        admin.forget(&["seen".to_owned(), "never".to_owned()]);
        assert_eq!(admin.known("seen"), None);
        assert_eq!(lock(&admin.known).keys().collect::<Vec<_>>(), ["seen"]);
    }

    #[test]
    fn topic_names_are_kafkas() {
        for name in ["a", "Orders.v1_new-2", &"x".repeat(249)] {
            assert!(is_legal_name(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "ä", "a/b", "a\0", &"x".repeat(250)] {
            assert!(!is_legal_name(name), "{name}");
        }
    }
}
