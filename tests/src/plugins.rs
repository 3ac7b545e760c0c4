//! The example plugins as tests need them: as they are, or with another manifest, which makes another version of them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use sandbar::plugins::embed;
use sandbar_abi::Manifest;
use serde_json::Value;

use crate::built;

/// The name of a plugin's file: cargo writes `_` for `-`.
#[must_use]
pub fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}

/// The compiled plugin of an example crate.
pub fn path(package: &str) -> Result<PathBuf> {
    Ok(built::plugins()?.join(file_name(package)))
}

/// Its bytes.
pub fn bytes(package: &str) -> Result<Vec<u8>> {
    let path = path(package)?;
    fs::read(&path).with_context(|| format!("read {}", path.display()))
}

/// The same code with a manifest changed by `change`: another name, another version, another default. The host fills
/// defaults in, so a version may behave differently from the one before.
pub fn variant(package: &str, change: impl FnOnce(&mut Value)) -> Result<Vec<u8>> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples-plugins").join(package);
    let manifest = source.join("manifest.json");
    let text = fs::read(&manifest).with_context(|| format!("read {}", manifest.display()))?;
    let mut manifest: Value = serde_json::from_slice(&text)?;
    change(&mut manifest);
    let manifest = Manifest::from_json(manifest.to_string().as_bytes())?;
    Ok(embed(&bytes(package)?, &manifest)?)
}
