//! What of an answer is compared: everything but what has to differ, such as names of plugins and addresses.

use std::fmt;

use sandbar_tests::rest::Answer;
use serde_json::{Map, Value, json};

use super::steps::Side;

/// An answer without what has to differ.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Normal {
    status: u16,
    location: Option<String>,
    body: Value,
}

impl fmt::Display for Normal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location.as_ref().map_or_else(String::new, |location| format!(" {location}"));
        write!(f, "{}{location} {}", self.status, self.body)
    }
}

pub(super) fn normal(id: &str, answer: &Answer, side: &Side) -> Normal {
    let location = answer.headers.get("location").map(|location| {
        let path = location.split_once("://").map_or(location.as_str(), |(_, rest)| rest);
        path.find('/').map_or_else(String::new, |start| path[start..].to_owned())
    });
    let body = answer.json().unwrap_or_else(|_| Value::from(answer.text()));
    let body = if shape_only(id) { shape(&body) } else { plain(body, side) };
    Normal { status: answer.status, location, body }
}

/// Of lists of what there is on either side only the shape is comparable.
fn shape_only(id: &str) -> bool {
    ["plugins", "plugins-all", "plugin-config", "loggers"].contains(&id)
}

/// The shape of the first of many.
fn shape(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.first().map_or(json!([]), |first| json!([shape(first)])),
        Value::Object(fields) if fields.values().all(Value::is_object) && !fields.is_empty() => {
            json!({"*": fields.values().next().map(shape)})
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::String(_) => json!("text"),
        // What may be missing on one side may be there on the other.
        Value::Null => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("flag"),
    }
}

fn plain(value: Value, side: &Side) -> Value {
    match value {
        Value::Object(fields) => object(fields, side),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(|item| plain(item, side)).collect();
            if items.iter().all(Value::is_string) {
                items.sort_by_key(ToString::to_string);
                // Loggers are other ones on either side.
                items.dedup();
            }
            Value::Array(items)
        }
        Value::String(text) => Value::String(side.without_names(&text)),
        other => other,
    }
}

fn object(fields: Map<String, Value>, side: &Side) -> Value {
    let field = |(key, value): (String, Value)| {
        let value = match (key.as_str(), value) {
            ("worker_id" | "version" | "commit" | "trace" | "last_modified", value) if !value.is_null() => json!("..."),
            // What a connector is told is its plugin's matter.
            ("config", Value::Object(config)) => config_of(&config, side),
            ("groups", Value::Array(_)) => json!(["..."]),
            ("configs", Value::Array(configs)) => shape(&Value::Array(configs)),
            ("offset" | "partition", Value::Object(inner))
                if !inner.contains_key("kafka_offset") && !inner.contains_key("kafka_topic") =>
            {
                json!("...")
            }
            (_, value) => plain(value, side),
        };
        (key, value)
    };
    if fields.contains_key("connector.class") {
        return config_of(&fields, side);
    }
    fields.into_iter().map(field).collect()
}

fn config_of(config: &Map<String, Value>, side: &Side) -> Value {
    let shared = ["name", "connector.class", "tasks.max"];
    let kept = config.iter().filter(|(key, _)| shared.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), plain(value.clone(), side))).collect()
}
