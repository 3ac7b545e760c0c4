//! Properties of librdkafka that Sandbar has an opinion on: what it sets, what nobody may change, and why.

pub(super) type Table = &'static [(&'static str, &'static str)];

pub(super) const CONSUMER_DEFAULTS: Table = &[
    ("auto.offset.reset", "earliest"),
    // 16 MiB of fetched records a task, where librdkafka would keep 64.
    ("queued.max.messages.kbytes", "16384"),
    // The queue above is drained in well under librdkafka's back-off of a second.
    ("fetch.queue.backoff.ms", "20"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];
pub(super) const CONSUMER_FIXED: Table = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("isolation.level", "read_committed"),
    (ASSIGNMENT_STRATEGY, "cooperative-sticky"),
    ("allow.auto.create.topics", "false"),
];
pub(super) const PRODUCER_DEFAULTS: Table = &[
    ("compression.codec", "lz4"),
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    // 64 MiB or 100,000 records wait for the broker at most; `stage` waits beyond that.
    ("queue.buffering.max.kbytes", "65536"),
    ("queue.buffering.max.messages", "100000"),
    ("partitioner", "murmur2_random"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];
pub(super) const PRODUCER_FIXED: Table = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // A transaction's commit answers for its records; only failures are worth a report each.
    ("delivery.report.only.error", "true"),
];
/// The end of a partition shows in a fetch that comes back empty, and every load of state or offsets waits for that once.
pub(super) const READER_FETCH_WAIT_MS: &str = "20";
/// The property that bounds a transaction. A killed task's transaction blocks readers for this long, unless its successor
/// comes earlier.
pub(super) const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";

/// The property by which a client closes a connection over which nothing came or went, an answer it waits for included.
pub(super) const MAX_IDLE: &str = "connections.max.idle.ms";
/// How long a producer that commits for a group keeps such a connection, in milliseconds. When a group's coordinator leaves
/// the cluster's metadata at the wrong moment, as it does in every restart of a broker, librdkafka 2.12 waits for the next
/// connection of the client to come or go before it looks for another coordinator, without end if none does (its issues
/// 5456 and 5511). While it waits all of them are idle, so that this is how long a commit may hang at most. A request that
/// takes longer is sent again, which the broker recognises.
pub(super) const MAX_IDLE_MS: &str = "10000";

/// The property by which a member of a group is known again.
pub(super) const GROUP_INSTANCE_ID: &str = "group.instance.id";
/// The property that chooses between the two group protocols of Kafka, `classic` and `consumer` (KIP-848).
pub(super) const GROUP_PROTOCOL: &str = "group.protocol";
/// The property that only the classic one knows.
pub(super) const ASSIGNMENT_STRATEGY: &str = "partition.assignment.strategy";
/// Another one: how long a member may be silent before its partitions are given to others.
pub(super) const SESSION_TIMEOUT: &str = "session.timeout.ms";
/// As long as its worker may be, in milliseconds, so that the task's next member need not wait for the dead one for longer
/// than its group did. librdkafka would have 45 seconds.
pub(super) const SESSION_TIMEOUT_MS: &str = "10000";
/// How often a member says that it lives, and so how soon it learns that the group deals anew. All others wait for it then,
/// whoever closes among them; librdkafka would let them wait for 3 seconds.
pub(super) const HEARTBEAT: (&str, &str) = ("heartbeat.interval.ms", "1000");

/// Properties that belong to Sandbar, and why.
pub(super) const OURS: Table = &[
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
pub(super) const WORKERS: Table =
    &[("bootstrap.servers", "records and offsets of one transaction live in one cluster")];
/// librdkafka's other names for the properties above.
pub(super) const ALIASES: Table = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("compression.type", "compression.codec"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("sasl.mechanism", "sasl.mechanisms"),
];
