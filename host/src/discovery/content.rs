//! Reads a file that was found, and makes sure that it still is that file. All calls block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::snapshot::Fingerprint;
use crate::digest::Digest;

/// How much is read at once to compute a digest.
const BLOCK_BYTES: usize = 64 << 10;

/// Why a file could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is no longer the file that was found. The next changes say what became of it.
    #[error("the file has changed since it was found")]
    Changed,
    /// The operating system refused.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// The digest of a file's content, in bounded memory.
pub(super) fn digest(path: &Path, expected: &Fingerprint) -> Result<Digest, ReadError> {
    let mut file = open(path, expected)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut rest = expected.len;
    while rest > 0 {
        match file.read(&mut block) {
            Ok(0) => return Err(ReadError::Changed),
            Ok(count) => {
                hasher.update(&block[..count]);
                rest = rest.saturating_sub(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    check(path, &file, expected)?;
    Ok(Digest::of_hasher(hasher))
}

/// A file's content. Its length is that of the fingerprint, which the scan has bounded.
pub(super) fn read(path: &Path, expected: &Fingerprint) -> Result<Vec<u8>, ReadError> {
    let mut file = open(path, expected)?;
    let mut content = Vec::with_capacity(usize::try_from(expected.len).unwrap_or(0));
    file.by_ref().take(expected.len).read_to_end(&mut content)?;
    check(path, &file, expected)?;
    if content.len() as u64 == expected.len { Ok(content) } else { Err(ReadError::Changed) }
}

/// Opens without blocking, because a pipe may have taken the file's place since the scan.
fn open(path: &Path, expected: &Fingerprint) -> Result<File, ReadError> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(not_found_is_changed)?;
    check(path, &file, expected)?;
    Ok(file)
}

/// Whether the name still leads to what was found, and the open file is that. The open file is held against length and times
/// only: some file systems number a file differently when it is asked for by name and when it is open.
fn check(path: &Path, file: &File, expected: &Fingerprint) -> Result<(), ReadError> {
    let named = Fingerprint::of(&fs::metadata(path).map_err(not_found_is_changed)?);
    let Fingerprint { len, mtime, ctime, .. } = Fingerprint::of(&file.metadata()?);
    let is_same = named == *expected && (len, mtime, ctime) == (expected.len, expected.mtime, expected.ctime);
    if is_same { Ok(()) } else { Err(ReadError::Changed) }
}

fn not_found_is_changed(error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::Changed,
        _ => ReadError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf, Fingerprint) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.json");
        fs::write(&path, content).expect("a file");
        let fingerprint = Fingerprint::of(&fs::metadata(&path).expect("metadata"));
        (folder, path, fingerprint)
    }

    #[test]
    fn content_and_digest_agree() {
        for len in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 5] {
            let expected: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let (_folder, path, fingerprint) = file(&expected);
            assert_eq!(digest(&path, &fingerprint).expect("readable"), Digest::of(&expected));
            assert_eq!(read(&path, &fingerprint).expect("readable"), expected);
        }
    }

    #[test]
    fn another_file_in_its_place_is_noticed() {
        let (folder, path, fingerprint) = file(b"first");
        let other = folder.path().join("other");
        fs::write(&other, "other").expect("a file");
        fs::rename(&other, &path).expect("a rename");
        assert!(matches!(read(&path, &fingerprint), Err(ReadError::Changed)));
        assert!(matches!(digest(&path, &fingerprint), Err(ReadError::Changed)));
        fs::remove_file(&path).expect("a removal");
        assert!(matches!(read(&path, &fingerprint), Err(ReadError::Changed)));
    }

    #[test]
    fn a_pipe_in_its_place_does_not_block() {
        let (_folder, path, fingerprint) = file(b"first");
        fs::remove_file(&path).expect("a removal");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).expect("a pipe");
        assert!(matches!(digest(&path, &fingerprint), Err(ReadError::Changed)));
    }
}
