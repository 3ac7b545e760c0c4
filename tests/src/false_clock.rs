//! A clock of a process's own that jumps when the test says so: what the machine's would do after a battery died or a time
//! server was wrong. Only the time of day is false; what measures how long something takes goes on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where Debian and its relatives keep libraries.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
/// libfaketime, as it is to be used where there are threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The clock. It shows the right time until it is set.
pub struct FalseClock {
    library: PathBuf,
    /// Holds what is added to the right time.
    file: PathBuf,
}

impl FalseClock {
    /// Makes one, which keeps a file in this folder; `None` where libfaketime is not installed.
    pub fn new(folder: &Path) -> Result<Option<Self>> {
        let Some(library) = library() else { return Ok(None) };
        let clock = Self { library, file: folder.join("false-clock") };
        clock.set(0)?;
        Ok(Some(clock))
    }

    /// The command line in front of a program that is to go by it.
    #[must_use]
    pub fn inside(&self) -> Vec<String> {
        let (library, file) = (self.library.display(), self.file.display());
        ["env".to_owned(), format!("LD_PRELOAD={library}"), format!("FAKETIME_TIMESTAMP_FILE={file}")]
            .into_iter()
            // It looks at the file once a second.
            .chain(["FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"].map(str::to_owned))
            .collect()
    }

    /// From now on it is so many seconds ahead, or behind.
    pub fn set(&self, ahead: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{ahead:+}\n")).with_context(|| format!("write {}", new.display()))?;
        Ok(fs::rename(new, &self.file)?)
    }
}

/// In the folder itself, or in that of an architecture.
fn library() -> Option<PathBuf> {
    let folders = LIBRARIES.iter().map(Path::new);
    folders
        .flat_map(|folder| {
            let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            std::iter::once(folder.to_owned()).chain(below).map(|folder| folder.join(LIBRARY))
        })
        .find(|file| file.is_file())
}
