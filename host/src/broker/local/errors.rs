//! What SQLite says, as the port says it.

use std::path::Path;

use rusqlite::{Error, ErrorCode};
use sandbar_abi::FrameError;

use crate::broker::{BrokerError, BrokerErrorKind};

/// Why work on a connection failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The broker refuses. Work that refuses must not have written before.
    Refused(BrokerError),
    /// SQLite failed; the transaction is to be rolled back.
    Sqlite(Error),
    /// Stored records do not make a frame.
    Frame(FrameError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The failure for the caller, who learns the operation and the file.
    pub(super) fn error(&self, operation: &str, path: &Path) -> BrokerError {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Sqlite(error) => sqlite(error, operation, path),
            Self::Frame(error) => BrokerError::fatal(operation, format!("{}: {error}", path.display())),
        }
    }

    /// Whether other work would fail in the same way now, so that there is no use in trying it by itself.
    pub(super) fn is_lock(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }
}

/// A failure of SQLite. What room, patience or a healthy disk can mend is retriable: every transaction that failed was
/// rolled back, so nothing has changed.
pub(super) fn sqlite(error: &Error, operation: &str, path: &Path) -> BrokerError {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BrokerError::retriable(operation, format!("disk full: {path}")),
        Some(ErrorCode::SystemIoFailure) => {
            BrokerError::retriable(operation, format!("input/output error at {path}: {error}"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            BrokerError::retriable(operation, format!("{path} is locked by another process"))
        }
        Some(ErrorCode::OutOfMemory) => BrokerError::retriable(operation, format!("out of memory at {path}")),
        _ => BrokerError::fatal(operation, format!("{path}: {error}")),
    }
}

/// A refusal of one record.
pub(super) fn rejected(record: usize, topic: &str, why: impl ToString) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Rejected { record }, format!("stage record {record} for topic {topic}"), why)
}
