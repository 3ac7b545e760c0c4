//! Reads the files that commands are given, within the bounds that the host has for them.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::discovery::FileKind;
use crate::discovery::snapshot::MAX_SIGNATURE_BYTES;

/// Reads a file of this kind.
pub(super) fn read(path: &Path, kind: FileKind) -> io::Result<Vec<u8>> {
    at_most(path, kind.name(), kind.max_bytes())
}

/// Reads the signature beside a file, if there is one.
pub(super) fn read_signature(path: &Path, kind: FileKind) -> io::Result<Option<Vec<u8>>> {
    let Some(path) = kind.signature(path) else { return Ok(None) };
    match at_most(&path, "signature", MAX_SIGNATURE_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => Ok(None),
        Err(error) => Err(io::Error::other(format!("its signature {}: {error}", path.display()))),
    }
}

fn at_most(path: &Path, what: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("a {what} has at most {limit} bytes")));
    }
    Ok(bytes)
}
