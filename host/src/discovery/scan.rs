//! Lists the folder once. It opens no file: what a name leads to is judged by its metadata alone.

use std::ffi::OsStr;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::Access;

use super::problem::{FolderError, ScanProblem};
use super::snapshot::{Entry, FileKind, Fingerprint, MAX_SIGNATURE_BYTES, Snapshot};

/// The most plugins and definitions a folder may hold: ten times what one host is built for.
pub const MAX_FILES: usize = 10_000;

/// The files of the folder that matter; subfolders are not entered. A scan is whole or it is an error.
pub fn scan(folder: &Path) -> Result<Snapshot, FolderError> {
    let fault = |error: io::Error| FolderError::of(folder.to_path_buf(), &error);
    let mut snapshot = Snapshot::default();
    for listed in fs::read_dir(folder).map_err(fault)? {
        let path = listed.map_err(fault)?.path();
        let Some(kind) = FileKind::of(&path) else { continue };
        let Some(entry) = look(&path, kind) else { continue };
        if snapshot.entries.len() == MAX_FILES {
            return Err(FolderError::TooManyFiles { folder: folder.to_path_buf(), limit: MAX_FILES });
        }
        snapshot.entries.insert(path, entry);
    }
    Ok(snapshot)
}

/// The entry of one path; `None` for folders, and for what went away since it was listed.
fn look(path: &Path, kind: FileKind) -> Option<Entry> {
    let (fingerprint, mut problem) = state(path, kind.name(), kind.max_bytes())?;
    let mut signature = None;
    if let Some(file) = kind.signature(path)
        && let Some((state, fault)) = state(&file, "signature", MAX_SIGNATURE_BYTES)
    {
        signature = Some(state);
        problem = problem.or_else(|| fault.map(|fault| ScanProblem::Signature { file, problem: Box::new(fault) }));
    }
    Some(Entry { kind, fingerprint, signature, problem })
}

/// What a path leads to, and what is wrong with it.
fn state(path: &Path, kind: &'static str, limit: u64) -> Option<(Fingerprint, Option<ScanProblem>)> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(metadata) => Some((Fingerprint::of(&metadata), judge(path, kind, limit, &metadata))),
        Err(error) => {
            let link = fs::symlink_metadata(path).ok()?;
            if !link.is_symlink() && error.kind() == io::ErrorKind::NotFound {
                // It was replaced between the two looks: the next scan sees what by.
                return None;
            }
            Some((Fingerprint::of(&link), Some(unreachable(path, &link, &error))))
        }
    }
}

fn judge(path: &Path, kind: &'static str, limit: u64, metadata: &Metadata) -> Option<ScanProblem> {
    if path.file_name().and_then(OsStr::to_str).is_none() {
        return Some(ScanProblem::NameNotUtf8);
    }
    if let Some(what) = special(metadata.file_type()) {
        return Some(ScanProblem::NotAFile { what });
    }
    let len = metadata.len();
    if len > limit {
        return Some(ScanProblem::TooLarge { kind, len, limit });
    }
    match rustix::fs::access(path, Access::READ_OK) {
        Ok(()) => None,
        Err(rustix::io::Errno::ACCESS) => Some(ScanProblem::PermissionDenied),
        Err(error) => Some(ScanProblem::Unreadable { message: error.to_string() }),
    }
}

fn unreachable(path: &Path, link: &Metadata, error: &io::Error) -> ScanProblem {
    if link.is_symlink() && error.kind() == io::ErrorKind::NotFound {
        return ScanProblem::DanglingLink { target: fs::read_link(path).unwrap_or_default() };
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => ScanProblem::PermissionDenied,
        _ => ScanProblem::Unreadable { message: error.to_string() },
    }
}

fn special(file_type: FileType) -> Option<&'static str> {
    if file_type.is_fifo() {
        Some("named pipe")
    } else if file_type.is_socket() {
        Some("socket")
    } else if file_type.is_char_device() || file_type.is_block_device() {
        Some("device")
    } else {
        None
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
