//! Sandbar from the outside: plugins and definitions in a folder, records in topics and files, on both brokers.

mod chains;
mod dead_letters;
mod folder;
mod hot_swap;
mod million;
mod shutdown;
mod steps;
mod tasks;
mod words;

use serde_json::{Value, json};

/// How many partitions topics have here.
pub(crate) const PARTITIONS: i32 = 4;

/// A source of records that number themselves: `{"n": 0, "s": "<source>"}` and so on, `count` of them or without end.
pub(crate) fn numbers(source: char, topic: &str, rate: u32, count: Option<u32>) -> Value {
    let mut config = json!({
        "connector.class": "datagen",
        "topic": topic,
        "topic.creation.default.partitions": PARTITIONS,
        "rate": rate,
        "key": "key-{{int 0 999}}",
        "template": format!(r#"{{"n": "{{{{seq}}}}", "s": "{source}"}}"#),
    });
    if let Some(count) = count {
        config["count"] = count.into();
    }
    config
}

/// A transform that adds the field `by` to each record.
pub(crate) fn mark(by: i32, from: &str, to: &str) -> Value {
    json!({
        "connector.class": "json-transform",
        "topics": from,
        "topic": to,
        "topic.creation.default.partitions": PARTITIONS,
        "operations": format!(r#"[{{"op": "set", "field": "by", "value": {by}}}]"#),
    })
}
