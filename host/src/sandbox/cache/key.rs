//! The key that only this host has: what it signs in the cache nobody else could have written.

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Cache;
use super::error::{At as _, CacheError, CacheFault};
use super::folder;
use crate::digest::Digest;
use crate::whole_file;

/// How long a code is.
pub(super) const MAC_BYTES: usize = 32;

/// What a code is about, so that one made for one purpose says nothing for another.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// The name of the folder of one engine.
    Folder { engine: &'a Digest },
    /// Machine code that this engine made of this module.
    Code { engine: &'a Digest, module: &'a Digest, code: &'a [u8] },
}

/// The key. It shows nothing of itself.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    /// Takes the key out of a folder, or makes one there. Whichever of several hosts is first makes it for all.
    pub(super) fn open(data: &Path) -> Result<Self, CacheError> {
        let path = data.join(Cache::KEY_FILE);
        if let Some(key) = Self::read(&path)? {
            return Ok(key);
        }
        let mut key = [0; Cache::KEY_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other).at(&path)?;
        whole_file::create(&path, &key).at(&path)?;
        Self::read(&path)?.ok_or_else(|| CacheError::new(&path, io::Error::from(io::ErrorKind::NotFound)))
    }

    /// Reads a key, if there is one. One that others could know is none.
    fn read(path: &Path) -> Result<Option<Self>, CacheError> {
        let opened = folder::open_file(rustix::fs::CWD, path, folder::NOBODY_ELSE).at(path)?;
        let Some((mut file, len)) = opened else { return Ok(None) };
        let mut key = [0; Cache::KEY_BYTES];
        if len != Cache::KEY_BYTES as u64 {
            return Err(CacheError::new(path, CacheFault::KeyLength { len, expected: Cache::KEY_BYTES }));
        }
        file.read_exact(&mut key).at(path)?;
        Ok(Some(Self::of(&key)))
    }

    /// HMAC's own rule: a key that is shorter than a block is filled up with zeros.
    fn of(key: &[u8; Cache::KEY_BYTES]) -> Self {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block.iter_mut().zip(key).for_each(|(filled, byte)| *filled = *byte);
        Self(Hmac::new(&block))
    }

    /// The code of something.
    pub(super) fn code(&self, about: About<'_>) -> [u8; MAC_BYTES] {
        self.hashed(about).finalize().into_bytes().into()
    }

    /// Whether this is the code of something. How long that takes tells nothing of how much of it is right.
    pub(super) fn is_code(&self, about: About<'_>, code: &[u8]) -> bool {
        self.hashed(about).verify_slice(code).is_ok()
    }

    /// All parts but the last have a fixed length, so that no two things are the same bytes.
    fn hashed(&self, about: About<'_>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        match about {
            About::Folder { engine } => {
                mac.update(b"sandbar cache 1 folder\0");
                mac.update(engine.as_bytes());
            }
            About::Code { engine, module, code } => {
                mac.update(b"sandbar cache 1 code\0");
                mac.update(engine.as_bytes());
                mac.update(module.as_bytes());
                mac.update(code);
            }
        }
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
