//! The properties that a plugin's JSON Schema lists, as Kafka Connect's clients know keys: with a type, a default, a text.

use sandbar_abi::Manifest;
use serde_json::Value;

use super::reader;
use super::schema::Schema;

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyInfo {
    /// Its name.
    pub name: String,
    /// Kafka Connect's name of its type.
    pub kind: &'static str,
    /// Whether it has to be given.
    pub required: bool,
    /// Its default, as text.
    pub default: Option<String>,
    /// What it is called to people.
    pub title: Option<String>,
    /// What it does.
    pub description: String,
}

/// The properties that a plugin lists, by name.
#[must_use]
pub fn properties_of(manifest: &Manifest) -> Vec<PropertyInfo> {
    let Some(root) = &manifest.config else { return Vec::new() };
    let schema = Schema::new(root);
    let required: Vec<_> =
        root.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let text = |of: &Value, word: &str| of.get(word).and_then(Value::as_str).map(str::to_owned);
    let names = schema.names();
    let info = |name: &&str| {
        let of = schema.of(name);
        let first = |word: &str| of.iter().find_map(|of| text(of, word));
        let default = of.iter().find_map(|of| of.get("default"));
        PropertyInfo {
            name: (*name).to_owned(),
            kind: if schema.is_secret(name) { "PASSWORD" } else { schema.connect_type(name) },
            required: required.contains(name) && default.is_none(),
            default: default.map(|default| reader::text(default).unwrap_or_else(|| default.to_string())),
            title: first("title"),
            description: first("description").unwrap_or_default(),
        }
    };
    names.iter().map(info).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn properties_are_told_by_type() {
        let schema = json!({"required": ["a", "b"], "properties": {
            "a": {"type": "string", "description": "What.", "title": "An A"},
            "b": {"type": "integer", "default": 5},
            "c": {"type": "string", "format": "password"},
            "d": {"type": "array"}, "e": {"type": "boolean"}, "f": {"type": ["number", "null"]}, "g": {"type": "object"}}});
        let manifest = json!({"name": "p", "version": "1.0.0", "kinds": ["sink"], "abi": 1, "config": schema});
        let all = properties_of(&serde_json::from_value(manifest).unwrap());
        let kinds: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.kind)).collect();
        let expected = [
            ("a", "STRING"),
            ("b", "LONG"),
            ("c", "PASSWORD"),
            ("d", "LIST"),
            ("e", "BOOLEAN"),
            ("f", "DOUBLE"),
            ("g", "STRING"),
        ];
        assert_eq!(kinds, expected);
        assert!(all[0].required && !all[1].required && !all[2].required);
        assert_eq!((all[1].default.as_deref(), all[0].title.as_deref()), (Some("5"), Some("An A")));
        assert_eq!(all[0].description, "What.");
    }
}
