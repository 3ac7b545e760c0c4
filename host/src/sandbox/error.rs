//! How a call can end badly, in words that name plugin, version, connector, call and cause.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::FrameError;
use thiserror::Error;

use super::violation::Violation;

/// What stands for the message of a guest that returns an error without one.
pub const NO_MESSAGE: &str = "without a message";

/// Whose instance it is: what every message about it starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The connector.
    pub connector: String,
    /// The task's number.
    pub task: u32,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} {}, connector {}, task {}", self.plugin, self.version, self.connector, self.task)
    }
}

/// A call that did not succeed.
#[derive(Clone, Debug, Error)]
#[error("{identity}: {call}: {kind}")]
pub struct CallError {
    /// Whose call it was.
    pub identity: Arc<Identity>,
    /// The call, without the prefix `sandbar_`.
    pub call: &'static str,
    /// What happened.
    pub kind: CallErrorKind,
    /// The guest's stack at a trap, innermost first.
    pub trace: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, Error)]
pub enum CallErrorKind {
    /// The guest says that the same call may succeed later.
    #[error("retryable: {0}")]
    Retryable(String),
    /// The guest says that it cannot go on.
    #[error("fatal: {0}")]
    Fatal(String),
    /// The guest was asked by its system to wait.
    #[error("throttled for {} ms: {message}", delay.as_millis())]
    Throttled {
        /// How long.
        delay: Duration,
        /// Why.
        message: String,
    },
    /// The guest says that a side broke the ABI.
    #[error("contract violation: {0}")]
    Contract(String),
    /// The guest's answer broke the ABI.
    #[error("contract violation: {0}")]
    Broken(#[from] Violation),
    /// The guest's frame broke the layout.
    #[error("contract violation: output frame: {0}")]
    Frame(#[from] FrameError),
    /// It trapped.
    #[error("trapped: {0}")]
    Trap(String),
    /// It used up its fuel.
    #[error("used up its fuel of {0} units for one call; sandbox.fuel.per.call sets it")]
    OutOfFuel(u64),
    /// It took too long.
    #[error("took longer than {} ms; sandbox.call.timeout.ms sets it", .0.as_millis())]
    TimedOut(Duration),
    /// It trapped after it was refused memory.
    #[error("ran out of memory: {wanted} bytes were asked for, the limit is {limit}; sandbox.memory.max.bytes sets it")]
    OutOfMemory {
        /// What it asked for in all, in bytes.
        wanted: usize,
        /// What it may have, in bytes.
        limit: usize,
    },
    /// It called `proc_exit`.
    #[error("exited with status {0}; a plugin must return, not exit")]
    Exit(i32),
    /// It could not be started.
    #[error("cannot be started: {0}")]
    Start(String),
}

impl CallErrorKind {
    /// Whether the instance is still good for another call.
    #[must_use]
    pub fn spares_instance(&self) -> bool {
        matches!(self, Self::Retryable(_) | Self::Throttled { .. })
    }

    /// How long the guest asks to be left alone.
    #[must_use]
    pub fn delay(&self) -> Duration {
        match self {
            Self::Throttled { delay, .. } => *delay,
            _ => Duration::ZERO,
        }
    }

    /// Whether a record of the call may be what caused it: trying fewer records at a time finds out.
    #[must_use]
    pub fn may_be_poison(&self) -> bool {
        !matches!(self, Self::Retryable(_) | Self::Throttled { .. } | Self::Fatal(_) | Self::Start(_))
    }

    /// A name for the kind, as the dead letter header `exception.class.name` carries it.
    #[must_use]
    pub const fn class_name(&self) -> &'static str {
        match self {
            Self::Retryable(_) => "sandbar.Retryable",
            Self::Fatal(_) => "sandbar.Fatal",
            Self::Throttled { .. } => "sandbar.Throttled",
            Self::Contract(_) | Self::Broken(_) | Self::Frame(_) => "sandbar.ContractViolation",
            Self::Trap(_) => "sandbar.Trap",
            Self::OutOfFuel(_) => "sandbar.OutOfFuel",
            Self::TimedOut(_) => "sandbar.TimedOut",
            Self::OutOfMemory { .. } => "sandbar.OutOfMemory",
            Self::Exit(_) => "sandbar.Exit",
            Self::Start(_) => "sandbar.Start",
        }
    }
}
