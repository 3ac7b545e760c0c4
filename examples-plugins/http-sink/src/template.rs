//! Text with placeholders for parts of a record: `${topic}`, `${partition}`, `${offset}`, `${key}`, `${value}` and
//! `${value.field.sub}`.

use std::borrow::Cow;
use std::cell::OnceCell;

use sandbar_plugin::json::{self, RawValue};
use sandbar_plugin::{InputRecord, serde_json};

/// A template, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It stands for itself.
    Text(String),
    /// It stands for a part of the record.
    Field(Field),
}

/// A part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    /// A field of the value, by the names from the outermost object inwards.
    Inner(Vec<String>),
}

/// What a record has for a field.
#[derive(Debug)]
pub(crate) enum Found<'r> {
    /// Nothing, and why.
    Nothing(String),
    /// Bytes that need not be text.
    Bytes(&'r [u8]),
    /// A number.
    Number(i64),
    /// A part of a JSON value.
    Json(&'r RawValue),
}

/// A record, with its value read as JSON once, when a field of it is first asked for.
pub(crate) struct Fields<'r> {
    record: InputRecord<'r>,
    json: OnceCell<Result<&'r RawValue, String>>,
}

impl Template {
    /// Takes a text apart.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let Some((name, after)) = after.split_once('}') else {
                return Err(format!("\"${{{after}\" has no closing brace"));
            };
            pieces.push(Piece::Field(Field::parse(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }
}

impl Field {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "key" => Self::Key,
            "value" => Self::Value,
            _ => match name.strip_prefix("value.") {
                Some(path) if path.split('.').all(|name| !name.is_empty()) => {
                    Self::Inner(path.split('.').map(str::to_owned).collect())
                }
                _ => {
                    return Err(format!(
                        "\"${{{name}}}\" is no placeholder: there are topic, partition, offset, key, value and value.field"
                    ));
                }
            },
        })
    }
}

impl<'r> Fields<'r> {
    pub(crate) fn new(record: InputRecord<'r>) -> Self {
        Self { record, json: OnceCell::new() }
    }

    /// What the record has for a field. An error: it can have nothing, because its value is no JSON.
    pub(crate) fn find(&self, field: &Field) -> Result<Found<'r>, String> {
        let or_nothing = |found: Option<Found<'r>>, what: &str| {
            found.unwrap_or_else(|| Found::Nothing(format!("the record has no {what}")))
        };
        Ok(match field {
            Field::Topic => Found::Bytes(self.record.topic().as_bytes()),
            Field::Partition => or_nothing(self.record.partition().map(|p| Found::Number(p.into())), "partition"),
            Field::Offset => or_nothing(self.record.offset.map(Found::Number), "offset"),
            Field::Key => or_nothing(self.record.key.map(Found::Bytes), "key"),
            Field::Value => or_nothing(self.record.value.map(Found::Bytes), "value"),
            Field::Inner(path) => match self.record.value {
                None => or_nothing(None, "value"),
                Some(_) => match json::find(self.json()?, path) {
                    Some(json) if json.get() != "null" => Found::Json(json),
                    _ => Found::Nothing(format!("the value has no field \"{}\"", path.join("."))),
                },
            },
        })
    }

    /// The whole value as JSON.
    pub(crate) fn json(&self) -> Result<&'r RawValue, String> {
        let value = self.record.value.unwrap_or(b"null");
        let read = || serde_json::from_slice(value).map_err(|error| format!("the value is not JSON: {error}"));
        self.json.get_or_init(read).clone()
    }
}

impl<'r> Found<'r> {
    /// It as text, for a place that holds no more than that.
    pub(crate) fn text(self, field: &Field) -> Result<Cow<'r, [u8]>, String> {
        match self {
            Self::Nothing(why) => Err(why),
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Number(number) => Ok(Cow::Owned(number.to_string().into_bytes())),
            Self::Json(json) => match (json::text(json), field) {
                (Some(Cow::Borrowed(text)), _) => Ok(Cow::Borrowed(text.as_bytes())),
                (Some(Cow::Owned(text)), _) => Ok(Cow::Owned(text.into_bytes())),
                (None, Field::Inner(path)) => {
                    Err(format!("field \"{}\" is an object or an array, not a text", path.join(".")))
                }
                (None, _) => Err("the value is an object or an array, not a text".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_taken_apart_at_its_placeholders() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let inner = Field::Inner(vec!["a".to_owned(), "0".to_owned()]);
        for (template, pieces) in [
            ("", vec![]),
            ("$ {x} $", vec![text("$ {x} $")]),
            ("${topic}${key}", vec![Piece::Field(Field::Topic), Piece::Field(Field::Key)]),
            ("a${value.a.0}b}", vec![text("a"), Piece::Field(inner), text("b}")]),
        ] {
            assert_eq!(Template::parse(template).unwrap().pieces, pieces, "{template}");
        }
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for template in ["${", "${topic", "${}", "${Topic}", "${value.}", "${value..a}", "${key.a}", "${ topic }"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }

    proptest! {
        /// Whatever stands in a template, what is read of it is what stood there.
        #[test]
        fn nothing_of_a_template_is_lost(text in "([a-z{}\"\\\\ ]|\\$\\{topic\\}|\\$\\{value\\.a\\.b\\}|\\$){0,20}") {
            if let Ok(template) = Template::parse(&text) {
                let back: String = template.pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => text.as_str(),
                    Piece::Field(Field::Topic) => "${topic}",
                    Piece::Field(_) => "${value.a.b}",
                }).collect();
                prop_assert_eq!(back, text);
            }
        }
    }
}
