//! The keys of `sandbar.toml`.

use super::{Key, Kind, keys};

/// Keys of a worker belong to no kind of connector.
const NONE: &[sandbar_abi::manifest::Kind] = &[];
/// One day, the longest pause that makes sense anywhere, in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;
/// The most linear memory a guest can address, in bytes: 64-bit memories are off.
pub(super) const MAX_MEMORY: i64 = 1 << 30;
/// One page of linear memory, in bytes.
pub(super) const MIN_MEMORY: i64 = 64 << 10;
/// The longest a guest may take for one call, in milliseconds. More would hold a broker's transaction open too long.
pub(super) const MAX_CALL_MS: i64 = 10 * 60 * 1000;

keys! {
    /// Every key of `sandbar.toml`. All are optional.
    WORKER_KEYS:

    /// The folder that is watched for plugins and connector definitions.
    PLUGINS = "plugins", Kind::Path, Some("plugins"), NONE;
    /// The folder the worker keeps its own data in: the embedded broker's log, the cache, its name in the worker group,
    /// versions in quarantine and those before them.
    DATA = "data", Kind::Path, Some("data"), NONE;
    /// The folder of compiled plugins; only the worker may be able to write there. Without it, `cache` in the data
    /// folder.
    CACHE = "cache", Kind::Path, None, NONE;
    /// How much the folder of compiled plugins may hold, in bytes; what was not used for longest is removed first. 0 keeps
    /// nothing.
    PLUGINS_CACHE_MAX_BYTES = "plugins.cache.max.bytes", Kind::Bytes(0, i64::MAX), Some("2147483648"), NONE;
    /// The plugins that may be loaded, by the sha256 that `sandbar inspect` shows. Without it, any; empty, none.
    PLUGINS_ALLOW = "plugins.allow", Kind::Digests, None, NONE;
    /// Whether only plugins are loaded that one of the keys in `plugins.signature.keys` has signed.
    PLUGINS_REQUIRE_SIGNATURE = "plugins.require.signature", Kind::Flag, Some("false"), NONE;
    /// The public keys whose signatures count: minisign's lines of base64, or paths of `.pub` files, which are read when
    /// the worker starts. With keys, a plugin whose signature is by another key or wrong is refused.
    PLUGINS_SIGNATURE_KEYS = "plugins.signature.keys", Kind::PublicKeys, None, NONE;
    /// Whether workers of one group share their plugins: a file that is dropped at one comes to all, and one that is taken
    /// away goes everywhere. The embedded broker has one worker.
    PLUGINS_SHARED = "plugins.shared", Kind::Flag, Some("true"), NONE;
    /// The name of the worker group. Workers of one group on one Kafka share the tasks of their connectors, and need the
    /// same definitions; it is the first part of transactional ids.
    GROUP_ID = "group.id", Kind::Text, Some("sandbar"), NONE;
    /// How often the folder is looked through even if nothing announced a change, in milliseconds.
    SCAN_INTERVAL_MS = "scan.interval.ms", Kind::Millis(10, DAY), Some("5000"), NONE;
    /// How long tasks may take to finish when the worker stops, in milliseconds.
    SHUTDOWN_TIMEOUT_MS = "shutdown.timeout.ms", Kind::Millis(0, DAY), Some("30000"), NONE;
    /// How long a task may make no progress before its state is `STALLED`, in milliseconds: it neither deals with a record
    /// nor finds that there is none. Its plugins may always take their time-outs, twice.
    TASK_STALL_TIMEOUT_MS = "task.stall.timeout.ms", Kind::Millis(100, DAY), Some("30000"), NONE;
    /// The topic that holds the offsets of sources, in Kafka Connect's format.
    OFFSET_STORAGE_TOPIC = "offset.storage.topic", Kind::Topic, Some("sandbar-offsets"), NONE;

    /// The topic that holds what a worker group agrees on, in Kafka Connect's format: connectors that were defined over REST,
    /// what operators want of connectors. Each group has one of its own; without it, `sandbar-configs-<group.id>`.
    CONFIG_STORAGE_TOPIC = "config.storage.topic", Kind::Topic, None, NONE;
    /// The topic in which the workers of a group say what they run, in Kafka Connect's format. Each group has one of its own;
    /// without it, `sandbar-status-<group.id>`. The embedded broker needs none.
    STATUS_STORAGE_TOPIC = "status.storage.topic", Kind::Topic, None, NONE;
    /// The topic by which the workers of a group share their plugins. Each group has one of its own; without it,
    /// `sandbar-plugins-<group.id>`. The embedded broker needs none.
    PLUGIN_STORAGE_TOPIC = "plugin.storage.topic", Kind::Topic, None, NONE;

    /// Properties of librdkafka, for every client. With `bootstrap.servers` the worker uses Kafka, without any property
    /// its embedded broker. References to secrets are resolved when the worker starts.
    KAFKA = "kafka.*", Kind::Properties, None, NONE;

    /// The embedded broker's promise: `full`, a commit survives a power failure; `normal`, it survives the end of the
    /// process.
    LOCAL_SYNCHRONOUS = "local.synchronous", Kind::OneOf(&["full", "normal"]), Some("full"), NONE;
    /// How long the embedded broker keeps records of topics that do not say it themselves, in milliseconds; -1 keeps
    /// them forever.
    LOCAL_LOG_RETENTION_MS = "local.log.retention.ms", Kind::Millis(-1, i64::MAX), Some("604800000"), NONE;
    /// How often the embedded broker removes what need not be kept, in milliseconds.
    LOCAL_LOG_RETENTION_CHECK_INTERVAL_MS = "local.log.retention.check.interval.ms",
        Kind::Millis(100, DAY), Some("300000"), NONE;
    /// The largest record the embedded broker takes, in bytes.
    LOCAL_MESSAGE_MAX_BYTES = "local.message.max.bytes", Kind::Bytes(1024, 64 << 20), Some("1048588"), NONE;

    /// How many partitions a topic gets that a connector creates.
    TOPIC_DEFAULTS_PARTITIONS = "topic.defaults.partitions", Kind::Integer(1, 100_000), Some("1"), NONE;
    /// How many replicas a topic gets that a connector creates, the topics for offsets and state included; -1: as many as
    /// the cluster's `default.replication.factor` says. The embedded broker has one of everything.
    TOPIC_DEFAULTS_REPLICATION_FACTOR = "topic.defaults.replication.factor", Kind::Replicas, Some("-1"), NONE;
    /// What happens to old records of a topic that a connector creates.
    TOPIC_DEFAULTS_CLEANUP_POLICY = "topic.defaults.cleanup.policy",
        Kind::OneOf(&["delete", "compact", "compact,delete"]), Some("delete"), NONE;
    /// How long a topic that a connector creates keeps records, in milliseconds; -1 keeps them forever. Without it, the
    /// broker's default.
    TOPIC_DEFAULTS_RETENTION_MS = "topic.defaults.retention.ms", Kind::Millis(-1, i64::MAX), None, NONE;

    /// How much linear memory an instance of a plugin may use, in bytes. A connector may have less, not more.
    WORKER_MEMORY_MAX_BYTES = "sandbox.memory.max.bytes",
        Kind::Bytes(MIN_MEMORY, MAX_MEMORY), Some("268435456"), NONE;
    /// How much fuel one call of a plugin may use; an instruction costs about one. A connector may have less, not more.
    WORKER_FUEL_PER_CALL = "sandbox.fuel.per.call", Kind::Integer(1, i64::MAX), Some("10000000000"), NONE;
    /// How long one call of a plugin may take, in milliseconds. A connector may have less, not more.
    WORKER_CALL_TIMEOUT_MS = "sandbox.call.timeout.ms", Kind::Millis(1, MAX_CALL_MS), Some("10000"), NONE;

    /// Where the REST interface answers, as `host:port`; port 0 takes any that is free. `none`: nowhere but on the socket in
    /// the data folder.
    REST_LISTEN = "rest.listen", Kind::Address, Some("127.0.0.1:8083"), NONE;
    /// The host by which other workers and clients reach this one. Without it, the address it listens on; of one that listens
    /// on all, the name its system has.
    REST_ADVERTISED_HOST_NAME = "rest.advertised.host.name", Kind::Text, None, NONE;
    /// Whether to listen on an address that is no loopback one without credentials: everybody who reaches it may do
    /// everything.
    REST_INSECURE = "rest.insecure", Kind::Flag, Some("false"), NONE;
    /// Names this host is known by, besides `localhost` and its addresses. Without credentials, requests for another name
    /// are refused: a web page could have sent them.
    REST_HOSTS = "rest.hosts", Kind::Names, Some(""), NONE;
    /// A file in PEM: the certificate of the REST interface, followed by those that lead to its authority. With it, the
    /// interface speaks HTTPS only. It is read again when it changes.
    REST_TLS_CERTIFICATE = "rest.tls.certificate", Kind::Path, None, NONE;
    /// A file in PEM: the certificate's private key.
    REST_TLS_KEY = "rest.tls.key", Kind::Path, None, NONE;
    /// A file in PEM: the authorities of client certificates. With it, nobody connects without one; without credentials,
    /// whoever has one may do everything.
    REST_TLS_CLIENT_CA = "rest.tls.client.ca", Kind::Path, None, NONE;
    /// How many connections there are at most; one client has half of them.
    REST_CONNECTIONS_MAX = "rest.connections.max", Kind::Integer(2, 100_000), Some("1024"), NONE;
    /// How long a connection is kept without a request, in milliseconds.
    REST_IDLE_TIMEOUT_MS = "rest.idle.timeout.ms", Kind::Millis(100, DAY), Some("60000"), NONE;
    /// How long a request may take to be answered, in milliseconds.
    REST_REQUEST_TIMEOUT_MS = "rest.request.timeout.ms", Kind::Millis(100, DAY), Some("90000"), NONE;
    /// The largest body of a request, in bytes.
    REST_BODY_MAX_BYTES = "rest.body.max.bytes", Kind::Bytes(1024, 64 << 20), Some("1048576"), NONE;
    /// The largest plugin that may be uploaded, in bytes.
    REST_PLUGIN_MAX_BYTES = "rest.plugin.max.bytes", Kind::Bytes(1024, 128 << 20), Some("134217728"), NONE;
    /// How many requests are answered at once; `/health` and `/ready` always are.
    REST_REQUESTS_MAX = "rest.requests.max", Kind::Integer(1, 100_000), Some("256"), NONE;
    /// How many requests a client may send a second, and twice as many at once; 0: as many as it likes.
    REST_RATE_PER_SECOND = "rest.rate.per.second", Kind::Integer(0, 1_000_000), Some("500"), NONE;
    /// How many wrong credentials a client may show a minute; 0: as many as it likes.
    REST_FAILURES_PER_MINUTE = "rest.failures.per.minute", Kind::Integer(0, 10_000), Some("10"), NONE;
    /// The origins whose web pages may use the REST interface, as `https://example.com`, separated by commas. Without any, no
    /// page of another site may.
    ACCESS_CONTROL_ALLOW_ORIGIN = "access.control.allow.origin", Kind::Names, Some(""), NONE;
    /// What somebody may do: `read`, look; `operate`, also pause, restart, change offsets and handle dead letters; `admin`,
    /// everything. The name is the user of a password, and is in the audit.
    AUTH_ROLE = "auth.<alias>.role", Kind::OneOf(&["read", "operate", "admin"]), None, NONE;
    /// Their bearer token, 16 bytes or more, or `sha256:` and its SHA-256 in hexadecimal. References to secrets are resolved
    /// when the worker starts.
    AUTH_TOKEN = "auth.<alias>.token", Kind::Text, None, NONE;
    /// Their password, 8 bytes or more, or `$pbkdf2-sha256$i=..,l=32$salt$hash`, or `sha256:` and its SHA-256. References to
    /// secrets are resolved when the worker starts.
    AUTH_PASSWORD = "auth.<alias>.password", Kind::Text, None, NONE;

    /// A file of certificates in PEM that are trusted besides those of the system, when plugins send requests by HTTPS and
    /// when traces are sent.
    HTTP_CA_FILE = "http.ca.file", Kind::Path, None, NONE;

    /// Where traces are sent, by OTLP over HTTP: a collector, as `http://127.0.0.1:4318`; `/v1/traces` is added. `none`:
    /// nowhere. Without it, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` of the environment; without
    /// these nothing is traced.
    TRACING_ENDPOINT = "tracing.endpoint", Kind::Endpoint, None, NONE;
    /// Headers that are sent along, as `tracing.headers.authorization`; they may refer to secrets, which are resolved when the
    /// worker starts. Without any, those in `OTEL_EXPORTER_OTLP_TRACES_HEADERS` or `OTEL_EXPORTER_OTLP_HEADERS`.
    TRACING_HEADERS = "tracing.headers.*", Kind::Properties, None, NONE;
    /// The share of the traces that begin here that is recorded, from 0 to 1. Those that others have begun are recorded where
    /// others do. Without it, what `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say; without these, all.
    TRACING_SAMPLING_RATIO = "tracing.sampling.ratio", Kind::Ratio, None, NONE;
    /// What the worker is called in traces. Without it, `OTEL_SERVICE_NAME`, or `service.name` of
    /// `OTEL_RESOURCE_ATTRIBUTES`, or `sandbar`.
    TRACING_SERVICE_NAME = "tracing.service.name", Kind::Text, None, NONE;

    /// The least severe messages that are logged.
    LOG_LEVEL = "log.level", Kind::OneOf(&["off", "error", "warn", "info", "debug", "trace"]), Some("info"), NONE;
    /// How messages are logged: `plain` for people, `json` for programs, `auto`: plain on a terminal, else JSON.
    LOG_FORMAT = "log.format", Kind::OneOf(&["auto", "plain", "json"]), Some("auto"), NONE;
}
