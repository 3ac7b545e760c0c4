//! Reads the keys of `sandbar.toml`: what each means, and which are no keys. Properties of librdkafka, which connectors have
//! too, are read here for both.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::{ErrorKind, Origin};
use super::keys::{self, WORKER_KEYS};
use super::reader::{self, Reader};
use super::secrets::{self, Properties};
use super::tree::Field;
use super::worker::{BrokerConfig, Limits, LocalConfig, LogConfig, LogFormat, Synchronous, WorkerConfig};
use super::{rest, suggest, tracing, trust};
use crate::broker::{CleanupPolicy, TopicSettings};

/// What comes before the properties of librdkafka.
const KAFKA: &str = "kafka.";
/// What comes before the settings of the embedded broker.
const LOCAL: &str = "local.";

/// What a file says, by key.
pub(super) fn entries(flat: Vec<Field>, origin: &mut Origin) -> BTreeMap<String, Value> {
    let mut entries = BTreeMap::new();
    for Field { key, at, value } in flat {
        origin.places.insert(key.clone(), at);
        let value = match value.scalar() {
            Some(text) => Value::String(text),
            None => value.to_json(),
        };
        entries.insert(key, value);
    }
    entries
}

/// A worker's configuration, as its keys have it.
pub(super) fn read(reader: &mut Reader<'_>) -> WorkerConfig {
    unknown_keys(reader);
    let path = |reader: &mut Reader<'_>, key| reader.path(key).unwrap_or_default();
    let data = path(reader, &keys::DATA);
    let group_id = reader.text(&keys::GROUP_ID).unwrap_or_default();
    WorkerConfig {
        plugins: path(reader, &keys::PLUGINS),
        cache: reader.path(&keys::CACHE).unwrap_or_else(|| data.join("cache")),
        data,
        cache_max_bytes: reader.integer(&keys::PLUGINS_CACHE_MAX_BYTES),
        trust: trust::policy(reader),
        group_id: group_id.clone(),
        broker: broker(reader),
        status_storage_topic: reader
            .text(&keys::STATUS_STORAGE_TOPIC)
            .unwrap_or_else(|| format!("sandbar-status-{group_id}")),
        plugin_storage_topic: plugin_storage_topic(reader, &group_id),
        config_storage_topic: reader
            .text(&keys::CONFIG_STORAGE_TOPIC)
            .unwrap_or_else(|| format!("sandbar-configs-{group_id}")),
        offset_storage_topic: reader.text(&keys::OFFSET_STORAGE_TOPIC).unwrap_or_default(),
        topic_defaults: topic_defaults(reader),
        limits: Limits {
            memory_max_bytes: reader.integer(&keys::WORKER_MEMORY_MAX_BYTES),
            fuel_per_call: reader.integer(&keys::WORKER_FUEL_PER_CALL),
            call_timeout: reader.millis(&keys::WORKER_CALL_TIMEOUT_MS),
        },
        rest: rest::read(reader),
        http_ca_file: reader.path(&keys::HTTP_CA_FILE),
        tracing: tracing::read(reader),
        log: LogConfig {
            level: reader.text(&keys::LOG_LEVEL).unwrap_or_default(),
            format: match reader.text(&keys::LOG_FORMAT).as_deref() {
                Some("plain") => LogFormat::Plain,
                Some("json") => LogFormat::Json,
                _ => LogFormat::Auto,
            },
        },
        scan_interval: reader.millis(&keys::SCAN_INTERVAL_MS),
        shutdown_timeout: reader.millis(&keys::SHUTDOWN_TIMEOUT_MS),
        stall_timeout: reader.millis(&keys::TASK_STALL_TIMEOUT_MS),
    }
}

fn plugin_storage_topic(reader: &mut Reader<'_>, group_id: &str) -> Option<String> {
    let topic = reader.text(&keys::PLUGIN_STORAGE_TOPIC).unwrap_or_else(|| format!("sandbar-plugins-{group_id}"));
    reader.flag(&keys::PLUGINS_SHARED).then_some(topic)
}

fn unknown_keys(reader: &mut Reader<'_>) {
    let entries = reader.entries;
    for name in entries.keys().filter(|name| !WORKER_KEYS.iter().any(|key| key.matches(name))) {
        let known = WORKER_KEYS.iter().filter(|key| !key.is_pattern()).map(|key| key.name);
        let hint = suggest::hint(name, known);
        reader.error(ErrorKind::UnknownKey, name, format!("is not known{hint}"));
    }
}

fn topic_defaults(reader: &mut Reader<'_>) -> TopicSettings {
    let policy = reader.text(&keys::TOPIC_DEFAULTS_CLEANUP_POLICY).unwrap_or_default();
    TopicSettings {
        partitions: reader.integer(&keys::TOPIC_DEFAULTS_PARTITIONS),
        replication_factor: reader.integer(&keys::TOPIC_DEFAULTS_REPLICATION_FACTOR),
        cleanup_policy: CleanupPolicy::from_name(&policy).unwrap_or_default(),
        retention_ms: reader.integer_given(&keys::TOPIC_DEFAULTS_RETENTION_MS),
        retention_bytes: None,
    }
}

fn broker(reader: &mut Reader<'_>) -> BrokerConfig {
    let properties = properties(reader, KAFKA, &[]);
    if properties.is_empty() {
        return BrokerConfig::Local(local(reader));
    }
    if properties.get("bootstrap.servers").is_none() {
        reader.error(ErrorKind::Missing, "kafka.bootstrap.servers", "is required where [kafka] has properties");
    }
    // Read all the same, so that its faults are found.
    local(reader);
    let entries = reader.entries;
    for name in entries.keys().filter(|name| name.starts_with(LOCAL)) {
        reader.warning(name, "has no effect: [kafka] names a broker, the embedded one does not run");
    }
    BrokerConfig::Kafka(properties)
}

fn local(reader: &mut Reader<'_>) -> LocalConfig {
    LocalConfig {
        synchronous: match reader.text(&keys::LOCAL_SYNCHRONOUS).as_deref() {
            Some("normal") => Synchronous::Normal,
            _ => Synchronous::Full,
        },
        log_retention: reader.millis_or_forever(&keys::LOCAL_LOG_RETENTION_MS),
        log_retention_check_interval: reader.millis(&keys::LOCAL_LOG_RETENTION_CHECK_INTERVAL_MS),
        message_max_bytes: reader.integer(&keys::LOCAL_MESSAGE_MAX_BYTES),
    }
}

/// Properties of a client that would break what the host promises if somebody else set them.
const HOST_PROPERTIES: &[&str] =
    &["enable.auto.commit", "enable.auto.offset.store", "enable.idempotence", "group.id", "transactional.id"];

/// The properties behind a prefix, but for keys that the host reads itself.
pub(super) fn properties(reader: &mut Reader<'_>, prefix: &str, own: &[&str]) -> Properties {
    let (entries, mut properties) = (reader.entries, BTreeMap::new());
    for (name, value) in entries.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        let Some(key) = name.strip_prefix(prefix).filter(|key| !key.is_empty()) else { continue };
        if HOST_PROPERTIES.contains(&key) {
            reader.error(ErrorKind::Invalid, name, "is set by the host: exactly-once delivery rests on it");
            continue;
        }
        let checked = reader::text(value).ok_or_else(|| "must be a single value".to_owned());
        match checked.and_then(|text| secrets::check(&text).map(|()| text)) {
            Ok(text) => drop(properties.insert(key.to_owned(), text)),
            Err(message) => reader.error(ErrorKind::Invalid, name, message),
        }
    }
    Properties::new(reader.origin, prefix, properties)
}
