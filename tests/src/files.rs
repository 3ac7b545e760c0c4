//! What the `file-sink` plugin has written: how much, cheaply, while it writes, and what, at the end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Counts the lines of files that grow, and that are cut back after a crash, without reading what it has read before.
#[derive(Debug)]
pub struct Lines {
    folder: PathBuf,
    /// By file: how far it was read, and how many lines that were.
    counted: BTreeMap<PathBuf, (u64, u64)>,
}

impl Lines {
    /// A counter of the data files of a folder.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), counted: BTreeMap::new() }
    }

    /// How many lines there are now, in all files. Some may not count yet, and be written again after a crash.
    pub fn count(&mut self) -> Result<u64> {
        for path in data_files(&self.folder)? {
            let counted = self.counted.entry(path.clone()).or_default();
            advance(&path, counted).with_context(|| format!("count the lines of {}", path.display()))?;
        }
        Ok(self.counted.values().map(|(_, lines)| lines).sum())
    }
}

fn advance(path: &Path, (position, lines): &mut (u64, u64)) -> io::Result<()> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() < *position {
        (*position, *lines) = (0, 0);
    }
    file.seek(SeekFrom::Start(*position))?;
    let mut fresh = Vec::new();
    *position += file.read_to_end(&mut fresh)? as u64;
    *lines += fresh.iter().filter(|byte| **byte == b'\n').count() as u64;
    Ok(())
}

/// The data files of a folder, by name.
pub fn data_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("list {}", folder.display()))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The lines of the file of a partition, `<partition>.jsonl`; none if there is no file.
pub fn lines_of(folder: &Path, partition: i32) -> Result<Vec<String>> {
    let path = folder.join(format!("{partition}.jsonl"));
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(text.with_context(|| format!("read {}", path.display()))?.lines().map(str::to_owned).collect()),
    }
}
