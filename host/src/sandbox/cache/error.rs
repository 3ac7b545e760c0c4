//! Why the cache, or something in it, is not used: the place, what is wrong with it, and what would be right.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Something of the cache that cannot be relied on. Plugins are compiled all the same.
#[derive(Debug, Error)]
#[error("{}: {fault}", path.display())]
pub struct CacheError {
    path: PathBuf,
    fault: CacheFault,
}

/// What is wrong with it.
#[derive(Debug, Error)]
pub enum CacheFault {
    /// Somebody else may do with it what they like.
    #[error("it belongs to user {owner}, and the host runs as user {own}: it has to belong to that one")]
    Foreign {
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        own: u32,
    },
    /// Others than its owner may write it.
    #[error("others may write it (mode {mode:o}): take that right away with `chmod go-w`")]
    Writable {
        /// Its permissions.
        mode: u32,
    },
    /// Others than its owner may read what is to be secret.
    #[error(
        "others may read or write it (mode {mode:o}), so it is no secret any more: remove it, and a new one is made"
    )]
    Exposed {
        /// Its permissions.
        mode: u32,
    },
    /// It is something else than it should be.
    #[error("it is no {expected}: remove it")]
    Kind {
        /// What it should be.
        expected: &'static str,
    },
    /// It is a key of another length than keys have.
    #[error("it has {len} bytes, a key has {expected}: remove it, and a new one is made")]
    KeyLength {
        /// How long it is.
        len: u64,
        /// How long it should be.
        expected: usize,
    },
    /// It was not made by this host, or not of this module, or is damaged.
    #[error("this host did not make it, or not of this plugin, or it is damaged")]
    NotOurs,
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CacheError {
    pub(super) fn new(path: impl AsRef<Path>, fault: impl Into<CacheFault>) -> Self {
        Self { path: path.as_ref().to_owned(), fault: fault.into() }
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &CacheFault {
        &self.fault
    }
}

/// Names the place an operation failed at.
pub(super) trait At<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, CacheError>;
}

impl<T, E: Into<CacheFault>> At<T> for Result<T, E> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, CacheError> {
        self.map_err(|fault| CacheError::new(path, fault))
    }
}
