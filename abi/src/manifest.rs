//! What a plugin says of itself, readable without running it: the custom section `sandbar.manifest`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::names;
use crate::pattern::{ANY_HOST, Pattern};

/// What a plugin can be. One plugin may be several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Reads another system, writes topics.
    Source,
    /// Reads topics, writes another system.
    Sink,
    /// Reads records, writes records.
    Transform,
}

impl Kind {
    /// The kind's name, as the manifest and Kafka Connect spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Transform => "transform",
        }
    }
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name by which a connector asks for it, in `connector.class` and `transforms.<alias>.type`.
    pub name: String,
    /// Its semantic version.
    pub version: semver::Version,
    /// What it can be.
    pub kinds: Vec<Kind>,
    /// The major version of the ABI it was built for.
    pub abi: u16,
    /// One sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Its licence, as an SPDX expression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// The JSON Schema of its configuration; `"format": "password"` marks a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Value>,
    /// What it asks for. It gets what the operator grants of that.
    #[serde(default, skip_serializing_if = "Capabilities::is_none")]
    pub capabilities: Capabilities,
    /// The limits it suggests; a connector's own settings win.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Whether writing the same records twice leaves the other system as writing them once does.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub idempotent_write: bool,
    /// Whether what it does for a connector can be exactly once. A source returns the same records again from the same
    /// offset; a sink writes idempotently, or keeps the offset beside its data and answers with it when it is assigned
    /// partitions. Of a plugin that is both it says both. See [`Manifest::is_exactly_once`].
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub exactly_once: bool,
}

/// What a plugin asks for beyond computing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Access to directories that the operator names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fs: Vec<Access>,
    /// Names of environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Hosts it wants to reach over HTTP: patterns ([`crate::pattern`]), or `*` for whatever hosts the operator names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
}

impl Capabilities {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.fs.is_empty() && self.env.is_empty() && self.http.is_empty()
    }
}

/// What may be done in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// List and read.
    Read,
    /// Create, change and remove as well.
    Write,
}

/// Limits a plugin suggests for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Linear memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max_bytes: Option<u64>,
    /// Fuel per call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_per_call: Option<u64>,
    /// Wall-clock time per call, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_timeout_ms: Option<u64>,
}

impl Limits {
    /// Whether nothing is suggested.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A manifest that cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The section's length prefix does not match what follows it.
    #[error("section \"{section}\": {0}", section = names::MANIFEST_SECTION)]
    Section(&'static str),
    /// It is not the JSON that is expected.
    #[error("manifest is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A field holds something it must not hold.
    #[error("manifest field \"{field}\": {what}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl Manifest {
    /// Reads the JSON of a manifest and checks it.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads the contents of the custom section.
    pub fn from_section(section: &[u8]) -> Result<Self, ManifestError> {
        let Some((prefix, json)) = section.split_first_chunk::<4>() else {
            return Err(ManifestError::Section("shorter than its length prefix of 4 bytes"));
        };
        let len = u32::from_le_bytes(*prefix) as usize;
        if len > names::MAX_MANIFEST_BYTES {
            return Err(ManifestError::Section("longer than 1 MiB"));
        }
        if len > json.len() {
            return Err(ManifestError::Section("shorter than its length prefix says"));
        }
        if len < json.len() {
            return Err(ManifestError::Section("bytes trail the length its prefix says"));
        }
        Self::from_json(json)
    }

    /// The contents of the custom section for this manifest.
    pub fn to_section(&self) -> Result<Vec<u8>, ManifestError> {
        let json = serde_json::to_vec(self)?;
        let len = u32::try_from(json.len()).ok().filter(|len| *len as usize <= names::MAX_MANIFEST_BYTES);
        let Some(len) = len else { return Err(ManifestError::Section("longer than 1 MiB")) };
        let mut section = len.to_le_bytes().to_vec();
        section.extend(json);
        Ok(section)
    }

    /// Whether it can be used as this kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether it says that it can be exactly once as this kind. A sink that writes idempotently says so by that; a
    /// transform need not say it, its input and its output being Kafka's.
    #[must_use]
    pub const fn is_exactly_once(&self, kind: Kind) -> bool {
        match kind {
            Kind::Source => self.exactly_once,
            Kind::Sink => self.exactly_once || self.idempotent_write,
            Kind::Transform => true,
        }
    }

    fn check(&self) -> Result<(), ManifestError> {
        let fault = |field, what: &str| Err(ManifestError::Field { field, what: what.to_owned() });
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '$');
        if self.name.is_empty() || self.name.len() > 128 || !self.name.chars().all(fits) {
            return fault("name", "must be 1 to 128 of the letters a-z, A-Z, 0-9, '.', '_', '-', '$'");
        }
        if self.abi != names::ABI_MAJOR {
            return Err(ManifestError::Field {
                field: "abi",
                what: format!("is {}, this host speaks {}", self.abi, names::ABI_MAJOR),
            });
        }
        if self.kinds.is_empty() {
            return fault("kinds", "names none of \"source\", \"sink\", \"transform\"");
        }
        if self.config.as_ref().is_some_and(|schema| !schema.is_object()) {
            return fault("config", "must be a JSON Schema, which is an object");
        }
        self.check_http()
    }

    fn check_http(&self) -> Result<(), ManifestError> {
        let fault = |what| ManifestError::Field { field: "capabilities.http", what };
        let hosts = &self.capabilities.http;
        if hosts.len() > names::MAX_HTTP_HOSTS {
            return Err(fault(format!("has {} hosts, the limit is {}", hosts.len(), names::MAX_HTTP_HOSTS)));
        }
        for host in hosts.iter().filter(|host| *host != ANY_HOST) {
            host.parse::<Pattern>().map_err(|error| fault(error.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exactly_once_as_which_kind() {
        let kinds = [Kind::Source, Kind::Sink, Kind::Transform];
        for (says, expected) in [
            ("", [false, false, true]),
            (r#","exactly_once":true"#, [true, true, true]),
            (r#","idempotent_write":true"#, [false, true, true]),
            (r#","exactly_once":false,"idempotent_write":false"#, [false, false, true]),
        ] {
            let json = format!(r#"{{"name":"a","version":"1.0.0","kinds":["source","sink"],"abi":1{says}}}"#);
            let manifest = Manifest::from_json(json.as_bytes()).unwrap();
            assert_eq!(kinds.map(|kind| manifest.is_exactly_once(kind)), expected, "{says}");
            let section = manifest.to_section().unwrap();
            assert_eq!(Manifest::from_section(&section).unwrap(), manifest, "{says}");
        }
    }
}
