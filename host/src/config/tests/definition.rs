//! Reading definitions.

use std::path::Path;

use serde_json::{Value, json};

use super::shown;
use crate::config::{Definition, InitialState, MAX_DEFINITION_BYTES};

#[track_caller]
fn reads(file: &str, text: &str, expected: Value) -> Definition {
    let definition = Definition::parse(Path::new(file), text.as_bytes()).unwrap_or_else(|e| panic!("{:?}", shown(&e)));
    assert_eq!(json!(definition.entries), expected);
    definition
}

#[track_caller]
fn refused(file: &str, text: impl AsRef<[u8]>, expected: &[&str]) {
    let errors = Definition::parse(Path::new(file), text.as_ref()).unwrap_err();
    assert_eq!(shown(&errors), expected);
}

#[test]
fn json_and_toml_say_the_same() {
    let expected = json!({"name": "c", "tasks.max": "2", "on": "true", "x": "1.50", "topics": "a,b"});
    let text = r#"{"name": "c", "config": {"tasks.max": 2, "on": true, "x": 1.50, "topics": "a,b", "no": null}}"#;
    let from_json = reads("c.json", text, expected.clone());
    for config in ["[config]\ntasks.max = 2\n", "[config]\n\"tasks.max\" = 2\n", "[config.tasks]\nmax = 2\n[config]\n"]
    {
        let text = format!("name = \"c\"\n{config}on = true\nx = 1.50\ntopics = \"a,b\"\n");
        assert_eq!(reads("c.toml", &text, expected.clone()), from_json);
    }
}

#[test]
fn arrays_of_toml_stay_arrays_for_the_plugin_and_are_lists_for_connect() {
    let text = "name = \"c\"\nconfig.topics = [\"a\", \"b\"]\nconfig.ports = [1, 2]\n";
    let expected = json!({"name": "c", "topics": ["a", "b"], "ports": [1, 2]});
    let definition = reads("c.toml", text, expected);
    assert_eq!(definition.config()["topics"], "a,b");
    assert_eq!(definition.config()["ports"], "1,2");
}

#[test]
fn the_initial_state_is_kafka_connects() {
    let text = r#"{"name": "c", "config": {}, "initial_state": "stopped"}"#;
    assert_eq!(reads("c.json", text, json!({"name": "c"})).initial_state, InitialState::Stopped);
    let text = r#"{"name": "c", "config": {}, "initial_state": "GONE"}"#;
    refused("c.json", text, &["c.json:1:29: initial_state: must be one of RUNNING, PAUSED, STOPPED"]);
}

#[test]
fn broken_files_are_refused_with_line_and_column() {
    refused("c.json", "{\n  \"name\": \"c\",\n  config\n}", &["c.json:3:3: not valid JSON: key must be a string"]);
    refused("c.toml", "name = \"c\"\n[config\n", &["c.toml:2:8: not valid TOML: unclosed table, expected `]`"]);
    refused("c.json", b"{\n\"name\": \"\xff\"", &["c.json:2:10: is not UTF-8 text"]);
    refused("c.json", "[]", &["c.json: must be an object with \"name\" and \"config\", not an array"]);
    let long = vec![b' '; MAX_DEFINITION_BYTES + 1];
    refused("c.json", long, &["c.json: is 1048577 bytes long, the limit is 1048576"]);
}

#[test]
fn every_fault_is_told_at_once() {
    let text = "{\n\"nme\": \"c\",\n\"config\": {\n\"a\": [1],\n\"b\": {}\n}}";
    refused(
        "c.json",
        text,
        &[
            "c.json:2:1: nme: is not known beside \"name\" and \"config\", did you mean \"name\"?",
            "c.json:4:1: a: must be a string, as in Kafka Connect, not an array: write lists with commas",
            "c.json:5:1: b: must be a string, as in Kafka Connect, not a table: write lists with commas",
            "c.json: name: is required",
        ],
    );
    refused("c.json", "{}", &["c.json: config: is required", "c.json: name: is required"]);
    let twice = "{\"name\": \"c\", \"config\": {\n\"a\": 1,\n\"a\": 2, \"b\": 1,\n\"b\": 2}}";
    refused(
        "c.json",
        twice,
        &[
            "c.json:3:1: key \"a\" is there twice, first in line 2",
            "c.json:4:1: key \"b\" is there twice, first in line 3",
        ],
    );
    refused(
        "c.toml",
        "name = \"c\"\n[config]\na.b = 1\n\"a.b\" = 2",
        &["c.toml:4:1: key \"a.b\" is there twice, first in line 3"],
    );
}

#[test]
fn names_agree_and_are_names() {
    let text = r#"{"name": "c", "config": {"name": "d"}}"#;
    let expected = "c.json:1:26: name: Connector name configuration (d) doesn't match connector name (c)";
    refused("c.json", text, &[expected]);
    let rule = "must be 1 to 200 bytes without control characters or outer spaces";
    refused("c.json", r#"{"name": " c", "config": {}}"#, &[&format!("c.json:1:2: name: {rule}")]);
    refused("c.json", r#"{"name": 7, "config": {}}"#, &["c.json:1:2: name: must be a string, not a number"]);
}

#[test]
fn too_many_keys_are_refused() {
    let keys: Vec<_> = (0..1001).map(|n| format!("\"k{n}\": 1")).collect();
    let text = format!("{{\"name\": \"c\", \"config\": {{{}}}}}", keys.join(","));
    refused("c.json", text, &["c.json: config: has 1001 keys, the limit is 1000"]);
}

#[test]
fn a_definition_shows_no_value() {
    let text = r#"{"name": "c", "config": {"innocent": "s3cret"}}"#;
    let definition = reads("c.json", text, json!({"name": "c", "innocent": "s3cret"}));
    assert!(!format!("{definition:?}").contains("s3cret"));
    let again = Definition::from_config("c", &definition.config(), "PUT /connectors/c/config").unwrap();
    assert_eq!(again, definition);
}
