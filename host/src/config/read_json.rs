//! JSON with the place of every key, and with duplicate keys refused: `serde_json` reads the syntax, raw values tell
//! where in the text they are.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::Place;
use super::tree::{Fault, Field, Lines, MAX_DEPTH, Tree};

/// Reads a text.
pub(super) fn parse(text: &str) -> Result<Tree, Vec<Fault>> {
    let lines = Lines::new(text);
    let mut reader = Reader { text, lines: &lines, faults: Vec::new() };
    let tree = match serde_json::from_str(text) {
        Ok(raw) => reader.value(raw, 0),
        Err(error) => reader.fault(syntax_place(&error), reason(&error)),
    };
    if reader.faults.is_empty() { Ok(tree) } else { Err(reader.faults) }
}

/// What `serde_json` says, without the place, which is told apart.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or_default();
    format!("not valid JSON: {reason}")
}

fn syntax_place(error: &serde_json::Error) -> Place {
    let count = |n: usize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
    Place { line: count(error.line()), column: count(error.column()) }
}

struct Reader<'a> {
    text: &'a str,
    lines: &'a Lines<'a>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, raw: &'a RawValue, depth: usize) -> Tree {
        let at = self.place(raw);
        if depth > MAX_DEPTH {
            return self.fault(at, format!("values nest deeper than {MAX_DEPTH}"));
        }
        let tree = match raw.get().as_bytes().first() {
            Some(b'{') => serde_json::from_str(raw.get()).map(|fields| self.table(fields, depth)),
            Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(raw.get())
                .map(|items| Tree::Array(items.into_iter().map(|item| self.value(item, depth + 1)).collect())),
            Some(b'"') => serde_json::from_str(raw.get()).map(Tree::Text),
            Some(b't') => Ok(Tree::Bool(true)),
            Some(b'f') => Ok(Tree::Bool(false)),
            Some(b'n') => Ok(Tree::Null),
            _ => Ok(Tree::Number(raw.get().to_owned())),
        };
        tree.unwrap_or_else(|error| self.fault(at, reason(&error)))
    }

    fn table(&mut self, Fields(raw): Fields<'a>, depth: usize) -> Tree {
        let mut first_lines = BTreeMap::new();
        let mut fields = Vec::with_capacity(raw.len());
        for (raw_key, raw_value) in raw {
            let at = self.place(raw_key);
            let key: String = match serde_json::from_str(raw_key.get()) {
                Ok(key) => key,
                Err(error) => {
                    self.fault(at, reason(&error));
                    continue;
                }
            };
            if let Some(line) = first_lines.insert(key.clone(), at.line) {
                self.fault(at, format!("key \"{key}\" is there twice, first in line {line}"));
            }
            let value = self.value(raw_value, depth + 1);
            fields.push(Field { key, at, value });
        }
        Tree::Table(fields)
    }

    /// A raw value borrows from the text, so the distance of their addresses is its offset.
    fn place(&self, raw: &RawValue) -> Place {
        let offset = (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.lines.place(offset)
    }

    fn fault(&mut self, at: Place, message: String) -> Tree {
        self.faults.push(Fault { at, message });
        Tree::Null
    }
}

/// The fields of an object, unread, duplicates and order kept.
struct Fields<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    //! What is read, what is refused and where.

    use super::*;

    #[track_caller]
    fn refused(text: &str, line: u32, column: u32, part: &str) {
        let faults = parse(text).unwrap_err();
        let fault = &faults[0];
        assert!(fault.message.contains(part), "{faults:?}");
        assert_eq!((fault.at.line, fault.at.column), (line, column), "{faults:?}");
    }

    #[test]
    fn keys_know_their_places_and_numbers_their_spelling() {
        let Tree::Table(fields) = parse("{\n  \"a\\u0062\": 1.50,\n  \"c\": [true, null]\n}").unwrap() else {
            panic!()
        };
        assert_eq!(fields[0].key, "ab");
        assert_eq!(fields[0].at, Place { line: 2, column: 3 });
        assert_eq!(fields[0].value, Tree::Number("1.50".into()));
        assert_eq!(fields[1].at, Place { line: 3, column: 3 });
        assert_eq!(fields[1].value, Tree::Array(vec![Tree::Bool(true), Tree::Null]));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        refused("{\n  \"a\": 1,\n}", 3, 1, "key must be a string");
        refused("{\"a\": tru}", 1, 10, "not valid JSON");
        refused("", 1, 1, "EOF");
        refused("{} x", 1, 4, "trailing characters");
        refused("{\"a\": 1,\n \"a\": 2}", 2, 2, "key \"a\" is there twice, first in line 1");
        refused("{\"x\": {\"a\": 1, \"a\": 2}}", 1, 16, "twice");
        refused("{\"a\": \"\\ud800\"}", 1, 7, "not valid JSON");
        refused(&"[".repeat(100_000), 1, 100_000, "EOF");
        refused(&format!("{}{}", "[".repeat(100), "]".repeat(100)), 1, 34, "nest deeper than 32");
    }

    #[test]
    fn all_duplicates_are_told_at_once() {
        let faults = parse("{\"a\":1,\"a\":2,\"b\":1,\"b\":2}").unwrap_err();
        assert_eq!(faults.len(), 2);
    }
}
