//! Files that are there whole or not at all, whatever ends the process or the machine while they are written. Only their
//! owner may read them.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// What the names of files begin with that are being written. Only a process that was killed leaves one.
const PART: &str = ".part-";

/// Whether a file of this name is, or was, being written.
pub fn is_part(name: &str) -> bool {
    name.starts_with(PART)
}

/// Puts a file there, or another one in its place.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder(path);
    written(folder, content)?.persist(path).map_err(|error| error.error)?;
    // The name is in the folder.
    File::open(folder)?.sync_all()
}

/// Puts a file there, unless there is one: that stays as it is.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder(path);
    match written(folder, content)?.persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        persisted => persisted.map_err(|error| error.error)?,
    };
    File::open(folder)?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn written(folder: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = Builder::new().prefix(PART).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_there_is_replaced_or_stays() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("file");
        replace(&file, b"one")?;
        replace(&file, b"two")?;
        create(&file, b"three")?;
        assert_eq!(std::fs::read(&file)?, b"two");
        create(&folder.path().join("other"), b"three")?;
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 2, "nothing else is left there");
        assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
        Ok(())
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let occupied = folder.path().join("occupied");
        std::fs::create_dir(&occupied)?;
        assert!(replace(&occupied, b"one").is_err());
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
