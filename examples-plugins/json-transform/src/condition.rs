//! What a filter asks of a field.

use regex_lite::Regex;
use sandbar_plugin::serde_json::{self, Value};
use serde::{Deserialize, Deserializer};

use crate::object::{Field, Object};
use crate::path::Path;

/// The longest regular expression once it is compiled, in bytes: a configuration must not fill the plugin's memory.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// The conditions of one filter, all of which must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field that is asked for.
    pub field: Path,
    /// It has this value; `Some(Null)` asks for null.
    #[serde(default, deserialize_with = "present")]
    pub equals: Option<Value>,
    /// It is a string in which this is found.
    #[serde(default, deserialize_with = "regex")]
    pub matches: Option<Regex>,
    /// It is there, or is not.
    pub exists: Option<bool>,
    /// It is a number above this one.
    pub gt: Option<f64>,
    /// It is a number below this one.
    pub lt: Option<f64>,
    /// Whether the opposite is asked for.
    #[serde(default)]
    pub negate: bool,
}

impl Condition {
    /// Whether it asks for anything.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let asks = self.equals.is_some()
            || self.matches.is_some()
            || self.exists.is_some()
            || self.gt.is_some()
            || self.lt.is_some();
        if asks { Ok(()) } else { Err("a filter needs one of equals, matches, exists, gt, lt") }
    }

    pub(crate) fn holds(&self, object: &mut Object<'_>) -> bool {
        let field = object.get(self.field.names());
        self.all_hold(field.as_deref()) != self.negate
    }

    fn all_hold(&self, field: Option<&Field<'_>>) -> bool {
        if self.exists.is_some_and(|wanted| wanted != field.is_some()) {
            return false;
        }
        let Some(field) = field else {
            // What asks for the contents of a field does not hold where there is none.
            return self.equals.is_none() && self.matches.is_none() && self.gt.is_none() && self.lt.is_none();
        };
        let number = || serde_json::from_str::<f64>(&field.text()).ok();
        self.equals.as_ref().is_none_or(|wanted| equal(field, wanted))
            && self.matches.as_ref().is_none_or(|regex| field.string().is_some_and(|text| regex.is_match(&text)))
            && self.gt.is_none_or(|bound| number().is_some_and(|n| n > bound))
            && self.lt.is_none_or(|bound| number().is_some_and(|n| n < bound))
    }
}

/// Whether a field has a value. Numbers are equal by value: 1.0 is 1.
fn equal(field: &Field<'_>, wanted: &Value) -> bool {
    match serde_json::from_str::<Value>(&field.text()) {
        Ok(value) if value == *wanted => true,
        Ok(Value::Number(a)) => {
            // Two integers that differ as integers must not become equal as floats.
            let integers = (a.is_i64() || a.is_u64()) && (wanted.is_i64() || wanted.is_u64());
            !integers && wanted.as_f64().is_some() && a.as_f64() == wanted.as_f64()
        }
        _ => false,
    }
}

/// Tells a null that is there from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn regex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    let pattern = String::deserialize(deserializer)?;
    let built = regex_lite::RegexBuilder::new(&pattern).size_limit(MAX_REGEX_BYTES).build();
    built.map(Some).map_err(|error| serde::de::Error::custom(format!("\"{pattern}\": {error}")))
}
