//! Looks into JSON without taking it apart: what lies at a place is the text that came, its digits and order included.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
pub use serde_json::value::RawValue;

/// A JSON Pointer, as RFC 6901 has it: `/items/0/id`; the empty one is the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer {
    text: String,
    names: Vec<String>,
}

impl Pointer {
    /// Reads one.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let mut parts = text.split('/');
        if parts.next() != Some("") {
            return Err(format!("\"{text}\" is no JSON Pointer: one is empty or begins with \"/\""));
        }
        let names = parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        Ok(Self { text, names })
    }

    /// What lies there.
    #[must_use]
    pub fn find<'a>(&self, json: &'a RawValue) -> Option<&'a RawValue> {
        find(json, &self.names)
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text)
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.text
    }
}

impl Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What lies at the end of a path: a step is the name of a field in an object, or a number in an array. Of a name that
/// stands twice the last counts, as with most readers.
#[must_use]
pub fn find<'a>(json: &'a RawValue, path: &[impl AsRef<str>]) -> Option<&'a RawValue> {
    path.iter().try_fold(json, |json, name| {
        serde_json::Deserializer::from_str(json.get()).deserialize_any(Step(name.as_ref())).ok().flatten()
    })
}

/// A scalar as text: what a string holds, a number or a boolean as it is written. `None` for everything else.
#[must_use]
pub fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    match json.get().as_bytes().first()? {
        b'"' => Deserialize::deserialize(&mut serde_json::Deserializer::from_str(json.get())).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json.get())),
    }
}

/// One step into an object or an array.
struct Step<'n>(&'n str);

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(self.0))? {
            if is_it {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        // RFC 6901 knows no leading zeros, no sign, and "-" for a place that is never there.
        let plain = self.0 == "0" || !self.0.starts_with(['0', '+']);
        let mut left: usize = match self.0.parse() {
            Ok(index) if plain => index,
            _ => return Ok(None),
        };
        while left > 0 && items.next_element::<IgnoredAny>()?.is_some() {
            left -= 1;
        }
        let found = if left == 0 { items.next_element()? } else { None };
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// Whether a name is this one, without keeping it.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_pointer_leads_to_the_text_as_it_came() {
        let json = raw(r#" {"a": {"b": [1, {"c/d": 1.50, "~": null}]}, "a\u0062": 1e400, "": 7, "x": 1, "x": [ 2 ]} "#);
        for (pointer, found) in [
            ("/a/b/0", Some("1")),
            ("/a/b/1/c~1d", Some("1.50")),
            ("/a/b/1/~0", Some("null")),
            ("/ab", Some("1e400")),
            ("/", Some("7")),
            ("/x", Some("[ 2 ]")),
            ("/x/0", Some("2")),
            ("/x/1", None),
            ("/x/00", None),
            ("/x/+0", None),
            ("/x/-", None),
            ("/a/c", None),
            ("/x/0/y", None),
        ] {
            assert_eq!(Pointer::new(pointer).unwrap().find(json).map(RawValue::get), found, "{pointer}");
        }
        assert_eq!(Pointer::default().find(json).map(RawValue::get), Some(json.get()));
        assert!(Pointer::new("a/b").is_err());
    }

    #[test]
    fn scalars_have_a_text() {
        for (json, expected) in [
            (r#""a\nb""#, Some("a\nb")),
            ("12345678901234567890.10", Some("12345678901234567890.10")),
            ("true", Some("true")),
            ("null", None),
            ("{}", None),
            ("[1]", None),
        ] {
            assert_eq!(text(raw(json)).as_deref(), expected, "{json}");
        }
    }
}
