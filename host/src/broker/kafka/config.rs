//! Which librdkafka properties a client gets: Sandbar's defaults, the worker's, the connector's overrides, and on top
//! the few that exactly once depends on, which nobody may change.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::errors::broker_error;
use crate::broker::{BrokerError, TopicSettings};

/// How to reach Kafka, and where Sandbar keeps its own records there.
#[derive(Clone)]
pub struct KafkaOptions {
    /// librdkafka properties of every client: `bootstrap.servers`, `security.*`, `sasl.*`, `ssl.*`...
    pub properties: BTreeMap<String, String>,
    /// The topic of source offsets. Kafka Connect's own may be given: the format is the same.
    pub offset_storage_topic: String,
    /// Replicas of the topics that Sandbar creates for itself; [`TopicSettings::BY_CLUSTER`]: as many as the cluster says.
    pub internal_replication_factor: i32,
}

impl KafkaOptions {
    /// The default of `offset_storage_topic`.
    pub const OFFSET_STORAGE_TOPIC: &'static str = "sandbar-offsets";

    /// Options for a cluster without authentication.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            properties: BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap_servers.into())]),
            offset_storage_topic: Self::OFFSET_STORAGE_TOPIC.to_owned(),
            internal_replication_factor: TopicSettings::BY_CLUSTER,
        }
    }
}

impl fmt::Debug for KafkaOptions {
    /// Property values may be secrets: only the names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("offset_storage_topic", &self.offset_storage_topic)
            .field("internal_replication_factor", &self.internal_replication_factor)
            .finish()
    }
}

type Table = &'static [(&'static str, &'static str)];

const CONSUMER_DEFAULTS: Table = &[
    ("auto.offset.reset", "earliest"),
    // 16 MiB of fetched records a task, where librdkafka would keep 64.
    ("queued.max.messages.kbytes", "16384"),
    // The queue above is drained in well under librdkafka's back-off of a second.
    ("fetch.queue.backoff.ms", "20"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];
const CONSUMER_FIXED: Table = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("isolation.level", "read_committed"),
    (ASSIGNMENT_STRATEGY, "cooperative-sticky"),
    ("allow.auto.create.topics", "false"),
];
const PRODUCER_DEFAULTS: Table = &[
    ("compression.codec", "lz4"),
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    // 64 MiB or 100,000 records wait for the broker at most; `stage` waits beyond that.
    ("queue.buffering.max.kbytes", "65536"),
    ("queue.buffering.max.messages", "100000"),
    ("partitioner", "murmur2_random"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];
const PRODUCER_FIXED: Table = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // A transaction's commit answers for its records; only failures are worth a report each.
    ("delivery.report.only.error", "true"),
];
/// The end of a partition shows in a fetch that comes back empty, and every load of state or offsets waits for that once.
const READER_FETCH_WAIT_MS: &str = "20";
/// The property that bounds a transaction. A killed task's transaction blocks readers for this long, unless its successor
/// comes earlier.
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";

/// The property by which a client closes a connection over which nothing came or went, an answer it waits for included.
const MAX_IDLE: &str = "connections.max.idle.ms";
/// How long a producer that commits for a group keeps such a connection, in milliseconds. When a group's coordinator leaves
/// the cluster's metadata at the wrong moment, as it does in every restart of a broker, librdkafka 2.12 waits for the next
/// connection of the client to come or go before it looks for another coordinator, without end if none does (its issues
/// 5456 and 5511). While it waits all of them are idle, so that this is how long a commit may hang at most. A request that
/// takes longer is sent again, which the broker recognises.
const MAX_IDLE_MS: &str = "10000";

/// The property by which a member of a group is known again.
const GROUP_INSTANCE_ID: &str = "group.instance.id";
/// The property that chooses between the two group protocols of Kafka, `classic` and `consumer` (KIP-848).
const GROUP_PROTOCOL: &str = "group.protocol";
/// The property that only the classic one knows.
const ASSIGNMENT_STRATEGY: &str = "partition.assignment.strategy";
/// Another one: how long a member may be silent before its partitions are given to others.
const SESSION_TIMEOUT: &str = "session.timeout.ms";
/// As long as its worker may be, in milliseconds, so that the task's next member need not wait for the dead one for longer
/// than its group did. librdkafka would have 45 seconds.
const SESSION_TIMEOUT_MS: &str = "10000";
/// How often a member says that it lives, and so how soon it learns that the group deals anew. All others wait for it then,
/// whoever closes among them; librdkafka would let them wait for 3 seconds.
const HEARTBEAT: (&str, &str) = ("heartbeat.interval.ms", "1000");

/// Properties that belong to Sandbar, and why.
const OURS: Table = &[
    ("enable.auto.commit", "consumed offsets are committed with the records made from them"),
    ("auto.commit.interval.ms", "consumed offsets are committed with the records made from them"),
    ("enable.auto.offset.store", "consumed offsets are committed with the records made from them"),
    ("enable.partition.eof", "a task does not end at the end of a partition"),
    ("isolation.level", "a task must not read what may still be aborted"),
    (ASSIGNMENT_STRATEGY, "partitions are handed over one by one, by cooperative-sticky"),
    ("group.id", "the group is the connector's"),
    ("transactional.id", "it is made of worker group, connector and task, so that a restart fences its predecessor"),
    ("enable.idempotence", "exactly once depends on it"),
    ("acks", "exactly once depends on it"),
    ("delivery.report.only.error", "a transaction's commit answers for its records"),
];
/// What a connector may not override besides.
const WORKERS: Table = &[("bootstrap.servers", "records and offsets of one transaction live in one cluster")];
/// librdkafka's other names for the properties above.
const ALIASES: Table = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("compression.type", "compression.codec"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("sasl.mechanism", "sasl.mechanisms"),
];

/// The properties of one client.
#[derive(Clone, Default)]
pub(super) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// What every client gets, without any table: metadata and administration.
    pub fn worker(options: &KafkaOptions) -> Self {
        let mut properties = Self::default();
        properties.layer(&options.properties);
        properties
    }

    /// A member of a consumer group: the one of the task with this number.
    pub fn consumer(options: &KafkaOptions, overrides: &BTreeMap<String, String>, group: &str, task: u32) -> Self {
        let mut properties = Self::layered(CONSUMER_DEFAULTS, options, overrides, CONSUMER_FIXED);
        properties.set("group.id", group);
        // No two members of a group may have the same.
        if let Some(id) = properties.0.get_mut(GROUP_INSTANCE_ID).filter(|id| !id.is_empty()) {
            *id = format!("{id}-{task}");
        }
        // There the brokers decide who gets what; they hand partitions over one by one, too.
        if properties.0.get(GROUP_PROTOCOL).is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer")) {
            properties.0.remove(ASSIGNMENT_STRATEGY);
        } else {
            properties.0.entry(SESSION_TIMEOUT.to_owned()).or_insert(SESSION_TIMEOUT_MS.to_owned());
            properties.0.entry(HEARTBEAT.0.to_owned()).or_insert(HEARTBEAT.1.to_owned());
        }
        properties
    }

    /// A task's producer. Its transactions may be open as long as the task says, unless the operator says otherwise.
    pub fn producer(
        options: &KafkaOptions,
        overrides: &BTreeMap<String, String>,
        transactional_id: &str,
        transaction_timeout: Duration,
    ) -> Self {
        let mut properties = Self::layered(PRODUCER_DEFAULTS, options, overrides, PRODUCER_FIXED);
        properties.set("transactional.id", transactional_id);
        let timeout = transaction_timeout.as_millis().to_string();
        properties.0.entry(TRANSACTION_TIMEOUT.to_owned()).or_insert(timeout);
        properties
    }

    /// The same, of a task whose transactions hold consumed offsets.
    pub fn producer_for_group(
        options: &KafkaOptions,
        overrides: &BTreeMap<String, String>,
        transactional_id: &str,
        transaction_timeout: Duration,
    ) -> Self {
        let mut properties = Self::producer(options, overrides, transactional_id, transaction_timeout);
        properties.0.entry(MAX_IDLE.to_owned()).or_insert(MAX_IDLE_MS.to_owned());
        properties
    }

    /// The producer of tools: the same without a transaction.
    pub fn writer(options: &KafkaOptions) -> Self {
        let mut properties = Self::layered(PRODUCER_DEFAULTS, options, &BTreeMap::new(), PRODUCER_FIXED);
        properties.0.remove(TRANSACTION_TIMEOUT);
        properties
    }

    /// A reader outside any group. librdkafka wants a group's name before it assigns anything; nobody ever joins it.
    pub fn reader(options: &KafkaOptions) -> Self {
        let mut properties = Self::layered(CONSUMER_DEFAULTS, options, &BTreeMap::new(), CONSUMER_FIXED);
        // It is in no group.
        properties.0.remove(GROUP_PROTOCOL);
        properties.0.remove(GROUP_INSTANCE_ID);
        properties.set("group.id", "sandbar-reader");
        properties.set("fetch.wait.max.ms", READER_FETCH_WAIT_MS);
        properties.set("enable.partition.eof", "true");
        properties
    }

    /// Whether a member of a group is handed what it had when it comes back, by a group that its members deal out.
    pub fn is_static(&self) -> bool {
        self.0.get(GROUP_INSTANCE_ID).is_some_and(|id| !id.is_empty()) && self.is_classic()
    }

    /// Whether a group's members deal its partitions out, and not the brokers.
    pub fn is_classic(&self) -> bool {
        self.0.contains_key(ASSIGNMENT_STRATEGY)
    }

    /// Sets one property.
    pub fn set(&mut self, key: &str, value: &str) {
        self.0.insert(canonical(key).to_owned(), value.to_owned());
    }

    /// A property that is a number, or what librdkafka has without it.
    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.0.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The client's configuration; its log lines are as chatty as somebody listens.
    pub fn build(&self) -> ClientConfig {
        let mut config: ClientConfig = self.0.clone().into_iter().collect();
        config.set_log_level(if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
            RDKafkaLogLevel::Debug
        } else if tracing::enabled!(target: "librdkafka", tracing::Level::INFO) {
            RDKafkaLogLevel::Info
        } else {
            RDKafkaLogLevel::Warning
        });
        config
    }

    fn layered(defaults: Table, options: &KafkaOptions, overrides: &BTreeMap<String, String>, fixed: Table) -> Self {
        let mut properties = Self::default();
        for (key, value) in defaults {
            properties.set(key, value);
        }
        properties.layer(&options.properties);
        properties.layer(overrides);
        for (key, value) in fixed {
            properties.set(key, value);
        }
        properties
    }

    fn layer(&mut self, from: &BTreeMap<String, String>) {
        for (key, value) in from {
            self.set(key, value);
        }
    }
}

/// Refuses worker properties that librdkafka does not know, or that belong to Sandbar.
pub(super) fn check_worker(options: &KafkaOptions) -> Result<(), BrokerError> {
    let operation = "read the Kafka properties";
    if !options.properties.keys().any(|key| is_servers(key)) {
        return Err(BrokerError::fatal(operation, "bootstrap.servers is missing"));
    }
    check(operation, "", &options.properties, &[OURS])
}

/// Refuses overrides of a connector, in the same way. `prefix` is how its definition spells them.
pub(super) fn check_overrides(prefix: &str, overrides: &BTreeMap<String, String>) -> Result<(), BrokerError> {
    check(&format!("read {prefix}*"), prefix, overrides, &[OURS, WORKERS])
}

fn check(
    operation: &str,
    prefix: &str,
    properties: &BTreeMap<String, String>,
    refused: &[Table],
) -> Result<(), BrokerError> {
    for key in properties.keys() {
        let ours = refused.iter().flat_map(|table| table.iter()).find(|(name, _)| *name == canonical(key));
        if let Some((_, why)) = ours {
            return Err(BrokerError::fatal(operation, format!("{prefix}{key} cannot be set: {why}")));
        }
    }
    let config: ClientConfig = properties.clone().into_iter().collect();
    config.create_native_config().map(drop).map_err(|error| broker_error(operation, &error))
}

/// Whether a property says where the cluster is.
pub(super) fn is_servers(key: &str) -> bool {
    canonical(key) == "bootstrap.servers"
}

fn canonical(key: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    //! What wins over what, what is refused, and what this build of librdkafka can do.

    use super::*;
    use crate::broker::BrokerErrorKind;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn get(properties: &Properties, key: &str) -> String {
        properties.build().get(key).unwrap_or_default().to_owned()
    }

    #[test]
    fn librdkafka_has_what_the_guide_promises() {
        let features = ClientConfig::new().create_native_config().unwrap().get("builtin.features").unwrap();
        let features: Vec<&str> = features.split(',').collect();
        for feature in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "zstd", "lz4", "gzip", "snappy"] {
            assert!(features.contains(&feature), "{feature} is not in {features:?}");
        }
    }

    #[test]
    fn overrides_win_over_the_worker_and_the_guarantees_over_both() {
        let mut options = KafkaOptions::new("here:9092");
        options.properties.extend(map(&[("linger.ms", "1"), ("compression.type", "zstd")]));
        let producer =
            Properties::producer(&options, &map(&[("queue.buffering.max.ms", "9")]), "id", Duration::from_secs(10));
        assert_eq!(get(&producer, "linger.ms"), "9");
        assert_eq!(get(&producer, "compression.codec"), "zstd");
        assert_eq!(get(&producer, "acks"), "all");
        assert_eq!(get(&producer, "transactional.id"), "id");
        assert_eq!(producer.number("transaction.timeout.ms", 60_000), 10_000);
        assert_eq!(producer.number(MAX_IDLE, 0), 0, "a source commits for no group");
        let for_group =
            |overrides: &_| Properties::producer_for_group(&options, overrides, "id", Duration::from_secs(10));
        assert_eq!(get(&for_group(&map(&[])), MAX_IDLE), MAX_IDLE_MS);
        assert_eq!(get(&for_group(&map(&[(MAX_IDLE, "7000")])), MAX_IDLE), "7000");
        let consumer = Properties::consumer(&options, &map(&[("auto.offset.reset", "latest")]), "group", 0);
        assert_eq!(get(&consumer, "auto.offset.reset"), "latest");
        assert_eq!(get(&consumer, "isolation.level"), "read_committed");
    }

    #[test]
    fn every_table_is_known_to_librdkafka() {
        let options = KafkaOptions::new("here:9092");
        let mut with_protocol = options.clone();
        with_protocol.properties.extend(map(&[("group.protocol", "consumer")]));
        let none = BTreeMap::new();
        for properties in [
            Properties::consumer(&options, &none, "g", 0),
            Properties::consumer(&options, &map(&[("group.protocol", "consumer")]), "g", 0),
            Properties::producer_for_group(&options, &none, "id", Duration::from_secs(10)),
            Properties::writer(&options),
            Properties::reader(&options),
            Properties::reader(&with_protocol),
        ] {
            properties.build().create_native_config().unwrap();
        }
    }

    #[test]
    fn each_task_is_a_static_member_of_its_own() {
        let options = KafkaOptions::new("here:9092");
        let id =
            |overrides, task| get(&Properties::consumer(&options, &map(overrides), "g", task), "group.instance.id");
        assert_eq!(id(&[("group.instance.id", "rack-7")], 2), "rack-7-2");
        assert_eq!(id(&[], 2), "");
    }

    #[test]
    fn a_member_that_was_killed_is_missed_when_its_worker_is() {
        let options = KafkaOptions::new("here:9092");
        let timeout = |overrides| get(&Properties::consumer(&options, &map(overrides), "g", 0), SESSION_TIMEOUT);
        assert_eq!(timeout(&[]), SESSION_TIMEOUT_MS);
        assert_eq!(timeout(&[(SESSION_TIMEOUT, "30000")]), "30000");
        assert_eq!(timeout(&[(GROUP_PROTOCOL, "consumer")]), "", "there the brokers decide");
    }

    #[track_caller]
    fn refused(outcome: Result<(), BrokerError>, named: &str) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::Fatal);
        assert!(error.message.contains(named), "{error}");
    }

    #[test]
    fn what_would_break_the_guarantees_is_refused() {
        for key in ["enable.auto.commit", "isolation.level", "request.required.acks", "bootstrap.servers"] {
            refused(check_overrides("consumer.override.", &map(&[(key, "x")])), &format!("consumer.override.{key}"));
        }
        let mut options = KafkaOptions::new("here:9092");
        options.properties.extend(map(&[("transactional.id", "x")]));
        refused(check_worker(&options), "transactional.id");
    }

    #[test]
    fn an_unknown_property_is_named() {
        refused(check_overrides("producer.override.", &map(&[("max.request.size", "1")])), "max.request.size");
        let mut options = KafkaOptions::new("here:9092");
        options.properties.extend(map(&[("bootstrap.server", "x")]));
        refused(check_worker(&options), "bootstrap.server");
        options.properties.clear();
        refused(check_worker(&options), "bootstrap.servers is missing");
    }
}
