//! A worker's own folder: one host at a time works in it, and it keeps the name by which the worker group knows the worker.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::whole_file;

/// The file whose lock shows that a host runs on the folder.
const LOCK_FILE: &str = "sandbar.lock";
/// The file that holds the worker's name.
const NAME_FILE: &str = "worker.id";
/// The longest name; what is made here is shorter.
const MAX_NAME: usize = 100;

/// See the module. The folder is free again when this is dropped.
pub struct DataFolder {
    worker: String,
    _lock: File,
}

impl DataFolder {
    /// Takes a folder, which is created if it does not exist.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("data folder {} cannot be created", path.display()))?;
        let lock = lock(path)?;
        Ok(Self { worker: name(path)?, _lock: lock })
    }

    /// What the worker is called.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.worker
    }
}

fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another host runs on the data folder {}; stop it, or give this one another folder with --data",
            data.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

/// Reads the name, or makes one. It is no secret.
fn name(data: &Path) -> anyhow::Result<String> {
    let path = data.join(NAME_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let name = text.trim();
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            ensure!(
                (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits),
                "{} does not hold a worker's name, which is 1 to {MAX_NAME} of the letters a-z, A-Z, 0-9, '.', '_', '-'; delete it, and the worker makes itself another one",
                path.display()
            );
            Ok(name.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_name(&path).with_context(|| format!("{} cannot be written", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn make_name(path: &Path) -> io::Result<String> {
    let name = format!("{:016x}", getrandom::u64().map_err(io::Error::other)?);
    whole_file::replace(path, format!("{name}\n").as_bytes())?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_keeps_its_name() -> anyhow::Result<()> {
        let data = tempfile::tempdir()?;
        let first = DataFolder::take(data.path())?.worker().to_owned();
        assert_eq!(DataFolder::take(data.path())?.worker(), first);
        let other = tempfile::tempdir()?;
        assert_ne!(DataFolder::take(other.path())?.worker(), first);
        Ok(())
    }

    #[test]
    fn a_folder_has_one_host() -> anyhow::Result<()> {
        let data = tempfile::tempdir()?;
        let first = DataFolder::take(data.path())?;
        let error = DataFolder::take(data.path()).err().context("a second one")?.to_string();
        assert!(error.starts_with("another host runs on the data folder"), "{error}");
        drop(first);
        DataFolder::take(data.path()).map(drop)
    }

    #[test]
    fn a_name_that_is_none_is_told() -> anyhow::Result<()> {
        let data = tempfile::tempdir()?;
        for wrong in ["", "two words", "ä"] {
            std::fs::write(data.path().join(NAME_FILE), wrong)?;
            let error = DataFolder::take(data.path()).err().context(wrong)?.to_string();
            assert!(error.contains(NAME_FILE), "{error}");
        }
        std::fs::write(data.path().join(NAME_FILE), "rack-7\n")?;
        assert_eq!(DataFolder::take(data.path())?.worker(), "rack-7");
        Ok(())
    }
}
