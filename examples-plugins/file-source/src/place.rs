//! Where the source stands, as it is stored: one source partition for each path.

use std::path::Path;

use sandbar_plugin::Result;
use sandbar_plugin::host::offsets;
use serde::{Deserialize, Serialize};

use crate::identity::FileId;

#[derive(Serialize)]
struct Partition<'a> {
    path: &'a Path,
}

/// The source offset of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The file that was there.
    pub(crate) inode: FileId,
    /// Bytes consumed: up to the end of the last line that was emitted, or into one that is being skipped.
    pub(crate) position: u64,
    /// Its first bytes.
    pub(crate) fingerprint: String,
    /// Whether the position is within a line too long, the rest of which is skipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip: bool,
}

impl Place {
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        offsets::get(&Partition { path })
    }

    pub(crate) fn store(&self, path: &Path) -> Result<()> {
        offsets::put(&Partition { path }, self)
    }
}
