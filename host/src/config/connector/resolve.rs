//! A definition, manifests and the worker's configuration in; settings or every fault out.

use sandbar_abi::Manifest;
use sandbar_abi::manifest::Kind;

use super::{
    CommitSettings, ConnectorSettings, DeadLetterSettings, ErrorSettings, ManifestLookup, RetrySettings, Tolerance,
    keys_of, sandbox, stages, topics,
};
use crate::broker::{CleanupPolicy, TopicSettings};
use crate::config::definition::Definition;
use crate::config::error::{ConfigError, ErrorKind, Warning};
use crate::config::keys::{self, KEYS};
use crate::config::reader::Reader;
use crate::config::schema::Schema;
use crate::config::worker::{self, WorkerConfig};
use crate::config::worker_keys;

pub(super) fn resolve(
    definition: &Definition,
    manifests: &dyn ManifestLookup,
    worker: &WorkerConfig,
) -> Result<(ConnectorSettings, Vec<Warning>), Vec<ConfigError>> {
    let mut reader = Reader::new(definition.origin(), &definition.entries);
    let own = stages::find(&mut reader, manifests, &keys::CONNECTOR_CLASS, &keys::PLUGIN_VERSION, "");
    let manifest = own.as_ref().and_then(|own| own.manifest);
    let kind = kind(&mut reader, manifest);
    let transforms = stages::find_transforms(&mut reader, manifests);
    // With a plugin missing nobody knows whose the other keys are; the rest is checked all the same.
    let plugin_keys = keys_of::plugin(&mut reader, manifest, own.is_some() && manifest.is_none());
    let granted = sandbox::Granted::read(&mut reader, worker);
    let topic = topics::output(&mut reader, kind);
    let topics = topics::input(&mut reader, kind);
    let topic_settings = topic_settings(&mut reader, worker);
    let errors = error_settings(&mut reader, worker);
    let own_topics = worker.own_topics();
    topics::check_written(&mut reader, topics.as_ref(), topic.as_deref(), errors.dead_letters.as_ref(), &own_topics);
    unused(&mut reader, kind, manifest);

    let all: Vec<&Manifest> =
        manifest.into_iter().chain(transforms.iter().filter_map(|(_, found)| found.manifest)).collect();
    // A grant is odd only if none of the plugins asks, which is known only once all are there.
    if all.len() == transforms.len() + 1 {
        granted.warn_unasked(&mut reader, &all);
    }
    let plugin = stages::settings(&mut reader, own, plugin_keys, "", &granted);
    let transforms = stages::transform_settings(&mut reader, transforms, &granted);
    let group = reader.text(&keys::CONSUMER_GROUP).unwrap_or_else(|| format!("connect-{}", definition.name));
    let group_keys = [keys::CONSUMER_GROUP.name];
    let consumer_overrides = worker_keys::properties(&mut reader, "consumer.override.", &group_keys);
    let producer_overrides = worker_keys::properties(&mut reader, "producer.override.", &[]);
    check_exactly_once(&mut reader, kind, manifest);
    let (tasks_max, batch_max_records) = (reader.integer(&keys::TASKS_MAX), reader.integer(&keys::BATCH_MAX_RECORDS));
    let batch_max_bytes = reader.integer(&keys::BATCH_MAX_BYTES);
    let poll_interval = reader.millis(&keys::POLL_INTERVAL_MS);
    let commit = CommitSettings {
        interval: reader.millis(&keys::COMMIT_INTERVAL_MS),
        max_records: reader.integer(&keys::COMMIT_MAX_RECORDS),
        max_bytes: reader.integer(&keys::COMMIT_MAX_BYTES),
    };

    let Reader { errors: faults, warnings, .. } = reader;
    match (kind, plugin) {
        (Some(kind), Some(plugin)) if faults.is_empty() => {
            let settings = ConnectorSettings {
                name: definition.name.clone(),
                kind,
                tasks_max,
                plugin,
                transforms,
                topics,
                group,
                topic,
                errors,
                commit,
                batch_max_records,
                batch_max_bytes,
                poll_interval,
                topic_settings,
                consumer_overrides,
                producer_overrides,
            };
            Ok((settings, warnings))
        }
        _ => Err(worker::in_order(faults)),
    }
}

/// As what the plugin runs.
fn kind(reader: &mut Reader<'_>, manifest: Option<&Manifest>) -> Option<Kind> {
    let asked = reader.text(&keys::CONNECTOR_TYPE);
    let asked =
        [Kind::Source, Kind::Sink, Kind::Transform].into_iter().find(|kind| asked.as_deref() == Some(kind.name()));
    let Some(manifest) = manifest else { return asked };
    let names = manifest.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    match (asked, manifest.kinds.as_slice()) {
        (Some(kind), _) if manifest.is(kind) => Some(kind),
        (Some(kind), _) => {
            let message = format!("plugin {} is no {}, it is: {names}", manifest.name, kind.name());
            reader.error(ErrorKind::Invalid, keys::CONNECTOR_TYPE.name, message);
            None
        }
        (None, [only]) => Some(*only),
        // A value that is wrong has been told already.
        (None, _) if reader.has(&keys::CONNECTOR_TYPE) => None,
        (None, _) => {
            let message = format!("is required, for plugin {} is several kinds: {names}", manifest.name);
            reader.error(ErrorKind::Missing, keys::CONNECTOR_TYPE.name, message);
            None
        }
    }
}

/// What is required the plugin has to declare: whether it keeps its word nobody can see from here.
fn check_exactly_once(reader: &mut Reader<'_>, kind: Option<Kind>, manifest: Option<&Manifest>) {
    let required = reader.text(&keys::EXACTLY_ONCE_SUPPORT).as_deref() == Some("required");
    let (Some(kind), Some(manifest)) = (kind, manifest) else { return };
    if !required || manifest.is_exactly_once(kind) {
        return;
    }
    let fields = match kind {
        Kind::Sink => "neither \"exactly_once\" nor \"idempotent_write\" is",
        Kind::Source | Kind::Transform => "\"exactly_once\" is not",
    };
    let message = format!(
        "plugin {} {} does not declare that it can be exactly once as a {}: {fields} true in its manifest; use one \
         that does, or \"requested\"",
        manifest.name,
        manifest.version,
        kind.name(),
    );
    reader.error(ErrorKind::Invalid, keys::EXACTLY_ONCE_SUPPORT.name, message);
}

fn topic_settings(reader: &mut Reader<'_>, worker: &WorkerConfig) -> TopicSettings {
    let defaults = &worker.topic_defaults;
    let policy = reader.text(&keys::TOPIC_CREATION_CLEANUP_POLICY);
    TopicSettings {
        partitions: reader.integer_given(&keys::TOPIC_CREATION_PARTITIONS).unwrap_or(defaults.partitions),
        replication_factor: reader
            .integer_given(&keys::TOPIC_CREATION_REPLICATION_FACTOR)
            .unwrap_or(defaults.replication_factor),
        cleanup_policy: policy.and_then(|name| CleanupPolicy::from_name(&name)).unwrap_or(defaults.cleanup_policy),
        retention_ms: reader.integer_given(&keys::TOPIC_CREATION_RETENTION_MS).or(defaults.retention_ms),
        retention_bytes: defaults.retention_bytes,
    }
}

fn error_settings(reader: &mut Reader<'_>, worker: &WorkerConfig) -> ErrorSettings {
    let tolerance = reader.text(&keys::ERRORS_TOLERANCE);
    let replicas = reader.integer_given(&keys::ERRORS_DEADLETTERQUEUE_TOPIC_REPLICATION_FACTOR);
    let context_headers = reader.flag(&keys::ERRORS_DEADLETTERQUEUE_CONTEXT_HEADERS_ENABLE);
    let topic = reader.text(&keys::ERRORS_DEADLETTERQUEUE_TOPIC_NAME);
    ErrorSettings {
        tolerance: if tolerance.as_deref() == Some("all") { Tolerance::All } else { Tolerance::None },
        retry: RetrySettings {
            timeout: reader.millis_or_forever(&keys::ERRORS_RETRY_TIMEOUT),
            delay_max: reader.millis(&keys::ERRORS_RETRY_DELAY_MAX_MS),
        },
        log: reader.flag(&keys::ERRORS_LOG_ENABLE),
        log_messages: reader.flag(&keys::ERRORS_LOG_INCLUDE_MESSAGES),
        dead_letters: topic.map(|topic| DeadLetterSettings {
            topic,
            topic_settings: TopicSettings {
                replication_factor: replicas.unwrap_or(worker.topic_defaults.replication_factor),
                // Dead letters are looked at in order and kept by age: compaction would lose those without a key.
                cleanup_policy: CleanupPolicy::Delete,
                ..worker.topic_defaults.clone()
            },
            context_headers,
        }),
    }
}

/// Keys that do nothing for this kind of connector. A plugin that lists one in its schema gets it.
fn unused(reader: &mut Reader<'_>, kind: Option<Kind>, manifest: Option<&Manifest>) {
    let Some(kind) = kind else { return };
    let schema = manifest.and_then(|manifest| manifest.config.as_ref()).map(Schema::new);
    let entries = reader.entries;
    for name in entries.keys().filter(|name| !schema.as_ref().is_some_and(|schema| schema.lists(name))) {
        let Some(key) = KEYS.iter().find(|key| key.matches(name)) else { continue };
        // Wrong topics are errors, told elsewhere.
        let told = [keys::TOPICS.name, keys::TOPICS_REGEX.name].contains(&key.name);
        if !key.applies.contains(&kind) && !told {
            reader.warning(name, format!("has no effect on a {}", kind.name()));
        }
    }
}
