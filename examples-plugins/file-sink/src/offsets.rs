//! The small file beside the data: how far the data goes, and which offsets come next.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sandbar_plugin::serde_json;
use sandbar_plugin::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::failed;

/// The next offset of each partition, by topic.
pub(crate) type Offsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// What is recorded at a flush. The two fields are true together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// Bytes of the data file that count.
    pub(crate) length: u64,
    /// The next offsets to write.
    pub(crate) next: Offsets,
}

impl Recorded {
    /// Reads what was recorded beside a data file, if anything was.
    pub(crate) fn read(data: &Path) -> Result<Option<Self>> {
        let path = beside(data, ".offsets");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        // Never guess here: without these numbers records would be written twice or not at all.
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::fatal(format!("\"{}\" does not hold offsets: {error}", path.display())))
    }

    /// Replaces what is recorded beside a data file. After a crash there is the old or the new, never a mixture.
    pub(crate) fn write(&self, data: &Path) -> Result<()> {
        let path = beside(data, ".offsets");
        let temporary = beside(data, ".offsets.tmp");
        let text = serde_json::to_vec(self)?;
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_data()
        });
        written.map_err(failed("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(failed("replace", &path))?;
        if let Some(directory) = path.parent() {
            // Where directories cannot be synced, a loss of power may bring the old numbers back. They are as good: the
            // data is cut back to them.
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
        }
        Ok(())
    }
}

fn beside(data: &Path, suffix: &str) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
