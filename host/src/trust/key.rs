//! The public keys that signatures are held against.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::KeyError;

/// How the comment line of any of minisign's files begins.
const COMMENT: &str = "untrusted comment:";
/// The bytes of a public key: two for the algorithm, the key's id, and the key.
const PUBLIC_KEY_BYTES: usize = 42;
/// The bytes of a secret key, which people may give by mistake.
const SECRET_KEY_BYTES: usize = 158;

/// Tells keys apart. It displays as minisign shows it, and proves nothing: a signature may claim any id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

/// A public key of minisign's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) id: KeyId,
    pub(super) key: minisign_verify::PublicKey,
}

impl KeyId {
    /// Finds it behind the two bytes of the algorithm, where keys and signatures have it.
    pub(super) fn in_bytes(bytes: &[u8]) -> Option<Self> {
        let id = bytes.get(2..10)?.try_into().ok()?;
        Some(Self(u64::from_le_bytes(id)))
    }
}

impl PublicKey {
    /// Reads a key: its line of base64, or the text of a `.pub` file, which has a comment above it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(COMMENT));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(KeyError::NotAKey) };
        let bytes = STANDARD.decode(line).map_err(|_| KeyError::NotAKey)?;
        match bytes.len() {
            PUBLIC_KEY_BYTES => {}
            SECRET_KEY_BYTES => return Err(KeyError::Secret),
            _ => return Err(KeyError::NotAKey),
        }
        let id = KeyId::in_bytes(&bytes).ok_or(KeyError::NotAKey)?;
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| KeyError::NotAKey)?;
        Ok(Self { id, key })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
