//! Keys that Kafka Connect knows and Sandbar does not act on: accepted with a warning, or refused in so many words.
//! Definitions that come over from Kafka Connect carry them.

/// A key, or a prefix that ends with a dot, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectKey {
    /// The key, or a prefix of keys where it ends with a dot.
    pub name: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a key of Kafka Connect's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Records pass as bytes; any converter but the one that says so gets this warning.
    Converter,
    /// Accepted, and this is said.
    Ignored(&'static str),
    /// Refused, and this is said: to ignore it would change what the connector does.
    Refused(&'static str),
}

const CONVERTER_OPTION: Verdict = Verdict::Ignored("has no effect: records pass as bytes, no converter runs");

/// The keys.
pub const CONNECT_KEYS: &[ConnectKey] = &[
    ConnectKey { name: "key.converter", verdict: Verdict::Converter },
    ConnectKey { name: "value.converter", verdict: Verdict::Converter },
    ConnectKey { name: "header.converter", verdict: Verdict::Converter },
    ConnectKey { name: "key.converter.", verdict: CONVERTER_OPTION },
    ConnectKey { name: "value.converter.", verdict: CONVERTER_OPTION },
    ConnectKey { name: "header.converter.", verdict: CONVERTER_OPTION },
    ConnectKey {
        name: "offset.flush.interval.ms",
        verdict: Verdict::Ignored("has no effect: offsets commit with their records, see commit.interval.ms"),
    },
    ConnectKey {
        name: "config.action.reload",
        verdict: Verdict::Ignored("has no effect: a changed definition always restarts its connector"),
    },
    ConnectKey {
        name: "tasks.max.enforce",
        verdict: Verdict::Ignored("has no effect: a connector never gets more than tasks.max tasks"),
    },
    ConnectKey {
        name: "transaction.boundary",
        verdict: Verdict::Ignored("has no effect: commit.interval.ms and commit.max.* bound transactions"),
    },
    ConnectKey {
        name: "transaction.boundary.interval.ms",
        verdict: Verdict::Ignored("has no effect: see commit.interval.ms"),
    },
    ConnectKey { name: "predicates", verdict: Verdict::Refused(NO_PREDICATES) },
    ConnectKey { name: "predicates.", verdict: Verdict::Refused(NO_PREDICATES) },
    ConnectKey {
        name: "offsets.storage.topic",
        verdict: Verdict::Refused("Sandbar keeps the offsets of all connectors in the worker's offset.storage.topic"),
    },
    ConnectKey {
        name: "topic.creation.groups",
        verdict: Verdict::Refused("Sandbar has one group of topics, topic.creation.default.*"),
    },
];

/// Why predicates are refused.
pub const NO_PREDICATES: &str = "Sandbar has no predicates: let the transform decide which records it changes";

/// Keys of a transform that Kafka Connect takes and Sandbar refuses.
pub const TRANSFORM_PREDICATE_KEYS: &[&str] = &["predicate", "negate"];

/// The converter that does what Sandbar does.
pub const BYTES_CONVERTER: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";

/// What becomes of a key, if it is one of these.
#[must_use]
pub fn verdict(name: &str) -> Option<Verdict> {
    let is = |key: &&ConnectKey| name == key.name || (key.name.ends_with('.') && name.starts_with(key.name));
    CONNECT_KEYS.iter().find(is).map(|key| key.verdict)
}
