//! One entry of the topic of plugins: how it is written as key and value, and read back.
//!
//! | key | value |
//! |---|---|
//! | `plugin-<plugin>@<version>` | `{"sha256","bytes","chunks","file","signature","at","worker"}`: it is there; with `"deleted":true`, it was taken away |
//! | `chunk-<sha256>-<number>` | that piece of the file, [`CHUNK_BYTES`] of it; null: nobody needs it any more |

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::discovery::MAX_PLUGIN_BYTES;

/// How much of a file one record holds: half of what a broker takes by default.
pub const CHUNK_BYTES: usize = 512 << 10;

const PLUGIN: &str = "plugin-";
const CHUNK: &str = "chunk-";

/// A version of a plugin, by which a worker group knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PluginKey {
    /// The plugin.
    pub name: String,
    /// Its version.
    pub version: Version,
}

/// What a plugin consists of. Another signature makes another one of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// That of the module.
    pub sha256: Digest,
    /// The content of the signature's file.
    pub signature: Option<Vec<u8>>,
}

/// What the group says of a version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginEntry {
    /// What it consists of, or consisted of.
    pub content: Content,
    /// Where to find it; nothing: it was taken away.
    pub place: Option<PluginPlace>,
    /// When this was said, in milliseconds since 1970 by the clock of who said it.
    pub at: i64,
    /// Who said it.
    pub worker: String,
}

/// Where a plugin's bytes are, and where they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginPlace {
    /// How many they are.
    pub bytes: u64,
    /// In how many pieces they lie in the topic.
    pub chunks: u32,
    /// The name of the file that held them first.
    pub file: String,
}

/// What a key of the topic is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// A version of a plugin; `None`: nothing is said of it any more.
    Plugin(PluginKey, Option<PluginEntry>),
    /// A piece of a file, which is there or not any more.
    Chunk(Digest, u32, bool),
}

#[derive(Serialize, Deserialize)]
struct Value {
    sha256: Digest,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    chunks: u32,
    #[serde(default)]
    file: String,
    signature: Option<String>,
    at: i64,
    #[serde(default)]
    worker: String,
}

impl PluginKey {
    /// The record's key.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{PLUGIN}{}@{}", self.name, self.version)
    }
}

impl std::fmt::Display for PluginKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl PluginEntry {
    /// The record's value.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        let place = self.place.as_ref();
        serde_json::to_string(&Value {
            sha256: self.content.sha256,
            deleted: place.is_none(),
            bytes: place.map_or(0, |place| place.bytes),
            chunks: place.map_or(0, |place| place.chunks),
            file: place.map_or_else(String::new, |place| place.file.clone()),
            signature: self.content.signature.as_ref().map(|signature| BASE64_STANDARD.encode(signature)),
            at: self.at,
            worker: self.worker.clone(),
        })
    }

    fn decode(value: &[u8]) -> Result<Self, String> {
        let read: Value = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let signature = read.signature.map(|text| BASE64_STANDARD.decode(text)).transpose();
        let content = Content { sha256: read.sha256, signature: signature.map_err(|error| error.to_string())? };
        if read.bytes > MAX_PLUGIN_BYTES {
            return Err(format!("it has {} bytes, and {MAX_PLUGIN_BYTES} are allowed", read.bytes));
        }
        if u64::from(read.chunks) > read.bytes.max(1) {
            return Err(format!("{} bytes cannot lie in {} pieces", read.bytes, read.chunks));
        }
        let place = PluginPlace { bytes: read.bytes, chunks: read.chunks, file: read.file };
        Ok(Self { content, place: (!read.deleted).then_some(place), at: read.at, worker: read.worker })
    }
}

/// The key of a piece of a file.
#[must_use]
pub fn chunk_key(sha256: Digest, number: u32) -> String {
    format!("{CHUNK}{sha256}-{number}")
}

/// Reads a record. `None`: it says nothing to Sandbar. An error says what is wrong with a record that should.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Keyed>, String> {
    let Ok(key) = std::str::from_utf8(key) else { return Ok(None) };
    if let Some(rest) = key.strip_prefix(CHUNK) {
        let chunk =
            rest.rsplit_once('-').and_then(|(sha256, number)| Some((sha256.parse().ok()?, number.parse().ok()?)));
        let (sha256, number) = chunk.ok_or("its key names no sha256 and number")?;
        return Ok(Some(Keyed::Chunk(sha256, number, value.is_some())));
    }
    let Some(rest) = key.strip_prefix(PLUGIN) else { return Ok(None) };
    let (name, version) = rest.split_once('@').ok_or("its key names no plugin and version")?;
    let version = version.parse().map_err(|error| format!("\"{version}\" is no version: {error}"))?;
    let entry = value.map(PluginEntry::decode).transpose()?;
    Ok(Some(Keyed::Plugin(PluginKey { name: name.to_owned(), version }, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PluginKey {
        PluginKey { name: "a-b".to_owned(), version: Version::new(1, 2, 3) }
    }

    fn entry(place: Option<PluginPlace>, signature: Option<&[u8]>) -> PluginEntry {
        let content = Content { sha256: Digest::of(b"x"), signature: signature.map(<[u8]>::to_vec) };
        PluginEntry { content, place, at: 7, worker: "w".to_owned() }
    }

    #[test]
    fn entries_come_back_as_they_were_written() {
        let place = PluginPlace { bytes: 3 * CHUNK_BYTES as u64, chunks: 3, file: "a.wasm".to_owned() };
        for entry in [entry(Some(place), Some(b"signed \xff")), entry(None, None)] {
            let value = entry.encode().expect("text");
            let read = decode(key().encode().as_bytes(), Some(value.as_bytes()));
            assert_eq!(read, Ok(Some(Keyed::Plugin(key(), Some(entry)))), "{value}");
        }
        assert_eq!(decode(key().encode().as_bytes(), None), Ok(Some(Keyed::Plugin(key(), None))));
        let sha256 = Digest::of(b"x");
        let chunk = chunk_key(sha256, 12);
        assert_eq!(decode(chunk.as_bytes(), Some(b"")), Ok(Some(Keyed::Chunk(sha256, 12, true))));
        assert_eq!(decode(chunk.as_bytes(), None), Ok(Some(Keyed::Chunk(sha256, 12, false))));
    }

    #[test]
    fn what_is_no_entry_says_why() {
        let sha256 = Digest::of(b"x");
        let too_large = format!(r#"{{"sha256":"{sha256}","bytes":{},"chunks":1,"at":1}}"#, MAX_PLUGIN_BYTES + 1);
        let too_many = format!(r#"{{"sha256":"{sha256}","bytes":2,"chunks":3,"at":1}}"#);
        for (key, value) in [
            ("plugin-a@1.0.0", "{"),
            ("plugin-a@1.0.0", r#"{"sha256":"x","at":1}"#),
            ("plugin-a@1.0.0", too_large.as_str()),
            ("plugin-a@1.0.0", too_many.as_str()),
            ("plugin-a@one", "{}"),
            ("plugin-a", "{}"),
            ("chunk-abc-1", ""),
            ("chunk-", ""),
        ] {
            assert!(decode(key.as_bytes(), Some(value.as_bytes())).is_err(), "{key} {value}");
        }
        assert_eq!(decode(b"other", Some(b"")), Ok(None));
        assert_eq!(decode(b"\xff", None), Ok(None));
    }
}
