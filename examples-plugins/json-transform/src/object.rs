//! A JSON object that is taken apart only as far as paths reach into it: the rest stays the text it came as.

use std::borrow::Cow;
use std::fmt;

use sandbar_plugin::serde_json::{self, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Fields in their order. A name that stands twice stays twice; look-ups find the last, as most readers do.
#[derive(Debug, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Field<'a>)>);

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Field<'a> {
    /// The JSON text as it came.
    Raw(&'a RawValue),
    /// An object that a path has reached into.
    Object(Object<'a>),
    /// JSON text of our own.
    Text(String),
}

impl<'a> Object<'a> {
    /// Reads a whole value, which must be an object.
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("the value is not a JSON object: {error}"))
    }

    /// Appends the JSON text.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (i, (name, field)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_string(out, name);
            out.push(b':');
            match field {
                Field::Raw(raw) => out.extend_from_slice(raw.get().as_bytes()),
                Field::Object(object) => object.write(out),
                Field::Text(text) => out.extend_from_slice(text.as_bytes()),
            }
        }
        out.push(b'}');
    }

    /// The field at a path, if it is there.
    pub(crate) fn get(&mut self, path: &[String]) -> Option<&mut Field<'a>> {
        let (last, parents) = path.split_last()?;
        self.descend(parents)?.field(last)
    }

    /// Puts a field at a path, in place of what is there or at the end. Objects on the way are made.
    pub(crate) fn put(&mut self, path: &[String], field: Field<'a>) -> Result<(), String> {
        let Some((first, rest)) = path.split_first() else { return Ok(()) };
        if rest.is_empty() {
            match self.field(first) {
                Some(there) => *there = field,
                None => self.0.push((Cow::Owned(first.clone()), field)),
            }
            return Ok(());
        }
        if self.field(first).is_none() {
            self.0.push((Cow::Owned(first.clone()), Field::Object(Self::default())));
        }
        match self.field(first).and_then(Field::as_object) {
            Some(object) => object.put(rest, field),
            None => Err(format!("field \"{first}\" is not an object")),
        }
    }

    /// Takes a field out, under all of its names.
    pub(crate) fn remove(&mut self, path: &[String]) -> Option<Field<'a>> {
        let (last, parents) = path.split_last()?;
        let object = self.descend(parents)?;
        let mut removed = None;
        for (name, field) in std::mem::take(&mut object.0) {
            if name == last.as_str() {
                removed = Some(field);
            } else {
                object.0.push((name, field));
            }
        }
        removed
    }

    /// Gives a field of this object another name and leaves it where it stands.
    pub(crate) fn rename(&mut self, parents: &[String], from: &str, to: &str) {
        let Some(object) = self.descend(parents) else { return };
        if from == to || object.field(from).is_none() {
            return;
        }
        object.0.retain(|(name, _)| name != to);
        for (name, _) in &mut object.0 {
            if name == from {
                *name = Cow::Owned(to.to_owned());
            }
        }
    }

    /// Keeps what these paths reach, and drops the rest.
    pub(crate) fn keep(&mut self, paths: &[&[String]]) {
        self.0.retain_mut(|(name, field)| {
            let inner: Vec<&[String]> = paths
                .iter()
                .filter_map(|path| path.split_first())
                .filter(|(first, _)| name == first.as_str())
                .map(|(_, rest)| rest)
                .collect();
            if inner.iter().any(|rest| rest.is_empty()) {
                return true;
            }
            match field.as_object() {
                Some(object) if !inner.is_empty() => {
                    object.keep(&inner);
                    !object.0.is_empty()
                }
                _ => false,
            }
        });
    }

    fn descend(&mut self, parents: &[String]) -> Option<&mut Self> {
        let Some((first, rest)) = parents.split_first() else { return Some(self) };
        self.field(first)?.as_object()?.descend(rest)
    }

    fn field(&mut self, name: &str) -> Option<&mut Field<'a>> {
        self.0.iter_mut().rev().find(|(there, _)| there == name).map(|(_, field)| field)
    }
}

impl<'a> Field<'a> {
    /// JSON of our own.
    pub(crate) fn of(value: &Value) -> Self {
        Self::Text(value.to_string())
    }

    /// The JSON text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Raw(raw) => Cow::Borrowed(raw.get()),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Object(object) => {
                let mut text = Vec::new();
                object.write(&mut text);
                Cow::Owned(String::from_utf8_lossy(&text).into_owned())
            }
        }
    }

    /// The contents, where it is a string.
    pub(crate) fn string(&self) -> Option<String> {
        let text = self.text();
        text.starts_with('"').then(|| serde_json::from_str(&text).ok()).flatten()
    }

    fn as_object(&mut self) -> Option<&mut Object<'a>> {
        let object = match self {
            Self::Raw(raw) => Some(serde_json::from_str(raw.get()).ok()?),
            Self::Text(text) => Some(owned(text)?),
            Self::Object(_) => None,
        };
        if let Some(object) = object {
            *self = Self::Object(object);
        }
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

/// An object of our own, which no input outlives.
fn owned<'a>(json: &str) -> Option<Object<'a>> {
    let Value::Object(fields) = serde_json::from_str(json).ok()? else { return None };
    Some(Object(fields.iter().map(|(name, value)| (Cow::Owned(name.clone()), Field::of(value))).collect()))
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, Field::Raw(map.next_value()?)));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A name, borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[track_caller]
    fn changed(json: &str, change: impl FnOnce(&mut Object<'_>), expected: &str) {
        let mut object = Object::parse(json.as_bytes()).unwrap();
        change(&mut object);
        let mut text = Vec::new();
        object.write(&mut text);
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_touched_leaves_as_it_came() {
        let json = r#"{"z":1.50e+3,"a":123456789012345678901234567890,"a":{ "b" : [1, 2] },"e\"s":"\u0041","":{}}"#;
        changed(json, |_| {}, json);
        changed(r#" { "a" : { "b":1 , "c": 0.10 } } "#, |o| drop(o.remove(&path("a.b"))), r#"{"a":{"c":0.10}}"#);
    }

    #[test]
    fn fields_are_put_and_taken_at_any_depth() {
        changed(r#"{"a":1}"#, |o| o.put(&path("a"), Field::of(&"x".into())).unwrap(), r#"{"a":"x"}"#);
        changed(r#"{"a":1}"#, |o| o.put(&path("b.c"), Field::of(&true.into())).unwrap(), r#"{"a":1,"b":{"c":true}}"#);
        let mut object = Object::parse(br#"{"a":1}"#).unwrap();
        assert_eq!(object.put(&path("a.b"), Field::of(&1.into())).unwrap_err(), "field \"a\" is not an object");
        assert!(object.remove(&path("a.b")).is_none());
        assert_eq!(object.get(&path("a")).unwrap().text(), "1");
    }

    #[test]
    fn an_object_that_was_put_can_be_reached_into() {
        changed(
            "{}",
            |o| {
                o.put(&path("a"), Field::of(&serde_json::json!({"b": 1}))).unwrap();
                o.put(&path("a.c"), Field::of(&2.into())).unwrap();
            },
            r#"{"a":{"b":1,"c":2}}"#,
        );
    }

    #[test]
    fn a_rename_keeps_the_place() {
        changed(r#"{"a":1,"b":2,"c":3}"#, |o| o.rename(&[], "a", "c"), r#"{"c":1,"b":2}"#);
        changed(r#"{"a":1}"#, |o| o.rename(&[], "x", "a"), r#"{"a":1}"#);
    }

    #[test]
    fn keep_reaches_inside() {
        let json = r#"{"a":{"b":1,"c":2},"d":{"e":3},"f":4,"g":5}"#;
        let paths = [path("a.b"), path("d.x"), path("f"), path("g.h")];
        let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
        changed(json, |o| o.keep(&paths), r#"{"a":{"b":1},"f":4}"#);
    }

    #[test]
    fn faults_name_their_place() {
        for (json, what) in [
            ("[1]", "invalid type: sequence, expected an object at line 1 column 0"),
            (r#"{"a":}"#, "expected value at line 1 column 6"),
            (r#"{"a":1} x"#, "trailing characters at line 1 column 9"),
        ] {
            assert_eq!(Object::parse(json.as_bytes()).unwrap_err(), format!("the value is not a JSON object: {what}"));
        }
    }
}
