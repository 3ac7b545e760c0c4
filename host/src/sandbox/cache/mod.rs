//! Keeps machine code on disk, so that a plugin is compiled once a machine and not once a start.
//!
//! Running what is read here means trusting it entirely, so the host reads back only what it has written itself: every
//! entry carries a code (HMAC-SHA-256) over the engine, the module and the machine code, by a key that only this host can
//! read. Whoever can write the folder, and not read the key, can at most have plugins compiled again. Who owns folders and
//! files is checked as well, which costs nothing and says early what is amiss.
//!
//! It is a store of bytes and knows nothing of what they mean. A cache that cannot be used costs time, never a plugin.

mod error;
mod folder;
mod key;
mod sweep;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::warn;

pub use error::{CacheError, CacheFault};

use super::engine::Engine;
use crate::digest::Digest;
use error::At as _;
use folder::Folder;
use key::{About, Key, MAC_BYTES};
use sweep::{CODE_SUFFIX, SCRATCH_SUFFIX};

/// The longest entry that is read back, in bytes: several times what the largest plugin compiles to.
const MAX_ENTRY_BYTES: u64 = 1 << 30;
/// How many digits of a code name the folder of an engine.
const FOLDER_DIGITS: usize = 16;

/// See the module. Several hosts may use one folder at a time: entries appear whole, and what one removes another makes anew.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    key: Key,
    max_bytes: u64,
    /// What was told last, so that what is wrong with the whole folder is not told of each plugin.
    told: Mutex<Option<String>>,
}

impl Cache {
    /// The key's file in the data folder. Only its owner may be able to read it.
    pub const KEY_FILE: &str = "cache.key";
    /// How long a key is: as the hash, which is as much as HMAC makes use of.
    pub const KEY_BYTES: usize = 32;

    /// Opens the cache in `folder`, whose key is in `data`; both are made where they are missing. It holds at most
    /// `max_bytes`, and of engines other than this one nothing that is old. Blocks.
    pub fn open(engine: &Engine, folder: &Path, data: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        let cache = Self::at(folder, data, max_bytes)?;
        cache.sweep(&engine.id, SystemTime::now())?;
        Ok(cache)
    }

    fn at(folder: &Path, data: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        std::fs::create_dir_all(data).at(data)?;
        let key = Key::open(data)?;
        Folder::open(folder)?;
        Ok(Self { folder: folder.to_owned(), key, max_bytes, told: Mutex::new(None) })
    }

    /// What this engine made of this module, if it is there and in order. Blocks.
    pub(super) fn load(&self, engine: &Digest, module: &Digest) -> Option<Vec<u8>> {
        match self.read(engine, module) {
            Ok(code) => code,
            Err(error) => {
                self.tell(&error, "cached machine code is not used, the plugin is compiled");
                None
            }
        }
    }

    /// Keeps what this engine made of this module, and makes room for it. Blocks.
    pub(super) fn store(&self, engine: &Digest, module: &Digest, code: &[u8]) {
        let stored = self.write(engine, module, code).and_then(|()| self.sweep(engine, SystemTime::now()));
        if let Err(error) = stored {
            self.tell(&error, "compiled machine code is not kept, the next start compiles again");
        }
    }

    fn read(&self, engine: &Digest, module: &Digest) -> Result<Option<Vec<u8>>, CacheError> {
        let Some(folder) = Folder::open(&self.folder)?.enter(&self.folder_name(engine))? else { return Ok(None) };
        let name = entry_name(module);
        let path = folder.path(&name);
        let Some((file, len)) = folder.file(&name)? else { return Ok(None) };
        if len > MAX_ENTRY_BYTES {
            return Err(CacheError::new(path, CacheFault::NotOurs));
        }
        let mut mac = [0; MAC_BYTES];
        let mut code = Vec::new();
        let whole = (&file).read_exact(&mut mac).and_then(|()| (&file).take(len).read_to_end(&mut code).map(drop));
        match whole {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(CacheError::new(path, error)),
            Ok(()) if self.key.is_code(About::Code { engine, module, code: &code }, &mac) => {}
            _ => return Err(CacheError::new(path, CacheFault::NotOurs)),
        }
        // What is used stays longest. That the time cannot be set is no reason not to use it.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(code))
    }

    /// Writes an entry, whole or not at all.
    fn write(&self, engine: &Digest, module: &Digest, code: &[u8]) -> Result<(), CacheError> {
        if (code.len() + MAC_BYTES) as u64 > self.max_bytes.min(MAX_ENTRY_BYTES) {
            return Ok(());
        }
        let folder = Folder::open(&self.folder)?.enter_or_create(&self.folder_name(engine))?;
        let name = entry_name(module);
        let path = folder.path(&name);
        let scratch = format!("{:016x}{SCRATCH_SUFFIX}", getrandom::u64().map_err(io::Error::other).at(&path)?);
        let written = || -> io::Result<()> {
            let mut file = folder.create(&scratch)?;
            file.write_all(&self.key.code(About::Code { engine, module, code }))?;
            file.write_all(code)?;
            folder.rename(&scratch, &name)
        };
        written().at(&path).inspect_err(|_| {
            // Else the next sweep that finds it old enough removes it.
            let _ = folder.remove(&scratch);
        })
    }

    /// The folder of an engine: hosts with other keys, who cannot use each other's entries, keep out of each other's way.
    fn folder_name(&self, engine: &Digest) -> String {
        let code = self.key.code(About::Folder { engine });
        code.iter().take(FOLDER_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
    }

    fn tell(&self, error: &CacheError, consequence: &str) {
        let text = error.to_string();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() != Some(&text) {
            warn!("{consequence}: {text}");
            *told = Some(text);
        }
    }
}

fn entry_name(module: &Digest) -> String {
    format!("{module}{CODE_SUFFIX}")
}

#[cfg(test)]
mod tests;
