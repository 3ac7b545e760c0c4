//! What JSON and TOML have in common once read: a tree whose keys know their places.

use serde_json::{Number, Value};

use super::error::{ConfigError, ErrorKind, Origin, Place};

/// How deep values may nest; more is no configuration, and readers recurse.
pub(super) const MAX_DEPTH: usize = 32;
/// Up to this many bytes of a line, columns count characters; beyond, where nobody looks for a column, bytes. It keeps
/// a file that is one long line from costing the square of its length.
const MAX_COUNTED_BYTES: usize = 4096;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    /// A number as it was written, for whoever takes it as text.
    Number(String),
    Text(String),
    Array(Vec<Tree>),
    Table(Vec<Field>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) at: Place,
    pub(super) value: Tree,
}

/// A fault of syntax.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) at: Place,
    pub(super) message: String,
}

impl Tree {
    /// The value as Kafka Connect keeps scalars: text. Nothing for null, arrays and tables.
    pub(super) fn scalar(&self) -> Option<String> {
        match self {
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Number(text) | Self::Text(text) => Some(text.clone()),
            Self::Null | Self::Array(_) | Self::Table(_) => None,
        }
    }

    /// The value as JSON. A number JSON cannot hold (infinity) stays text.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(text) => number(text).map_or_else(|| Value::String(text.clone()), Value::Number),
            Self::Text(text) => Value::String(text.clone()),
            Self::Array(items) => items.iter().map(Self::to_json).collect(),
            Self::Table(fields) => fields.iter().map(|field| (field.key.clone(), field.value.to_json())).collect(),
        }
    }

    /// What people call the value's type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

fn number(text: &str) -> Option<Number> {
    serde_json::from_str(text).ok().or_else(|| Number::from_f64(text.parse().ok()?))
}

/// The fields of a table, those of tables within it under dotted keys: TOML reads `tasks.max = 1` as a table `tasks`.
/// A key that is there twice once flat is a fault.
pub(super) fn flatten(table: &[Field]) -> (Vec<Field>, Vec<Fault>) {
    let (mut flat, mut faults) = (Vec::new(), Vec::new());
    flatten_into(table, "", &mut flat);
    flat.sort_by(|a, b| a.key.cmp(&b.key).then(a.at.cmp(&b.at)));
    flat.dedup_by(|again, first| {
        let twice = again.key == first.key;
        if twice {
            let message = format!("key \"{}\" is there twice, first in line {}", again.key, first.at.line);
            faults.push(Fault { at: again.at, message });
        }
        twice
    });
    (flat, faults)
}

fn flatten_into(table: &[Field], prefix: &str, flat: &mut Vec<Field>) {
    for field in table {
        let key = format!("{prefix}{}", field.key);
        match &field.value {
            Tree::Table(inner) => flatten_into(inner, &format!("{key}."), flat),
            value => flat.push(Field { key, at: field.at, value: value.clone() }),
        }
    }
}

/// Turns byte offsets into places.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    /// The place of a byte offset; one past the end is the end.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or_default();
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        let column = if before.len() > MAX_COUNTED_BYTES { before.len() } else { before.chars().count() };
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        Place { line: count(line), column: count(column) }
    }
}

/// The text in a file's bytes.
pub(super) fn text<'a>(origin: &Origin, bytes: &'a [u8], max: usize) -> Result<&'a str, ConfigError> {
    if bytes.len() > max {
        let message = format!("is {} bytes long, the limit is {max}", bytes.len());
        return Err(origin.error_at(ErrorKind::Unreadable, None, message));
    }
    str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let place = Lines::new(&String::from_utf8_lossy(good)).place(good.len());
        origin.error_at(ErrorKind::Unreadable, Some(place), "is not UTF-8 text")
    })
}

/// Faults as errors of a file.
pub(super) fn syntax(origin: &Origin, faults: Vec<Fault>) -> Vec<ConfigError> {
    let error = |fault: Fault| origin.error_at(ErrorKind::Syntax, Some(fault.at), fault.message);
    faults.into_iter().map(error).collect()
}

#[cfg(test)]
mod tests {
    //! Places.

    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let lines = Lines::new("ab\nçé x\n");
        let at = |offset| (lines.place(offset).line, lines.place(offset).column);
        assert_eq!((at(0), at(1), at(3), at(5), at(8)), ((1, 1), (1, 2), (2, 1), (2, 2), (2, 4)));
        assert_eq!(at(99), (3, 1));
    }
}
