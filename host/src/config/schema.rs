//! A plugin's JSON Schema, as far as it tells how to read text: Kafka Connect's values are text, a plugin's are typed.
//!
//! The schema comes with the plugin and is not trusted: every walk visits each of its nodes once, nothing outside it is
//! fetched, and patterns run on an engine that cannot blow up.

use std::collections::{BTreeSet, HashSet};

use jsonschema::{PatternOptions, Validator};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::secrets;

/// The most memory a pattern may compile to, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// The most patterns of a schema: each may take that much memory.
const MAX_PATTERNS: usize = 256;
/// The most values a schema may consist of: it is walked for every key.
const MAX_NODES: usize = 20_000;

/// A schema, and the parts of it that speak of the whole configuration.
pub(super) struct Schema<'a> {
    root: &'a Value,
    branches: Vec<&'a Value>,
    /// What it says of properties whose names match.
    patterns: Vec<(Regex, &'a Value)>,
}

impl<'a> Schema<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let branches = branches(root, [root]);
        let compile = |(pattern, of): (&String, &'a Value)| {
            let regex = RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build();
            Some((regex.ok()?, of))
        };
        let patterns = branches.iter().flat_map(|branch| patterns(branch)).take(MAX_PATTERNS).filter_map(compile);
        Self { patterns: patterns.collect(), root, branches }
    }

    /// Compiles it. The error says what is wrong with the schema.
    pub(super) fn validator(&self) -> Result<Validator, String> {
        let nodes = reachable(self.root, [self.root]);
        if nodes.len() >= MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} parts"));
        }
        let count = |node: &&Value| patterns(node).count() + usize::from(node.get("pattern").is_some());
        if nodes.iter().map(count).sum::<usize>() > MAX_PATTERNS {
            return Err(format!("it has more than {MAX_PATTERNS} patterns"));
        }
        let patterns = PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
        let options = jsonschema::options().offline().with_pattern_options(patterns);
        options.build(self.root).map_err(|error| error.to_string())
    }

    /// The names of the properties it lists.
    pub(super) fn names(&self) -> BTreeSet<&'a str> {
        self.listed().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// Whether it lists a property.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.listed().any(|properties| properties.contains_key(name))
    }

    /// Whether it takes a property that it does not list. That has to be said: silence means no, or no mistyped key
    /// would ever be found.
    pub(super) fn is_open_to(&self, name: &str) -> bool {
        let any = |branch: &&Value| branch.get("additionalProperties").is_some_and(|open| *open != Value::Bool(false));
        self.branches.iter().any(any) || self.patterns.iter().any(|(pattern, _)| pattern.is_match(name))
    }

    /// Whether a property holds a secret, at any depth: `"format": "password"` marks one.
    pub(super) fn is_secret(&self, name: &str) -> bool {
        let marked = |node: &&Value| node.get("format").is_some_and(|format| format == "password");
        reachable(self.root, self.of(name)).iter().any(marked)
    }

    /// The defaults of its properties.
    pub(super) fn defaults(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.listed().flatten().filter_map(|(name, schema)| Some((name, schema.get("default")?)))
    }

    /// Turns a value that is text into what the schema wants it to be. Text that cannot be turned stays text, for
    /// validation to say what is wrong with it.
    pub(super) fn coerce(&self, name: &str, value: Value) -> Value {
        self.coerce_to(&branches(self.root, self.of(name)), value)
    }

    fn coerce_to(&self, schemas: &[&'a Value], value: Value) -> Value {
        match value {
            Value::String(text) => self.coerce_text(schemas, text),
            Value::Array(items) => {
                let inner = self.items(schemas);
                items.into_iter().map(|item| self.coerce_to(&inner, item)).collect()
            }
            other => other,
        }
    }

    fn coerce_text(&self, schemas: &[&'a Value], text: String) -> Value {
        let types = types(schemas);
        if types.is_empty() || types.contains("string") {
            return Value::String(text);
        }
        let trimmed = text.trim();
        let wants = |name| types.contains(name);
        let read = match trimmed.chars().next() {
            None if wants("null") => Some(Value::Null),
            Some('t' | 'T' | 'f' | 'F') if wants("boolean") => boolean(trimmed),
            Some('{') if wants("object") => json(trimmed),
            Some('[') if wants("array") => json(trimmed),
            Some('+' | '-' | '0'..='9' | '.') if wants("integer") || wants("number") => number(trimmed),
            _ => None,
        };
        match read {
            Some(value) => value,
            None if wants("array") => {
                let inner = self.items(schemas);
                secrets::items(trimmed).map(|item| self.coerce_to(&inner, Value::String(item.to_owned()))).collect()
            }
            None => Value::String(text),
        }
    }

    fn items(&self, schemas: &[&'a Value]) -> Vec<&'a Value> {
        branches(self.root, schemas.iter().filter_map(|schema| schema.get("items")))
    }

    fn listed(&self) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.branches.iter().filter_map(|branch| branch.get("properties")?.as_object())
    }

    /// Kafka Connect's name of a property's type. What Kafka Connect has no type for is written as JSON, which is text.
    pub(super) fn connect_type(&self, name: &str) -> &'static str {
        let types = types(&branches(self.root, self.of(name)));
        let only = |wanted: &[&str]| {
            types.iter().any(|name| wanted.contains(name))
                && types.iter().all(|name| wanted.contains(name) || *name == "null")
        };
        if only(&["integer"]) {
            "LONG"
        } else if only(&["integer", "number"]) {
            "DOUBLE"
        } else if only(&["boolean"]) {
            "BOOLEAN"
        } else if types.contains("array") && !types.contains("string") {
            "LIST"
        } else {
            "STRING"
        }
    }

    /// What it says of a property.
    pub(super) fn of(&self, name: &str) -> Vec<&'a Value> {
        let listed: Vec<_> = self.listed().filter_map(|properties| properties.get(name)).collect();
        if !listed.is_empty() {
            return listed;
        }
        let by_pattern = self.patterns.iter().filter(|(pattern, _)| pattern.is_match(name)).map(|(_, of)| *of);
        let by_pattern: Vec<_> = by_pattern.collect();
        if !by_pattern.is_empty() {
            return by_pattern;
        }
        self.branches.iter().filter_map(|branch| branch.get("additionalProperties")).collect()
    }
}

fn patterns(branch: &Value) -> impl Iterator<Item = (&String, &Value)> + use<'_> {
    branch.get("patternProperties").and_then(Value::as_object).into_iter().flatten()
}

/// The schemas that speak of the same value as these do: themselves, what they refer to, and their alternatives.
fn branches<'a>(root: &'a Value, schemas: impl IntoIterator<Item = &'a Value>) -> Vec<&'a Value> {
    walk(schemas, |schema| {
        let several = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
        let single = ["then", "else"].into_iter().filter_map(|word| schema.get(word));
        several.chain(single).chain(referred(root, schema)).collect()
    })
}

/// All that is within these schemas, and all they refer to.
fn reachable<'a>(root: &'a Value, schemas: impl IntoIterator<Item = &'a Value>) -> Vec<&'a Value> {
    walk(schemas, |node| {
        let inner: Vec<&Value> = match node {
            Value::Object(fields) => fields.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        inner.into_iter().chain(referred(root, node)).collect()
    })
}

/// What a `$ref` refers to, if it is within the schema.
fn referred<'a>(root: &'a Value, schema: &Value) -> Option<&'a Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// Nodes and those behind them, each once, however they refer to one another.
fn walk<'a>(start: impl IntoIterator<Item = &'a Value>, next: impl Fn(&'a Value) -> Vec<&'a Value>) -> Vec<&'a Value> {
    let (mut seen, mut nodes) = (HashSet::new(), Vec::new());
    let mut open: Vec<&Value> = start.into_iter().collect();
    // A schema that is larger is refused where it is compiled.
    while let Some(node) = open.pop().filter(|_| nodes.len() < MAX_NODES) {
        if seen.insert(std::ptr::from_ref(node)) {
            nodes.push(node);
            open.extend(next(node));
        }
    }
    nodes
}

/// The types these schemas allow, by name or by example.
fn types<'a>(schemas: &[&'a Value]) -> BTreeSet<&'a str> {
    let mut types = BTreeSet::new();
    for schema in schemas {
        match schema.get("type") {
            Some(Value::String(name)) => drop(types.insert(name.as_str())),
            Some(Value::Array(names)) => types.extend(names.iter().filter_map(Value::as_str)),
            _ => {
                let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
                for example in listed.chain(schema.get("const")) {
                    types.insert(type_name(example));
                }
            }
        }
    }
    types
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn boolean(text: &str) -> Option<Value> {
    text.to_ascii_lowercase().parse().ok().map(Value::Bool)
}

/// A number; `+` before it is Java's way, not JSON's.
fn number(text: &str) -> Option<Value> {
    json(text.strip_prefix('+').unwrap_or(text)).filter(Value::is_number)
}

fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    //! How text is read by a schema.

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn reads(schema: Value, text: &str, expected: Value) {
        let root = json!({"properties": {"k": schema}, "$defs": {"port": {"type": "integer"}}});
        assert_eq!(Schema::new(&root).coerce("k", json!(text)), expected);
    }

    #[test]
    fn text_becomes_what_the_schema_wants() {
        reads(json!({"type": "string"}), "1", json!("1"));
        reads(json!({}), "1", json!("1"));
        reads(json!({"type": "integer"}), " 42 ", json!(42));
        reads(json!({"type": "integer"}), "18446744073709551615", json!(u64::MAX));
        reads(json!({"type": "number"}), "+1.5e3", json!(1500.0));
        reads(json!({"type": "boolean"}), "True", json!(true));
        reads(json!({"type": "array"}), "a, b,,c", json!(["a", "b", "c"]));
        reads(json!({"type": "array", "items": {"type": "integer"}}), "1,2", json!([1, 2]));
        reads(json!({"type": "array"}), "[1, \"a\"]", json!([1, "a"]));
        reads(json!({"type": "object"}), "{\"a\": 1}", json!({"a": 1}));
        reads(json!({"type": ["integer", "null"]}), "", json!(null));
        reads(json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), "7", json!(7));
        reads(json!({"$ref": "#/$defs/port"}), "80", json!(80));
        reads(json!({"enum": [1, 2]}), "2", json!(2));
    }

    #[test]
    fn text_that_cannot_be_read_stays_text() {
        reads(json!({"type": "integer"}), "many", json!("many"));
        reads(json!({"type": "boolean"}), "yes", json!("yes"));
        reads(json!({"type": "object"}), "{", json!("{"));
        reads(json!({"type": "number"}), "1e999", json!("1e999"));
    }

    #[test]
    fn a_schema_is_closed_unless_it_says_otherwise() {
        let closed = json!({"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]});
        assert_eq!(Schema::new(&closed).names(), BTreeSet::from(["a", "b"]));
        assert!(!Schema::new(&closed).is_open_to("x"));
        assert!(Schema::new(&json!({"additionalProperties": {"type": "string"}})).is_open_to("x"));
        let pattern = json!({"patternProperties": {"^h\\.": {"type": "integer"}}});
        assert!(Schema::new(&pattern).is_open_to("h.x"));
        assert!(!Schema::new(&pattern).is_open_to("x"));
        assert_eq!(Schema::new(&pattern).coerce("h.x", json!("1")), json!(1));
    }

    #[test]
    fn secrets_are_found_at_any_depth() {
        let root = json!({"properties": {
            "a": {"type": "string", "format": "password"},
            "b": {"items": {"properties": {"c": {"$ref": "#/$defs/s"}}}},
            "d": {"type": "string"}
        }, "$defs": {"s": {"format": "password"}}});
        let schema = Schema::new(&root);
        assert!(schema.is_secret("a") && schema.is_secret("b") && !schema.is_secret("d"));
    }

    #[test]
    fn a_schema_that_goes_in_circles_is_walked_once() {
        let root = json!({"$ref": "#", "properties": {"a": {"allOf": [{"$ref": "#/properties/a"}]}}});
        let schema = Schema::new(&root);
        assert_eq!(schema.coerce("a", json!("1")), json!("1"));
        assert!(!schema.is_secret("a"));
        assert!(schema.validator().is_ok_and(|validator| validator.is_valid(&json!({"a": "1"}))));
    }

    #[test]
    fn a_schema_that_is_too_large_is_refused() {
        let many: Map<String, Value> = (0..300).map(|n| (format!("k{n}"), json!({"pattern": "^a"}))).collect();
        assert!(Schema::new(&json!({"properties": many})).validator().unwrap_err().contains("patterns"));
        let many: Vec<_> = (0..MAX_NODES).collect();
        assert!(Schema::new(&json!({"enum": many})).validator().unwrap_err().contains("parts"));
    }

    #[test]
    fn a_schema_reaches_for_nothing_outside() {
        let root = json!({"$ref": "https://example.com/schema.json"});
        assert!(Schema::new(&root).validator().is_err());
    }
}
