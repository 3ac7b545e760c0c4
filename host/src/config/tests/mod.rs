//! Definitions from file to settings: what is accepted, what is refused and in which words.

mod connector;
mod definition;
mod fuzz;
mod http;
mod sandbox;

use std::collections::BTreeMap;
use std::path::Path;

use sandbar_abi::Manifest;
use serde_json::{Value, json};

use super::{ConfigError, ConnectorSettings, Definition, ManifestLookup, Warning, WorkerConfig};

/// Plugins that are there.
struct Plugins(BTreeMap<String, Manifest>);

impl ManifestLookup for Plugins {
    fn manifest(&self, class: &str) -> Option<&Manifest> {
        self.0.get(class)
    }
}

fn manifest(name: &str, kinds: Value, rest: Value) -> Manifest {
    let mut json = json!({"name": name, "version": "1.2.3", "kinds": kinds, "abi": 1});
    for (key, value) in rest.as_object().unwrap() {
        json[key] = value.clone();
    }
    Manifest::from_json(json.to_string().as_bytes()).unwrap()
}

fn plugins() -> Plugins {
    let schema = json!({
        "type": "object",
        "required": ["url"],
        "properties": {
            "url": {"type": "string"},
            "batch.size": {"type": "integer", "minimum": 1, "default": 10},
            "login": {"type": "string", "format": "password"},
            "columns": {"type": "array", "items": {"type": "string"}}
        }
    });
    let asks = json!({"capabilities": {"fs": ["read"], "env": ["HOME"]}, "limits": {"memory_max_bytes": 1048576}});
    let upper = json!({"config": {"properties": {"field": {"type": "string"}}}});
    let all = [
        manifest("Db", json!(["sink"]), json!({"config": schema})),
        manifest("Plain", json!(["source"]), json!({})),
        manifest("Files", json!(["source"]), asks),
        manifest("Writer", json!(["sink"]), json!({"capabilities": {"fs": ["write"]}})),
        manifest(
            "Api",
            json!(["sink"]),
            json!({"capabilities": {"http": ["*.example.com", "http://example.org:8080"]}}),
        ),
        manifest("Hook", json!(["sink"]), json!({"capabilities": {"http": ["*"]}})),
        manifest("Upper", json!(["transform"]), upper),
        manifest("Both", json!(["source", "sink"]), json!({})),
        manifest("Replays", json!(["source"]), json!({"exactly_once": true})),
        manifest("Ledger", json!(["sink"]), json!({"exactly_once": true})),
        manifest("Upsert", json!(["source", "sink"]), json!({"idempotent_write": true})),
    ];
    Plugins(all.into_iter().map(|manifest| (manifest.name.clone(), manifest)).collect())
}

/// A definition with these keys, in JSON, one on each line: line 3 is the first.
fn definition(lines: &[&str]) -> Definition {
    let text = format!("{{\n\"name\": \"c\", \"config\": {{\n{}\n}}}}", lines.join(",\n"));
    Definition::parse(Path::new("c.json"), text.as_bytes()).unwrap()
}

fn resolve(lines: &[&str]) -> Result<(ConnectorSettings, Vec<Warning>), Vec<ConfigError>> {
    ConnectorSettings::resolve(&definition(lines), &plugins(), &WorkerConfig::default())
}

#[track_caller]
fn good(lines: &[&str]) -> ConnectorSettings {
    let (settings, warnings) = resolve(lines).unwrap_or_else(|errors| panic!("{}", shown(&errors).join("\n")));
    assert_eq!(shown(&warnings), Vec::<String>::new());
    settings
}

#[track_caller]
fn warned(lines: &[&str], expected: &[&str]) -> ConnectorSettings {
    let (settings, warnings) = resolve(lines).unwrap_or_else(|errors| panic!("{}", shown(&errors).join("\n")));
    assert_eq!(shown(&warnings), expected);
    settings
}

#[track_caller]
fn refused(lines: &[&str], expected: &[&str]) {
    let errors = resolve(lines).expect_err("it is refused");
    assert_eq!(shown(&errors), expected);
}

fn shown(faults: &[impl ToString]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
