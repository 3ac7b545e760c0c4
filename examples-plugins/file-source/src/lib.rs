//! `file-source`: the lines of files, followed as they grow, each line once.
//!
//! A file is known by its inode and its first bytes, not by its name: a rotated file is read to its end wherever it went
//! in the directory, and a new file under its old name from the beginning. Where each file stands is its source offset,
//! which always lies after a line that has been emitted.

mod follower;
mod glob;
mod identity;
mod listing;
mod piece;
mod place;
mod tail;

use std::time::{Duration, Instant};

use sandbar_plugin::host::state;
use sandbar_plugin::{Error, PollLimits, Result, Source, SourceBatch, Task};
use serde::Deserialize;

use follower::Follower;
use listing::Places;

/// How often the directory is listed while there is something to read; with nothing to read it is at every poll.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// How much is read of a file at a time, and before it is another one's turn; more only for longer lines.
const PIECE_BYTES: u64 = 64 << 10;
/// The longest line that can be asked for: several must fit the memory of a small sandbox.
const MAX_LINE_BYTES: usize = 8 << 20;
/// The key of state that says that the connector has run before.
const STARTED: &[u8] = b"started";

/// The configuration; `manifest.json` describes the keys.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// A directory or a file.
    pub path: String,
    /// Which files of the directory.
    #[serde(default = "any")]
    pub pattern: String,
    /// Where files begin.
    #[serde(default)]
    pub from: Start,
    /// The key of records.
    #[serde(default)]
    pub key: Key,
    /// Where lines are cut off.
    #[serde(default = "one_mebibyte", rename = "max.line.bytes")]
    pub max_line_bytes: usize,
}

/// Where the files begin that are there at the first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With what is in them.
    #[default]
    Beginning,
    /// With what is added to them.
    End,
}

/// What the key of a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// There is none.
    #[default]
    None,
    /// The name of the file.
    File,
}

/// How lines are read.
#[derive(Debug)]
pub(crate) struct LineLimits {
    max_bytes: usize,
    key: Key,
}

impl LineLimits {
    /// A piece that holds one line of the greatest length, and shows that it is longer.
    fn long_piece_bytes(&self) -> u64 {
        PIECE_BYTES.max(self.max_bytes as u64 + 2)
    }
}

/// The source.
pub struct FileSource {
    places: Places,
    from: Start,
    limits: LineLimits,
    follower: Follower,
    opened: Instant,
    /// When the directory was last listed, from the start.
    listed: Option<Duration>,
}

impl Source for FileSource {
    type Config = Config;

    fn open(config: Config, _task: &Task) -> Result<Self> {
        if !config.path.starts_with('/') {
            return Err(Error::fatal(
                "configuration key \"path\": must be absolute, a plugin has no working directory",
            ));
        }
        if !(1..=MAX_LINE_BYTES).contains(&config.max_line_bytes) {
            return Err(Error::fatal(format!("configuration key \"max.line.bytes\": must be 1 to {MAX_LINE_BYTES}")));
        }
        Ok(Self {
            places: Places::new(&config.path, &config.pattern),
            from: config.from,
            limits: LineLimits { max_bytes: config.max_line_bytes, key: config.key },
            follower: Follower::default(),
            opened: Instant::now(),
            listed: None,
        })
    }

    fn poll(&mut self, _limits: &PollLimits, out: &mut SourceBatch) -> Result<()> {
        let now = self.opened.elapsed();
        if self.listed.is_none_or(|listed| now.saturating_sub(listed) >= LIST_EVERY) {
            self.list(now)?;
        }
        if !self.follower.read(&self.limits, now, out) {
            self.list(now)?;
            self.follower.read(&self.limits, now, out);
        }
        self.follower.settle(now)
    }

    fn check(&mut self) -> Result<()> {
        self.places.check()
    }
}

impl FileSource {
    fn list(&mut self, now: Duration) -> Result<()> {
        let seen = self.places.list()?;
        let first = self.listed.is_none();
        let ran_before = !first || state::get(STARTED).is_some();
        let start = if self.from == Start::End && !ran_before { Start::End } else { Start::Beginning };
        self.follower.reconcile(seen, start, first, now)?;
        if !ran_before {
            state::put(STARTED, b"true")?;
        }
        self.listed = Some(now);
        Ok(())
    }
}

fn any() -> String {
    "*".to_owned()
}

fn one_mebibyte() -> usize {
    1 << 20
}

sandbar_plugin::export! {
    source: FileSource,
    manifest: include_str!("../manifest.json"),
}
