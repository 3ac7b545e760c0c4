//! Where the source stands, as it is stored: one source partition for each path. Partition and position are those of Kafka
//! Connect's `FileStreamSource`, so that either goes on where the other stopped.

use std::path::Path;

use sandbar_plugin::Result;
use sandbar_plugin::host::offsets;
use serde::{Deserialize, Serialize};

use crate::identity::FileId;

#[derive(Serialize)]
struct Partition<'a> {
    filename: &'a Path,
}

/// The source offset of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Bytes consumed: up to the end of the last line that was emitted, or into one that is being skipped.
    pub(crate) position: u64,
    /// The file that was there. Kafka Connect knows it by its name alone, and leaves this out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inode: Option<FileId>,
    /// Its first bytes; left out with the inode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
    /// Whether the position is within a line too long, the rest of which is skipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip: bool,
}

impl Place {
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        offsets::get(&Partition { filename: path })
    }

    pub(crate) fn store(&self, path: &Path) -> Result<()> {
        offsets::put(&Partition { filename: path }, self)
    }
}
