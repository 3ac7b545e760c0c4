//! The operations: what each of them does to an object.

use sandbar_plugin::serde_json::Value;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::condition::Condition;
use crate::object::{Field, Object};
use crate::path::Path;

/// One step.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Operation {
    /// These fields stay and no others.
    Keep {
        /// Where they are.
        fields: Vec<Path>,
    },
    /// These fields go.
    Drop {
        /// Where they are.
        fields: Vec<Path>,
    },
    /// A field gets another path, in place of what is there.
    Rename {
        /// Where it is.
        from: Path,
        /// Where it shall be.
        to: Path,
    },
    /// A field gets a value.
    Set {
        /// Where it is.
        field: Path,
        /// The value.
        value: Value,
    },
    /// The value of a field is hidden.
    Mask {
        /// Where it is.
        field: Path,
        /// Behind what.
        #[serde(default)]
        with: Mask,
    },
    /// Records for which the condition does not hold go.
    Filter(Condition),
}

/// What hides a value.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub enum Mask {
    /// This text.
    Text(String),
    /// The SHA-256 of the value.
    Hash,
}

impl Default for Mask {
    fn default() -> Self {
        Self::Text("***".to_owned())
    }
}

impl From<String> for Mask {
    fn from(text: String) -> Self {
        if text == "hash" { Self::Hash } else { Self::Text(text) }
    }
}

/// What becomes of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Keep,
    Drop,
}

impl Operation {
    /// Whether it makes sense.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Keep { fields } | Self::Drop { fields } if fields.is_empty() => Err("names no fields"),
            Self::Filter(condition) => condition.check(),
            _ => Ok(()),
        }
    }

    pub(crate) fn apply(&self, object: &mut Object<'_>) -> Result<Outcome, String> {
        match self {
            Self::Keep { fields } => {
                let paths: Vec<&[String]> = fields.iter().map(Path::names).collect();
                object.keep(&paths);
            }
            Self::Drop { fields } => {
                for field in fields {
                    object.remove(field.names());
                }
            }
            Self::Rename { from, to } => rename(object, from.names(), to.names())?,
            Self::Set { field, value } => object.put(field.names(), Field::of(value))?,
            Self::Mask { field, with } => {
                if let Some(field) = object.get(field.names()) {
                    *field = Field::of(&with.hide(field).into());
                }
            }
            Self::Filter(condition) => {
                if !condition.holds(object) {
                    return Ok(Outcome::Drop);
                }
            }
        }
        Ok(Outcome::Keep)
    }
}

impl Mask {
    fn hide(&self, field: &Field<'_>) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Hash => {
                let contents = field.string().unwrap_or_else(|| field.text().into_owned());
                let hash = Sha256::digest(contents.as_bytes());
                hash.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        }
    }
}

fn rename(object: &mut Object<'_>, from: &[String], to: &[String]) -> Result<(), String> {
    if let (Some((from_last, from_parents)), Some((to_last, to_parents))) = (from.split_last(), to.split_last())
        && from_parents == to_parents
    {
        object.rename(from_parents, from_last, to_last);
        return Ok(());
    }
    match object.remove(from) {
        Some(field) => object.put(to, field),
        None => Ok(()),
    }
}
