//! What is wrong with a file, or with the folder itself, in words that say what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a file cannot be used. The path stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScanProblem {
    /// The name could appear in no log, API or configuration.
    #[error("the file name is not UTF-8: rename the file")]
    NameNotUtf8,
    /// It is refused before it is read.
    #[error(
        "the file has {len} bytes, a {kind} may have {limit}: remove what it does not need (symbols, debug sections) or drop the right file"
    )]
    TooLarge {
        /// What it is for.
        kind: &'static str,
        /// How long it is.
        len: u64,
        /// How long it may be.
        limit: u64,
    },
    /// The host's user may not read it.
    #[error("the file may not be read by the user the host runs as: change its owner or its mode")]
    PermissionDenied,
    /// It points nowhere.
    #[error("the symbolic link points to {target:?}, which does not exist: create that file or remove the link")]
    DanglingLink {
        /// Where it points.
        target: PathBuf,
    },
    /// Opening it could block for ever, or do worse.
    #[error("it is a {what}, not a file: remove it or give it another extension")]
    NotAFile {
        /// What it is.
        what: &'static str,
    },
    /// The operating system refused.
    #[error("the file cannot be read: {message}")]
    Unreadable {
        /// In the system's words.
        message: String,
    },
    /// There is a signature that cannot be looked at, so nobody knows whether it is right.
    #[error("its signature {file:?}: {problem}")]
    Signature {
        /// The signature's file.
        file: PathBuf,
        /// Why.
        problem: Box<ScanProblem>,
    },
}

/// Why the folder could not be scanned. Nothing is known of its files then: they are not gone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FolderError {
    /// There is no such folder.
    #[error("folder {folder:?} does not exist: create it; what already runs goes on")]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// It may not be listed.
    #[error("folder {folder:?} cannot be read: {message}; what already runs goes on")]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// In the system's words.
        message: String,
    },
    /// It holds more than one host is built for.
    #[error("folder {folder:?} holds more than {limit} plugins and definitions: is it the right folder?")]
    TooManyFiles {
        /// The folder.
        folder: PathBuf,
        /// How many it may hold.
        limit: usize,
    },
}

impl FolderError {
    pub(super) fn of(folder: PathBuf, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { folder },
            _ => Self::Unreadable { folder, message: error.to_string() },
        }
    }
}
