//! TOML with the place of every key, and all faults of syntax at once.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::tree::{Fault, Field, Lines, MAX_DEPTH, Tree};

/// The most faults of syntax that are told; after a few the rest follow from the first.
const MAX_FAULTS: usize = 20;

/// Reads a text; the result is a table.
pub(super) fn parse(text: &str) -> Result<Vec<Field>, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, lines: Lines::new(text), faults: Vec::new() };
    for error in &errors {
        reader.syntax(error);
    }
    let fields = reader.fields(table.get_ref(), 0);
    if reader.faults.is_empty() { Ok(fields) } else { Err(reader.faults) }
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines<'a>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn syntax(&mut self, error: &toml::de::Error) {
        let at = self.lines.place(error.span().map_or(0, |span| span.start));
        let reason = error.message();
        // `topic = ..` beside `topic.creation.default.partitions = ..` makes `topic` a value and a table.
        let hint = if reason.contains("duplicate key") || reason.contains("cannot extend") {
            "; where one key continues another (\"topic\", \"topic.creation...\"), put the longer one in quotes"
        } else {
            ""
        };
        let fault = Fault { at, message: format!("not valid TOML: {reason}{hint}") };
        if self.faults.len() < MAX_FAULTS && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn fields(&mut self, table: &DeTable<'_>, depth: usize) -> Vec<Field> {
        let field = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let at = self.lines.place(self.start_of_key(key.span().start));
            let value = self.tree(value, depth + 1);
            Field { key: key.get_ref().to_string(), at, value }
        };
        table.iter().map(field).collect()
    }

    fn tree(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Tree {
        let offset = value.span().start;
        if depth > MAX_DEPTH {
            return self.fault(offset, &format!("values nest deeper than {MAX_DEPTH}"));
        }
        match value.get_ref() {
            DeValue::String(text) => Tree::Text(text.to_string()),
            DeValue::Integer(integer) => match whole(integer) {
                Some(number) => Tree::Number(number.to_string()),
                None => self.fault(offset, "the number does not fit 64 bits"),
            },
            DeValue::Float(float) => Tree::Number(float.as_str().to_owned()),
            DeValue::Boolean(flag) => Tree::Bool(*flag),
            DeValue::Datetime(datetime) => Tree::Text(datetime.to_string()),
            DeValue::Array(array) => Tree::Array(array.iter().map(|item| self.tree(item, depth + 1)).collect()),
            DeValue::Table(table) => Tree::Table(self.fields(table, depth)),
        }
    }

    /// Where a dotted key begins whose part is at this offset.
    fn start_of_key(&self, offset: usize) -> usize {
        let line = self.text.get(..offset).unwrap_or_default();
        let line = line.rsplit('\n').next().unwrap_or_default();
        if !line.trim_end().ends_with('.') {
            return offset;
        }
        let in_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ' | '\t');
        let before = line.trim_end_matches(in_key).len();
        let key = line.get(before..).unwrap_or_default().trim_start();
        offset - key.len()
    }

    fn fault(&mut self, offset: usize, message: &str) -> Tree {
        self.faults.push(Fault { at: self.lines.place(offset), message: message.to_owned() });
        Tree::Null
    }
}

fn whole(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    //! What is read, what is refused and where.

    use super::*;
    use crate::config::error::Place;
    use crate::config::tree::flatten;

    #[track_caller]
    fn refused(text: &str, line: u32, column: u32, part: &str) {
        let faults = parse(text).unwrap_err();
        assert!(faults[0].message.contains(part), "{faults:?}");
        assert_eq!((faults[0].at.line, faults[0].at.column), (line, column), "{faults:?}");
    }

    #[test]
    fn dotted_keys_tables_and_quoted_keys_come_out_alike() {
        for text in ["tasks.max = 1", "\"tasks.max\" = 1", "[tasks]\nmax = 1", "tasks = { max = 0x1 }"] {
            let (flat, faults) = flatten(&parse(text).unwrap());
            assert!(faults.is_empty());
            assert_eq!((flat[0].key.as_str(), &flat[0].value), ("tasks.max", &Tree::Number("1".into())), "{text}");
        }
        let (flat, _) = flatten(&parse("a = 1\n[t]\n  b.c = 1_000").unwrap());
        assert_eq!(flat[1].at, Place { line: 3, column: 3 });
        assert_eq!(flat[1].value, Tree::Number("1000".into()));
    }

    #[test]
    fn a_key_given_in_two_spellings_is_a_duplicate() {
        let (_, faults) = flatten(&parse("a.b = 1\n\"a.b\" = 2").unwrap());
        assert_eq!(faults[0].message, "key \"a.b\" is there twice, first in line 1");
        assert_eq!(faults[0].at.line, 2);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        refused("a = 1\na = 2", 2, 1, "duplicate key");
        refused("topic = \"x\"\ntopic.creation = 2", 2, 1, "in quotes");
        refused("a = ", 1, 5, "not valid TOML");
        refused("a = 99999999999999999999", 1, 5, "64 bits");
        refused(&format!("a = {}", "[".repeat(100_000)), 1, 85, "max recursion depth");
    }
}
