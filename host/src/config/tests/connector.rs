//! From definitions to settings: topics, kinds, transforms, errors, and whose a key is.

use std::time::Duration;

use sandbar_abi::manifest::Kind;
use serde_json::json;

use super::{good, refused, resolve, warned};
use crate::broker::{CleanupPolicy, Topics};
use crate::config::{SystemSecrets, Tolerance, missing_plugins};

const DB: [&str; 3] = [r#""connector.class": "Db""#, r#""topics": "a, b""#, r#""url": "u""#];
const PLAIN: [&str; 2] = [r#""connector.class": "Plain""#, r#""topic": "out""#];

#[test]
fn a_sink_with_defaults() {
    let settings = good(&DB);
    assert_eq!((settings.kind, settings.tasks_max, settings.group.as_str()), (Kind::Sink, 1, "connect-c"));
    assert_eq!(settings.input().unwrap().topics, Topics::Names(vec!["a".into(), "b".into()]));
    assert_eq!(settings.topic, None);
    assert_eq!(settings.errors.tolerance, Tolerance::None);
    assert_eq!(settings.errors.retry.timeout, Some(Duration::ZERO));
    assert_eq!(settings.errors.retry.delay_max, Duration::from_secs(60));
    assert_eq!(settings.commit.interval, Duration::from_millis(100));
    assert_eq!((settings.commit.max_records, settings.commit.max_bytes), (50_000, 16 << 20));
    assert_eq!((settings.batch_max_records, settings.batch_max_bytes), (500, 1 << 20));
    assert_eq!(settings.plugin.sandbox.state_max_bytes, 64 << 20);
    let config = settings.plugin.config.resolve(&SystemSecrets).unwrap();
    assert_eq!(config, json!({"url": "u", "batch.size": 10}));
}

#[test]
fn settings_are_what_the_definition_says() {
    let mut lines = DB.to_vec();
    lines.extend([
        r#""tasks.max": "8""#,
        r#""errors.tolerance": "all""#,
        r#""errors.retry.timeout": "-1""#,
        r#""errors.deadletterqueue.topic.name": "dead""#,
        r#""errors.deadletterqueue.topic.replication.factor": "2""#,
        r#""errors.deadletterqueue.context.headers.enable": "TRUE""#,
        r#""consumer.override.group.id": "mine""#,
        r#""consumer.override.fetch.min.bytes": "1""#,
        r#""topic.creation.default.cleanup.policy": "compact""#,
        r#""columns": "x, y""#,
        r#""plugin.version": "^1.1""#,
    ]);
    let settings = good(&lines);
    assert_eq!((settings.tasks_max, settings.group.as_str()), (8, "mine"));
    assert_eq!(settings.errors.retry.timeout, None);
    let dead = settings.errors.dead_letters.unwrap();
    assert_eq!((dead.topic.as_str(), dead.topic_settings.replication_factor, dead.context_headers), ("dead", 2, true));
    let consumer = settings.consumer_overrides.resolve(&SystemSecrets).unwrap();
    assert_eq!(consumer.into_iter().collect::<Vec<_>>(), [("fetch.min.bytes".to_owned(), "1".to_owned())]);
    assert_eq!(settings.topic_settings.cleanup_policy, CleanupPolicy::Compact);
    let config = settings.plugin.config.resolve(&SystemSecrets).unwrap();
    assert_eq!(config["columns"], json!(["x", "y"]));
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_the_file() {
    refused(
        &[
            r#""connector.class": "Db""#,
            r#""task.max": 1"#,
            r#""errors.tolerence": "all""#,
            r#""batch.sise": 1"#,
            r#""batch.size": "none""#,
            r#""commit.interval.ms": "soon""#,
        ],
        &[
            "c.json:4:1: task.max: is known neither to the host nor to the plugin, did you mean \"tasks.max\"?",
            "c.json:5:1: errors.tolerence: is not known, did you mean \"errors.tolerance\"?",
            "c.json:6:1: batch.sise: is known neither to the host nor to the plugin, did you mean \"batch.size\"?",
            "c.json:7:1: batch.size: \"none\" is not of type \"integer\"",
            "c.json:8:1: commit.interval.ms: must be a whole number of milliseconds from 1 to 60000, not \"soon\"",
            "c.json: topics: topics or topics.regex is required",
            "c.json: url: is required",
        ],
    );
}

#[test]
fn a_missing_plugin_is_waited_for_if_nothing_else_is_wrong() {
    let class = r#""connector.class": "Later""#;
    let errors = resolve(&[class, r#""anything": 1"#, r#""topic": "out""#]).unwrap_err();
    assert_eq!(missing_plugins(&errors), Some(vec!["Later"]));
    let errors = resolve(&[class, r#""errors.tolerence": "all""#]).unwrap_err();
    assert_eq!(missing_plugins(&errors), None);
    let mut lines = PLAIN.to_vec();
    lines.push(r#""plugin.version": ">=2""#);
    let errors = resolve(&lines).unwrap_err();
    assert_eq!(missing_plugins(&errors), Some(vec!["Plain"]));
    assert_eq!(errors[0].message, "plugin Plain is there in version 1.2.3, not >=2");
    refused(&[], &["c.json: connector.class: is required"]);
}

#[test]
fn topics_fit_the_kind() {
    let db = |lines: &[&'static str]| [&DB[..1], &DB[2..], lines].concat();
    let settings = good(&db(&[r#""topics.regex": "a\\..*""#]));
    assert_eq!(settings.topics, Some(Topics::Pattern("a\\..*".into())));
    refused(
        &db(&[r#""topics": "a""#, r#""topics.regex": "b""#]),
        &["c.json:6:1: topics.regex: cannot go together with topics"],
    );
    refused(
        &db(&[r#""topics.regex": "a(""#]),
        &["c.json:5:1: topics.regex: is not a regular expression: unclosed group"],
    );
    refused(
        &[PLAIN[0], r#""topics": "a""#],
        &[
            "c.json:4:1: topics: a source reads no topics; the topic it writes to is \"topic\"",
            "c.json: topic: is required",
        ],
    );
    let upper = r#""connector.class": "Upper""#;
    refused(
        &[upper, r#""topics.regex": "a.*""#, r#""topic": "ab""#],
        &["c.json:5:1: topic: the connector reads topic \"ab\" itself"],
    );
    refused(
        &[DB[0], DB[1], DB[2], r#""errors.deadletterqueue.topic.name": "b""#],
        &["c.json:6:1: errors.deadletterqueue.topic.name: the connector reads topic \"b\" itself"],
    );
    refused(
        &[PLAIN[0], r#""topic": "sandbar-configs-other""#],
        &["c.json:4:1: topic: topic \"sandbar-configs-other\" is a worker group's own: no connector writes to it"],
    );
}

#[test]
fn a_plugin_of_several_kinds_is_told_which() {
    let both = r#""connector.class": "Both""#;
    let topics = r#""topics": "a""#;
    refused(&[both, topics], &["c.json: connector.type: is required, for plugin Both is several kinds: source, sink"]);
    assert_eq!(good(&[both, topics, r#""connector.type": "sink""#]).kind, Kind::Sink);
    refused(
        &[both, topics, r#""connector.type": "transform""#],
        &["c.json:5:1: connector.type: plugin Both is no transform, it is: source, sink"],
    );
}

#[test]
fn transforms_are_plugins_with_their_own_configuration() {
    let with = |lines: &[&'static str]| [&PLAIN[..], &[r#""transforms": "up, more""#], lines].concat();
    let up = r#""transforms.up.type": "Upper""#;
    let more = r#""transforms.more.type": "Upper""#;
    let settings = good(&with(&[up, more, r#""transforms.up.field": "f""#]));
    let aliases: Vec<_> = settings.transforms.iter().map(|transform| transform.alias.as_str()).collect();
    assert_eq!(aliases, ["up", "more"]);
    let config = settings.transforms[0].plugin.config.resolve(&SystemSecrets).unwrap();
    assert_eq!(config, json!({"field": "f"}));
    refused(
        &with(&[
            r#""transforms.up.type": "Db""#,
            r#""transforms.up.url": "u""#,
            more,
            r#""transforms.more.filed": "f""#,
            r#""transforms.more.predicate": "p""#,
            r#""transforms.mroe.field": "f""#,
            r#""predicates": "p""#,
        ]),
        &[
            "c.json:6:1: transforms.up.type: plugin Db is no transform",
            "c.json:9:1: transforms.more.filed: is not known to the plugin, did you mean \"field\"?",
            "c.json:10:1: transforms.more.predicate: Sandbar has no predicates: let the transform decide which records \
             it changes",
            "c.json:11:1: transforms.mroe.field: \"mroe\" is not one of the transforms, did you mean \"more\"?",
            "c.json:12:1: predicates: Sandbar has no predicates: let the transform decide which records it changes",
        ],
    );
    refused(&with(&[up]), &["c.json: transforms.more.type: is required"]);
}

#[test]
fn keys_that_only_kafka_connect_knows_are_named() {
    let mut lines = DB.to_vec();
    lines.extend([
        r#""key.converter": "org.apache.kafka.connect.storage.StringConverter""#,
        r#""value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter""#,
        r#""poll.interval.ms": "9""#,
    ]);
    warned(
        &lines,
        &[
            "c.json:6:1: key.converter: has no effect: records pass as bytes, as with \
             org.apache.kafka.connect.converters.ByteArrayConverter",
            "c.json:8:1: poll.interval.ms: has no effect on a sink",
        ],
    );
}

#[test]
fn a_plugin_without_a_schema_gets_all_but_what_can_only_be_a_mistake() {
    let with = |line: &'static str| [&PLAIN[..], &[line]].concat();
    assert_eq!(good(&with(r#""anything": 1"#)).plugin.config.keys().collect::<Vec<_>>(), ["anything"]);
    refused(&with(r#""task.max": 1"#), &["c.json:5:1: task.max: is not known, did you mean \"tasks.max\"?"]);
    refused(&with(r#""errors.x": 1"#), &["c.json:5:1: errors.x: is not known"]);
}

#[test]
fn overrides_may_not_break_what_the_host_promises() {
    let mut lines = PLAIN.to_vec();
    lines.extend([r#""producer.override.transactional.id": "x""#, r#""tasks.max": "${env:N}""#]);
    refused(
        &lines,
        &[
            "c.json:5:1: producer.override.transactional.id: is set by the host: exactly-once delivery rests on it",
            "c.json:6:1: tasks.max: references to secrets are resolved in a plugin's own keys, in overrides and in \
             sandbox.http.inject.<alias>.value only",
        ],
    );
}

#[test]
fn what_is_required_to_be_exactly_once_has_to_declare_it() {
    const REQUIRED: &str = r#""exactly.once.support": "required""#;
    const INPUT: &str = r#""topics": "a""#;
    let upsert = [r#""connector.class": "Upsert""#, r#""connector.type": "sink""#, INPUT];
    let upper = [r#""connector.class": "Upper""#, INPUT, r#""topic": "out""#];
    let chain = [r#""transforms": "up""#, r#""transforms.up.type": "Upper""#];
    good(&[r#""connector.class": "Replays""#, PLAIN[1], REQUIRED]);
    good(&[r#""connector.class": "Ledger""#, INPUT, REQUIRED]);
    good(&[&upsert[..], &[REQUIRED]].concat());
    good(&[&upper[..], &[REQUIRED]].concat());
    good(&[&[r#""connector.class": "Replays""#, PLAIN[1], REQUIRED], &chain[..]].concat());
    good(&[&PLAIN[..], &[r#""exactly.once.support": "requested""#]].concat());

    refused(
        &[&PLAIN[..], &[REQUIRED], &chain[..]].concat(),
        &["c.json:5:1: exactly.once.support: plugin Plain 1.2.3 does not declare that it can be exactly once as a \
           source: \"exactly_once\" is not true in its manifest; use one that does, or \"requested\""],
    );
    refused(
        &[&DB[..], &[REQUIRED]].concat(),
        &["c.json:6:1: exactly.once.support: plugin Db 1.2.3 does not declare that it can be exactly once as a sink: \
           neither \"exactly_once\" nor \"idempotent_write\" is true in its manifest; use one that does, or \
           \"requested\""],
    );
    refused(
        &[upsert[0], r#""connector.type": "source""#, PLAIN[1], REQUIRED],
        &["c.json:6:1: exactly.once.support: plugin Upsert 1.2.3 does not declare that it can be exactly once as a \
           source: \"exactly_once\" is not true in its manifest; use one that does, or \"requested\""],
    );
    let errors = resolve(&[r#""connector.class": "Later""#, PLAIN[1], REQUIRED]).unwrap_err();
    assert_eq!(missing_plugins(&errors), Some(vec!["Later"]));
}

#[test]
fn settings_show_no_secret() {
    let mut lines = DB.to_vec();
    lines.extend([r#""login": "s3cret""#, r#""consumer.override.sasl.password": "s3cret""#]);
    let shown = format!("{:?}", good(&lines));
    assert!(!shown.contains("s3cret"), "{shown}");
}
