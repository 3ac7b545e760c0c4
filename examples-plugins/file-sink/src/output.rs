//! One data file: what is staged for it, what is written, and what is recorded.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sandbar_plugin::host::log;
use sandbar_plugin::{Error, Result};

use crate::failed;
use crate::offsets::{Offsets, Recorded};

/// A data file and where it stands.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    handle: Option<File>,
    /// What is written, and which offsets come next after it.
    written: Recorded,
    /// Lines of the call in progress, bounded by the size of a call.
    staged: Vec<u8>,
    staged_next: Offsets,
    /// A write broke off: bytes that do not count may follow those that do.
    torn: bool,
    /// Something is written that is not recorded yet.
    unrecorded: bool,
}

impl Output {
    /// Takes a file over: cuts off what was never recorded.
    pub(crate) fn load(path: PathBuf) -> Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("create", directory))?;
        }
        let handle = open(&path)?;
        let length = handle.metadata().map_err(failed("read the length of", &path))?.len();
        let written = match Recorded::read(&path)? {
            Some(recorded) => resume(&path, &handle, length, recorded)?,
            None => {
                // Recorded before the first byte is added: from here on, what follows this length is ours to cut off.
                let recorded = Recorded { length, next: Offsets::new() };
                recorded.write(&path)?;
                recorded
            }
        };
        let (staged, staged_next) = (Vec::new(), Offsets::new());
        Ok(Self { path, handle: Some(handle), written, staged, staged_next, torn: false, unrecorded: false })
    }

    /// The offset that comes next from a partition, if any came before in an earlier call. Records of one call may share
    /// an offset: a transform before the sink made several of one.
    pub(crate) fn next(&self, topic: &str, partition: i32) -> Option<i64> {
        self.written.next.get(topic)?.get(&partition).copied()
    }

    /// Where lines are staged.
    pub(crate) fn staged(&mut self) -> &mut Vec<u8> {
        &mut self.staged
    }

    /// With what is staged, this offset comes next.
    pub(crate) fn stage_next(&mut self, topic: &str, partition: i32, next: i64) {
        if let Some(partitions) = self.staged_next.get_mut(topic) {
            partitions.insert(partition, next);
        } else {
            self.staged_next.insert(topic.to_owned(), [(partition, next)].into());
        }
    }

    /// Whether there is anything to write.
    pub(crate) fn is_staged(&self) -> bool {
        !self.staged_next.is_empty()
    }

    pub(crate) fn forget_staged(&mut self) {
        self.staged.clear();
        self.staged_next.clear();
    }

    /// Writes what is staged, all of it or, as far as anyone will ever see, nothing.
    pub(crate) fn write_staged(&mut self) -> Result<()> {
        if !self.staged.is_empty() {
            self.append()?;
        }
        self.written.length += self.staged.len() as u64;
        for (topic, partitions) in std::mem::take(&mut self.staged_next) {
            self.written.next.entry(topic).or_default().extend(partitions);
        }
        self.staged.clear();
        self.unrecorded = true;
        Ok(())
    }

    /// Makes what is written durable, then records it.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.unrecorded {
            self.sync()?;
            self.written.write(&self.path)?;
            self.unrecorded = false;
        }
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    /// Gives the handle back; the file stays ours.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.sync()?;
        self.handle = None;
        Ok(())
    }

    fn append(&mut self) -> Result<()> {
        let Self { path, handle, written, staged, torn, .. } = self;
        let file = match handle {
            Some(file) => file,
            None => handle.insert(open(path)?),
        };
        if *torn {
            file.set_len(written.length).map_err(failed("cut back", path))?;
        }
        let length = file.metadata().map_err(failed("read the length of", path))?.len();
        if length != written.length {
            // Two writers would overwrite each other's lines without a trace. The task starts again and takes stock.
            return Err(Error::fatal(format!(
                "\"{}\" is {length} bytes long and not {}: something else writes to it",
                path.display(),
                written.length
            )));
        }
        *torn = true; // until all of it is written
        file.seek(SeekFrom::Start(length)).and_then(|_| file.write_all(staged)).map_err(failed("write to", path))?;
        *torn = false;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        match &self.handle {
            Some(file) if self.unrecorded => file.sync_data().map_err(failed("sync", &self.path)),
            _ => Ok(()), // synced when the handle was given back
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(failed("open", path))
}

fn resume(path: &Path, handle: &File, length: u64, mut recorded: Recorded) -> Result<Recorded> {
    if length > recorded.length {
        handle.set_len(recorded.length).map_err(failed("cut back", path))?;
        let cut = length - recorded.length;
        log::info(format!("cut {cut} unrecorded bytes off \"{}\"", path.display()));
    } else if length < recorded.length {
        // What was recorded had been synced, so this was done on purpose: someone moved the lines away.
        let lost = recorded.length - length;
        log::warn(format!("\"{}\" is {lost} bytes shorter than recorded, going on from there", path.display()));
        recorded.length = length;
        recorded.write(path)?;
    }
    Ok(recorded)
}
