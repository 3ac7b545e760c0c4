//! What can go wrong at a broker, by what the caller has to do about it.

use thiserror::Error;

/// An error of a broker: what failed, why, and how to go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{operation}: {message}")]
pub struct BrokerError {
    /// What the caller has to do.
    pub kind: BrokerErrorKind,
    /// What was tried, naming topic, group or transaction.
    pub operation: String,
    /// Why it failed, in the broker's words where it has some.
    pub message: String,
}

/// What the caller has to do about a [`BrokerError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerErrorKind {
    /// The same call may succeed later. Nothing has changed.
    Retriable,
    /// The open transaction is lost: abort, drop the guest, begin again at the last commit.
    Abortable,
    /// The consumer group has given its partitions out anew in the middle of the transaction, which is lost: abort, begin
    /// again at the last commit. Nothing is wrong.
    Rebalanced,
    /// Another holder of the same transactional id or group membership took over: the task ends and does not retry.
    Fenced,
    /// The broker gave up the open transaction, and the session with it, because it heard nothing for too long. Meanwhile
    /// another one may have begun to do the same work.
    Expired,
    /// The broker will never take this record of the batch just staged; nothing of the batch was staged.
    Rejected {
        /// The record's index in the batch.
        record: usize,
    },
    /// This session is of no more use: close it, open a new one.
    Fatal,
}

impl BrokerError {
    /// An error of a kind.
    pub fn new(kind: BrokerErrorKind, operation: impl Into<String>, message: impl ToString) -> Self {
        Self { kind, operation: operation.into(), message: message.to_string() }
    }

    /// An error after which the same call may succeed.
    pub fn retriable(operation: impl Into<String>, message: impl ToString) -> Self {
        Self::new(BrokerErrorKind::Retriable, operation, message)
    }

    /// An error that costs the open transaction.
    pub fn abortable(operation: impl Into<String>, message: impl ToString) -> Self {
        Self::new(BrokerErrorKind::Abortable, operation, message)
    }

    /// An error that says that the group has moved on.
    pub fn rebalanced(operation: impl Into<String>, message: impl ToString) -> Self {
        Self::new(BrokerErrorKind::Rebalanced, operation, message)
    }

    /// An error that costs the session.
    pub fn fatal(operation: impl Into<String>, message: impl ToString) -> Self {
        Self::new(BrokerErrorKind::Fatal, operation, message)
    }

    /// An error that ends the task.
    pub fn fenced(operation: impl Into<String>, message: impl ToString) -> Self {
        Self::new(BrokerErrorKind::Fenced, operation, message)
    }
}
