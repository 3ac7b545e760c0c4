//! `file-sink`: appends records to files, exactly once.
//!
//! Beside every file stands a small one that says how long the file was at the last flush, and which offset comes next
//! from each partition. On its way in, a file is cut back to that length and the host is told to start from those
//! offsets: what was written but never recorded is written again in its place, and nothing twice.

mod files;
mod format;
mod offsets;
mod output;
mod path;

use std::io;
use std::path::Path;

use sandbar_plugin::{AssignedPartition, Error, Records, Result, Sink, SinkResults, Task};
use serde::Deserialize;

use files::Files;
pub use format::Format;
use path::PathTemplate;

/// The configuration; `manifest.json` describes the keys.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The file, with placeholders.
    pub path: String,
    /// What a line is.
    #[serde(default)]
    pub format: Format,
}

/// The sink.
pub struct FileSink {
    path: PathTemplate,
    format: Format,
    files: Files,
}

impl Sink for FileSink {
    type Config = Config;

    fn open(config: Config, task: &Task) -> Result<Self> {
        let invalid = |what: &str| Error::fatal(format!("configuration key \"path\": {what}"));
        let path = PathTemplate::new(&config.path).map_err(|what| invalid(&what))?;
        if task.count > 1 && !path.is_exclusive() {
            return Err(invalid("needs {topic} and {partition}: with several tasks two of them would share a file"));
        }
        Ok(Self { path, format: config.format, files: Files::default() })
    }

    fn write(&mut self, records: Records<'_>, results: &mut SinkResults) -> Result<()> {
        self.files.forget_staged();
        for record in records {
            let (topic, Some(partition), Some(offset)) = (record.topic(), record.partition(), record.offset) else {
                results.fail(&record, "the record has no partition and offset to tell it from others by");
                continue;
            };
            let file = self.files.load(self.path.of(topic, partition)?)?;
            if file.next(topic, partition).is_some_and(|next| offset < next) {
                continue; // written before, in a call that was not recorded as done
            }
            let length = file.staged().len();
            if !self.format.write(file.staged(), &record)? {
                file.staged().truncate(length);
                results.filter(&record);
            }
            file.stage_next(topic, partition, offset + 1);
        }
        self.files.write_staged()
    }

    fn flush(&mut self) -> Result<()> {
        self.files.flush()
    }

    fn assigned(&mut self, partitions: &[AssignedPartition]) -> Result<Vec<AssignedPartition>> {
        let mut start = Vec::new();
        for AssignedPartition { topic, partition, .. } in partitions {
            let file = self.files.load(self.path.of(topic, *partition)?)?;
            if let Some(next) = file.next(topic, *partition) {
                start.push(AssignedPartition { topic: topic.clone(), partition: *partition, offset: Some(next) });
            }
        }
        Ok(start)
    }

    fn revoked(&mut self, partitions: &[AssignedPartition]) -> Result<()> {
        // A file of one partition goes with it. One of several stays: its other partitions are still written, and it
        // belongs to the only task there is.
        if self.path.is_exclusive() {
            for AssignedPartition { topic, partition, .. } in partitions {
                self.files.forget(&self.path.of(topic, *partition)?);
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        files::check_directory(self.path.directory())
    }
}

/// Every failure of the file system may pass: a disk gets room, an operator corrects a permission.
pub(crate) fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let place = format!("cannot {doing} \"{}\"", path.display());
    move |error| {
        // Outside the grant nothing exists, as far as the sandbox lets on.
        let hint = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => "; does sandbox.fs.write grant it?",
            _ => "",
        };
        Error::retryable(format!("{place}: {error}{hint}"))
    }
}

sandbar_plugin::export! {
    sink: FileSink,
    manifest: include_str!("../manifest.json"),
}
