//! The keys of a connector's definition that the host takes; all others are the plugin's.

use sandbar_abi::manifest::Kind::{Sink, Source, Transform};

use super::worker::{MAX_CALL_MS, MAX_MEMORY, MIN_MEMORY};
use super::{Key, Kind, Plugin, keys};

const ALL: &[Plugin] = &[Source, Sink, Transform];
const SOURCES: &[Plugin] = &[Source];
const CONSUMERS: &[Plugin] = &[Sink, Transform];
const PRODUCERS: &[Plugin] = &[Source, Transform];
/// The most tasks a connector may have.
const MAX_TASKS: i64 = 1000;
/// The most bytes of an answer to a request, which the host holds whole: as many as a frame may have.
const MAX_RESPONSE: i64 = 64 << 20;

keys! {
    /// Every key of a connector's definition that the host takes.
    KEYS:

    /// The connector's name. The definition says it beside `config`; here it may only repeat it.
    NAME = "name", Kind::Text, None, ALL;
    /// The plugin, by the name in its manifest. Required.
    CONNECTOR_CLASS = "connector.class", Kind::Text, None, ALL;
    /// As what the plugin runs. Needed only where a plugin is several kinds.
    CONNECTOR_TYPE = "connector.type", Kind::OneOf(&["source", "sink", "transform"]), None, ALL;
    /// Which versions of the plugin will do, as Cargo writes requirements: `^1.2`, `=1.2.3`. Without it, any.
    PLUGIN_VERSION = "plugin.version", Kind::Version, None, ALL;
    /// How many tasks the work may be split into.
    TASKS_MAX = "tasks.max", Kind::Integer(1, MAX_TASKS), Some("1"), ALL;

    /// The topics to read, separated by commas. Sinks and transforms need this or `topics.regex`.
    TOPICS = "topics", Kind::Topics, None, CONSUMERS;
    /// Reads every topic whose whole name matches, those created later too.
    TOPICS_REGEX = "topics.regex", Kind::Regex, None, CONSUMERS;
    /// The topic for records that do not name one themselves. Required for sources and transforms.
    TOPIC = "topic", Kind::Topic, None, PRODUCERS;
    /// The consumer group. Without it, `connect-` and the connector's name, as in Kafka Connect.
    CONSUMER_GROUP = "consumer.override.group.id", Kind::Text, None, CONSUMERS;

    /// The aliases of transforms that records pass in this order, separated by commas.
    TRANSFORMS = "transforms", Kind::Names, Some(""), ALL;
    /// The plugin of a transform, by the name in its manifest. Required for each alias.
    TRANSFORM_TYPE = "transforms.<alias>.type", Kind::Text, None, ALL;
    /// Which versions of a transform's plugin will do. Without it, any.
    TRANSFORM_VERSION = "transforms.<alias>.plugin.version", Kind::Version, None, ALL;
    /// A transform's own configuration.
    TRANSFORM_CONFIG = "transforms.<alias>.*", Kind::Properties, None, ALL;

    /// Whether records that fail are set aside (`all`) or end the task (`none`).
    ERRORS_TOLERANCE = "errors.tolerance", Kind::OneOf(&["none", "all"]), Some("none"), ALL;
    /// How long a transform's call or record is tried again, in milliseconds; -1 is forever, 0 not at all. Polls of a
    /// source, and writes and flushes of a sink, are tried again forever.
    ERRORS_RETRY_TIMEOUT = "errors.retry.timeout", Kind::Millis(-1, i64::MAX), Some("0"), ALL;
    /// The longest pause between two tries, in milliseconds.
    ERRORS_RETRY_DELAY_MAX_MS = "errors.retry.delay.max.ms", Kind::Millis(1, i64::MAX), Some("60000"), ALL;
    /// Whether each failure is logged.
    ERRORS_LOG_ENABLE = "errors.log.enable", Kind::Flag, Some("false"), ALL;
    /// Whether the log of a failure says which record it was.
    ERRORS_LOG_INCLUDE_MESSAGES = "errors.log.include.messages", Kind::Flag, Some("false"), ALL;
    /// The topic for records that failed. Without it they are dropped.
    ERRORS_DEADLETTERQUEUE_TOPIC_NAME = "errors.deadletterqueue.topic.name", Kind::Topic, None, ALL;
    /// How many replicas that topic gets when it is created. Without it, the worker's `topic.defaults`.
    ERRORS_DEADLETTERQUEUE_TOPIC_REPLICATION_FACTOR = "errors.deadletterqueue.topic.replication.factor",
        Kind::Replicas, None, ALL;
    /// Whether records that failed get headers that say where and why.
    ERRORS_DEADLETTERQUEUE_CONTEXT_HEADERS_ENABLE = "errors.deadletterqueue.context.headers.enable",
        Kind::Flag, Some("false"), ALL;

    /// The longest a transaction stays open while there is work, in milliseconds. A commit costs milliseconds, a call
    /// microseconds: longer is faster, and later.
    COMMIT_INTERVAL_MS = "commit.interval.ms", Kind::Millis(1, 60_000), Some("100"), ALL;
    /// How many records a transaction takes at most.
    COMMIT_MAX_RECORDS = "commit.max.records", Kind::Integer(1, 10_000_000), Some("50000"), ALL;
    /// How many bytes of records a transaction takes at most.
    COMMIT_MAX_BYTES = "commit.max.bytes", Kind::Bytes(1, 1 << 30), Some("16777216"), ALL;
    /// How many records one call of the plugin gets or gives at most.
    BATCH_MAX_RECORDS = "batch.max.records", Kind::Integer(1, 100_000), Some("500"), ALL;
    /// How many bytes of records one call gets or gives at most; a single record may be larger.
    BATCH_MAX_BYTES = "batch.max.bytes", Kind::Bytes(1, 32 << 20), Some("1048576"), ALL;
    /// The longest pause between two polls of a source that had nothing, in milliseconds.
    POLL_INTERVAL_MS = "poll.interval.ms", Kind::Millis(1, 3_600_000), Some("500"), SOURCES;
    /// With `required` the definition is refused unless its plugin declares that it can be exactly once: by
    /// `exactly_once` in its manifest, or for a sink by `idempotent_write`; a transform always can. It changes nothing
    /// about delivery.
    EXACTLY_ONCE_SUPPORT = "exactly.once.support", Kind::OneOf(&["requested", "required"]), Some("requested"), ALL;

    /// Properties of this connector's producer, over those of the worker.
    PRODUCER_OVERRIDE = "producer.override.*", Kind::Properties, None, ALL;
    /// Properties of this connector's consumer, over those of the worker.
    CONSUMER_OVERRIDE = "consumer.override.*", Kind::Properties, None, CONSUMERS;

    /// How many partitions topics get that this connector creates. Without it, the worker's `topic.defaults`.
    TOPIC_CREATION_PARTITIONS = "topic.creation.default.partitions", Kind::Integer(1, 100_000), None, ALL;
    /// How many replicas those topics get. Without it, the worker's `topic.defaults`.
    TOPIC_CREATION_REPLICATION_FACTOR = "topic.creation.default.replication.factor",
        Kind::Replicas, None, ALL;
    /// What happens to old records of those topics. Without it, the worker's `topic.defaults`.
    TOPIC_CREATION_CLEANUP_POLICY = "topic.creation.default.cleanup.policy",
        Kind::OneOf(&["delete", "compact", "compact,delete"]), None, ALL;
    /// How long those topics keep records, in milliseconds; -1 is forever. Without it, the worker's `topic.defaults`.
    TOPIC_CREATION_RETENTION_MS = "topic.creation.default.retention.ms", Kind::Millis(-1, i64::MAX), None, ALL;

    /// How much fuel one call may use. Without it what the plugin suggests, else what the worker allows; never more
    /// than that.
    SANDBOX_FUEL_PER_CALL = "sandbox.fuel.per.call", Kind::Integer(1, i64::MAX), None, ALL;
    /// How long one call may take, in milliseconds. Without it what the plugin suggests, else what the worker allows;
    /// never more than that.
    SANDBOX_CALL_TIMEOUT_MS = "sandbox.call.timeout.ms", Kind::Millis(1, MAX_CALL_MS), None, ALL;
    /// How much linear memory each instance may use, in bytes. Without it what the plugin suggests, else what the
    /// worker allows; never more than that.
    SANDBOX_MEMORY_MAX_BYTES = "sandbox.memory.max.bytes", Kind::Bytes(MIN_MEMORY, MAX_MEMORY), None, ALL;
    /// How much state a task may keep, source offsets included, in bytes. Each entry counts its key, its value, and 128
    /// bytes.
    SANDBOX_STATE_MAX_BYTES = "sandbox.state.max.bytes", Kind::Bytes(0, MAX_MEMORY), Some("67108864"), ALL;
    /// Absolute directories that plugins which ask for it may read, separated by commas.
    SANDBOX_FS_READ = "sandbox.fs.read", Kind::Directories, Some(""), ALL;
    /// Absolute directories that plugins which ask for it may read and write, separated by commas.
    SANDBOX_FS_WRITE = "sandbox.fs.write", Kind::Directories, Some(""), ALL;
    /// Environment variables that plugins which ask for them may see, separated by commas.
    SANDBOX_ENV = "sandbox.env", Kind::Names, Some(""), ALL;

    /// Hosts that plugins which ask for them may send requests to, separated by commas: `[scheme://]host[:port]`,
    /// `https` and its port where they are left out, `*.example.com` for all names below. An address is granted even if
    /// it is not public.
    SANDBOX_HTTP_HOSTS = "sandbox.http.hosts", Kind::Hosts, Some(""), ALL;
    /// Addresses and blocks of them that are not public and that the names among the hosts may resolve to, separated by
    /// commas.
    SANDBOX_HTTP_ADDRESSES = "sandbox.http.addresses", Kind::Addresses, Some(""), ALL;
    /// How long a request may take, redirects and the answer's body included, in milliseconds; never longer than what is
    /// left of the call.
    SANDBOX_HTTP_TIMEOUT_MS = "sandbox.http.timeout.ms", Kind::Millis(1, MAX_CALL_MS), Some("30000"), ALL;
    /// The longest body of an answer, in bytes.
    SANDBOX_HTTP_RESPONSE_MAX_BYTES = "sandbox.http.response.max.bytes",
        Kind::Bytes(0, MAX_RESPONSE), Some("8388608"), ALL;
    /// The aliases of headers that the host adds to requests, separated by commas.
    SANDBOX_HTTP_INJECT = "sandbox.http.inject", Kind::Names, Some(""), ALL;
    /// The name of such a header. Required for each alias.
    SANDBOX_HTTP_INJECT_HEADER = "sandbox.http.inject.<alias>.header", Kind::Text, None, ALL;
    /// Its value, which no plugin gets to see; it may refer to secrets. Required for each alias.
    SANDBOX_HTTP_INJECT_VALUE = "sandbox.http.inject.<alias>.value", Kind::Text, None, ALL;
    /// The hosts that get it, of those in `sandbox.http.hosts`. Required where these are more than one.
    SANDBOX_HTTP_INJECT_HOSTS = "sandbox.http.inject.<alias>.hosts", Kind::Hosts, None, ALL;
}
