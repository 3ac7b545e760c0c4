//! What there is to read now.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sandbar_plugin::{Error, Result};

use crate::glob::Glob;
use crate::identity::Stat;

/// Where to look and for what.
#[derive(Debug)]
pub(crate) struct Places {
    path: PathBuf,
    pattern: Glob,
}

/// A file that is there.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    pub(crate) stat: Stat,
    /// Whether it is to be read; others are listed because a rotated file may have become one of them.
    pub(crate) wanted: bool,
}

impl Places {
    pub(crate) fn new(path: &str, pattern: &str) -> Self {
        Self { path: path.into(), pattern: Glob::new(pattern) }
    }

    /// The files of the directory, by name. A file that goes while it is looked at is not there.
    pub(crate) fn list(&self) -> Result<Vec<Seen>> {
        let (directory, single) = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => (self.path.as_path(), None),
            Ok(_) => (self.parent(), Some(self.path.as_path())),
            // One file may come later; whether it is one cannot be known before.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.parent().is_dir() => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.path, &error)),
        };
        let mut seen = Vec::new();
        for entry in fs::read_dir(directory).map_err(|error| failed(directory, &error))? {
            let entry = entry.map_err(|error| failed(directory, &error))?;
            let path = directory.join(entry.file_name());
            // A name that is not UTF-8 cannot be written down as an offset.
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let wanted = single.map_or_else(|| self.pattern.matches(name), |single| path == single);
            match Stat::of_path(&path) {
                Ok(stat) if stat.is_file => seen.push(Seen { path, stat, wanted }),
                _ => {}
            }
        }
        // Of two names of one file the first that is wanted counts.
        seen.sort_by(|a, b| (&a.stat.id, !a.wanted, &a.path).cmp(&(&b.stat.id, !b.wanted, &b.path)));
        seen.dedup_by(|later, first| later.stat.id == first.stat.id);
        seen.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(seen)
    }

    /// Whether there is such a place.
    pub(crate) fn check(&self) -> Result<()> {
        fs::metadata(&self.path).map(drop).map_err(|error| failed(&self.path, &error))
    }

    fn parent(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    // Outside the grant nothing exists, as far as the sandbox lets on.
    let hint = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => "; does sandbox.fs.read grant it?",
        _ => "",
    };
    Error::retryable(format!("cannot read \"{}\": {error}{hint}", path.display()))
}
