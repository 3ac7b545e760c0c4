//! Whatever is in a file: it is read or refused, and nothing panics.

use std::path::Path;

use proptest::prelude::*;

use super::plugins;
use crate::config::{ConnectorSettings, Definition, PluginConfig, SystemSecrets, WorkerConfig};

/// Text that comes near enough to a definition to reach the later stages.
fn near_text() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "=",
        "\"",
        "\n",
        " ",
        ".",
        "name",
        "\"name\": \"c\"",
        "\"config\": {",
        "\"Db\"",
        "\"connector.class\"",
        "\"topics\"",
        "[config]",
        "\"a\"",
        "\"url\"",
        "${env:",
        "${file:",
        "1",
        "-1",
        "1e9",
        "é",
        "\\u00",
        "true",
        "null",
        "'",
        "#",
        "transforms",
        "sandbox",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
}

fn read_all(bytes: &[u8]) {
    for file in ["c.json", "c.toml"] {
        if let Ok(definition) = Definition::parse(Path::new(file), bytes) {
            resolve(&definition);
        }
    }
    let _ = WorkerConfig::parse(Path::new("sandbar.toml"), bytes);
}

fn resolve(definition: &Definition) {
    match ConnectorSettings::resolve(definition, &plugins(), &WorkerConfig::default()) {
        Ok((settings, _)) => drop(PluginConfig::resolve(&settings.plugin.config, &SystemSecrets)),
        Err(errors) => assert!(!errors.is_empty(), "a refusal says why"),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn any_text_is_read_or_refused(text in near_text()) {
        read_all(text.as_bytes());
    }

    #[test]
    fn any_configuration_is_resolved_or_refused(
        config in prop::collection::btree_map(prop::sample::select(vec![
            "connector.class", "connector.type", "topics", "topics.regex", "topic", "url", "batch.size", "tasks.max",
            "transforms", "transforms.a.type", "transforms.a.x", "sandbox.fs.read", "plugin.version", "x",
            "sandbox.memory.max.bytes", "errors.retry.timeout", "producer.override.x",
        ]).prop_map(str::to_owned), prop_oneof![
            any::<String>(), "[0-9]{1,20}", Just("a".to_owned()), Just("Db".to_owned()), Just("Upper".to_owned()),
        ], 0..10),
    ) {
        if let Ok(definition) = Definition::from_config("c", &config, "request") {
            resolve(&definition);
        }
    }
}
