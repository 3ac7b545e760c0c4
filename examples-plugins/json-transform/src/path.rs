//! Where a field is: names of objects within objects, joined by dots.

use serde::Deserialize;

/// A path, never empty. A name that itself holds a dot cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Path(Vec<String>);

impl Path {
    /// The names, from the outermost object inwards.
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names: Vec<String> = text.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            return Err(format!("\"{text}\" is no path: a name is empty"));
        }
        Ok(Self(names))
    }
}
