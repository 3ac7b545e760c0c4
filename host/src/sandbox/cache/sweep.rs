//! Keeps the cache within its bound: what was not used for longest goes first, and what engines of the past have made goes
//! after a while. Only names that the host itself gives are touched, whatever else is in the folder.

use std::time::{Duration, SystemTime};

use super::error::{At as _, CacheError};
use super::folder::Folder;
use super::{Cache, FOLDER_DIGITS};
use crate::digest::Digest;

/// How the name of an entry ends.
pub(super) const CODE_SUFFIX: &str = ".cwasm";
/// How the name of an entry ends that is being written.
pub(super) const SCRATCH_SUFFIX: &str = ".tmp";
/// How long what another engine made is kept unused: long enough to go back to the version before an update, or for hosts
/// of two versions to share the folder.
const OTHER_ENGINES: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// After how long what is being written counts as left behind by a host that is gone.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// An entry of the cache.
struct Found {
    folder: usize,
    name: String,
    len: u64,
    used: SystemTime,
}

impl Cache {
    /// Removes what is too much or too old by now.
    pub(super) fn sweep(&self, engine: &Digest, now: SystemTime) -> Result<(), CacheError> {
        let root = Folder::open(&self.folder)?;
        let own = self.folder_name(engine);
        let (mut folders, mut entries) = (Vec::new(), Vec::new());
        for name in root.names().at(&self.folder)?.into_iter().filter(|name| is_folder(name)) {
            // A folder that others may write is none of the host's: nothing in it is ever read.
            let Ok(Some(folder)) = root.enter(&name) else { continue };
            let kept = if name == own { Duration::MAX } else { OTHER_ENGINES };
            entries.extend(look(&folder, folders.len(), kept, now)?);
            folders.push((name, folder));
        }
        entries.sort_by_key(|entry| entry.used);
        let mut total: u64 = entries.iter().map(|entry| entry.len).sum();
        for entry in entries {
            if total <= self.max_bytes {
                break;
            }
            if let Some((_, folder)) = folders.get(entry.folder) {
                folder.remove(&entry.name).at(folder.path(&entry.name))?;
            }
            total -= entry.len;
        }
        for (name, _) in folders.iter().filter(|(name, _)| *name != own) {
            root.remove_folder(name).at(root.path(name))?;
        }
        Ok(())
    }
}

/// The entries of a folder, but for those that have not been used for too long, which it removes.
fn look(folder: &Folder, index: usize, kept: Duration, now: SystemTime) -> Result<Vec<Found>, CacheError> {
    let mut entries = Vec::new();
    for name in folder.names().at(folder.path(""))? {
        let kept = match name.strip_suffix(SCRATCH_SUFFIX) {
            Some(stem) if is_hexadecimal(stem, 16) => ABANDONED,
            _ if name.strip_suffix(CODE_SUFFIX).is_some_and(|stem| is_hexadecimal(stem, 64)) => kept,
            _ => continue,
        };
        let (used, len) = match folder.file(&name) {
            Ok(Some((file, len))) => {
                (file.metadata().and_then(|metadata| metadata.modified()).at(folder.path(&name))?, len)
            }
            Ok(None) => continue,
            // It has the name of an entry and is none that could ever be used, such as a link. What cannot be removed is not
            // in the way either.
            Err(_) => {
                let _ = folder.remove(&name);
                continue;
            }
        };
        // Times in the future say nothing of use, and must not make an entry stay for ever.
        let unused = now.duration_since(used).unwrap_or(Duration::MAX);
        if unused > kept && kept < Duration::MAX {
            folder.remove(&name).at(folder.path(&name))?;
        } else {
            entries.push(Found { folder: index, name, len, used: used.min(now) });
        }
    }
    Ok(entries)
}

fn is_folder(name: &str) -> bool {
    is_hexadecimal(name, FOLDER_DIGITS)
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
