//! The keys of a plugin's configuration as a table for people, read from its JSON Schema as far as that is plain.

use serde_json::Value;

/// The most steps that are taken from one schema to another it refers to: they may go in circles.
const MAX_REFERENCES: usize = 16;

/// A key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its name.
    pub name: String,
    /// Its type, or the values it may have, and whether it is a secret.
    pub type_: String,
    /// Its default, or that it is required.
    pub default: String,
    /// What it is for.
    pub description: String,
}

/// The properties that a schema lists at its top.
pub(super) fn keys(schema: &Value) -> Vec<Key> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let key = |(name, property): (&String, &Value)| {
        let property = resolved(schema, property);
        Key {
            name: name.clone(),
            type_: type_of(property),
            default: match property.get("default") {
                Some(default) => plain(default),
                None if required.contains(&name.as_str()) => "(required)".to_owned(),
                None => String::new(),
            },
            description: text(property, "description").or_else(|| text(property, "title")).unwrap_or_default(),
        }
    };
    properties.map(key).collect()
}

fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..MAX_REFERENCES {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(found) => schema = found,
            None => break,
        }
    }
    schema
}

fn type_of(property: &Value) -> String {
    let list = |values: &[Value]| values.iter().map(plain).collect::<Vec<_>>().join("|");
    let mut type_ = match (property.get("enum"), property.get("type")) {
        (Some(Value::Array(values)), _) => list(values),
        (_, Some(Value::String(name))) => name.clone(),
        (_, Some(Value::Array(names))) => list(names),
        _ => "any".to_owned(),
    };
    match property.get("format").and_then(Value::as_str) {
        Some("password") => type_.push_str(", secret"),
        Some(format) => type_.push_str(&format!(", {format}")),
        None => {}
    }
    type_
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        other => other.to_string(),
    }
}

fn text(property: &Value, name: &str) -> Option<String> {
    property.get(name)?.as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    //! How schemas read.

    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_shows_its_type_default_and_description() {
        let schema = json!({
            "properties": {
                "mode": {"enum": ["upper", "lower"], "default": "upper", "description": "Which way."},
                "password": {"type": "string", "format": "password"},
                "port": {"$ref": "#/$defs/port"},
                "prefix": {"type": ["string", "null"], "default": ""},
            },
            "required": ["password"],
            "$defs": {"port": {"type": "integer", "title": "Port", "default": 80}},
        });
        let shown: Vec<_> =
            keys(&schema).into_iter().map(|k| [k.name, k.type_, k.default, k.description].join(" / ")).collect();
        let expected = [
            "mode / upper|lower / upper / Which way.",
            "password / string, secret / (required) / ",
            "port / integer / 80 / Port",
            "prefix / string|null / \"\" / ",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn any_schema_is_survived() {
        for schema in [json!(null), json!(true), json!({"properties": 1}), json!({"properties": {"a": true}})] {
            assert!(keys(&schema).len() <= 1);
        }
        let circle = json!({"properties": {"a": {"$ref": "#/properties/a"}}});
        assert_eq!(keys(&circle)[0].type_, "any");
    }
}
