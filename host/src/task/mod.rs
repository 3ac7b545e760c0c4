//! One task: the loop that moves records between one guest and the broker, and commits.
//!
//! A task owns its guests, its cursor and its open transaction, and nothing else. It sees the broker and the sandbox
//! through their ports. How it ended is its answer; whether it is started again is not its business.

mod activity;
mod backoff;
mod carry;
mod chain;
mod consume;
mod context;
mod dead_letter;
mod hand_over;
mod histogram;
mod pace;
mod pending;
mod plan;
mod progress;
mod sink;
mod source;
mod stage;
mod trace;
mod transform;

pub use activity::Step;
pub use backoff::{Backoff, seed_jitter};
pub use dead_letter::CONTEXT_PREFIX;
pub use histogram::Distribution;
pub use plan::{DeadLetterPlan, ErrorPolicy, Pace, Plan, StagePlan};
pub use progress::{Progress, Snapshot, StageUsage};

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::watch;
use tracing::{debug, info};

use crate::broker::{Broker, BrokerError, BrokerErrorKind, TopicPartition};
use crate::sandbox::{CallError, taking_turns};
use context::Context;
use sandbar_abi::manifest::Kind;
use sandbar_abi::status::CloseReason;

/// How a task ended. Every ending is one of these.
#[derive(Debug)]
pub enum TaskEnd {
    /// It was told to stop: everything it had taken up is committed.
    Stopped,
    /// It was told to stop while something could not be delivered: what was not committed is undone.
    Interrupted,
    /// Its source has come to its end, and everything is committed.
    Completed,
    /// Its partitions went elsewhere in the middle: nothing is wrong, it starts again at the last commit.
    Reopen,
    /// Another holder of its transactional id took over: it must not start again by itself.
    Fenced(String),
    /// It failed; what was not committed is undone.
    Failed(TaskError),
}

/// Why a task failed.
#[derive(Debug, Error)]
pub enum TaskError {
    /// A guest failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The broker failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// A record failed, and `errors.tolerance` is `none`.
    #[error("{0}")]
    Record(String),
    /// It was told to stop while it waited: what was not committed is undone, and nothing is wrong.
    #[error("stopped while waiting")]
    Interrupted,
    /// Partitions that it was in the middle of went elsewhere while it waited: what was not committed is undone, and nothing
    /// is wrong.
    #[error("{0:?} went elsewhere while they were waited for")]
    Moved(Vec<TopicPartition>),
    /// The host could not lay a batch out; the limits are smaller than one record.
    #[error("batch: {0}")]
    Batch(#[from] sandbar_abi::FrameError),
}

/// Runs a task until it ends. `stop` turns to a reason to end it at the next batch. `careful` is for a task that failed
/// before: it commits after every batch, so that what fails again is alone.
pub async fn run(
    plan: Arc<Plan>,
    broker: Arc<dyn Broker>,
    stop: watch::Receiver<Option<CloseReason>>,
    progress: Arc<Progress>,
    careful: bool,
) -> TaskEnd {
    taking_turns(pump(plan, broker, stop, progress, careful)).await
}

async fn pump(
    plan: Arc<Plan>,
    broker: Arc<dyn Broker>,
    stop: watch::Receiver<Option<CloseReason>>,
    progress: Arc<Progress>,
    careful: bool,
) -> TaskEnd {
    let mut context = match Context::open(plan, &broker, stop, progress, careful).await {
        Ok(context) => context,
        Err(error) => return end_of(error),
    };
    let ended = match context.plan.role {
        Kind::Source => source::run(&mut context).await,
        Kind::Transform => transform::run(&mut context).await,
        Kind::Sink => sink::run(&mut context).await,
    };
    let end = match ended {
        Ok(end) => end,
        Err(error) => end_of(error),
    };
    context.close(&end).await;
    debug!(?end, "task ended");
    end
}

fn end_of(error: TaskError) -> TaskEnd {
    match error {
        TaskError::Broker(error) if error.kind == BrokerErrorKind::Fenced => TaskEnd::Fenced(error.to_string()),
        TaskError::Broker(error) if error.kind == BrokerErrorKind::Rebalanced => {
            info!(%error, "the group gave the partitions out anew in the middle of a transaction, beginning again at the last commit");
            TaskEnd::Reopen
        }
        TaskError::Interrupted => TaskEnd::Interrupted,
        TaskError::Moved(partitions) => {
            info!(?partitions, "partitions went elsewhere while this task waited, beginning again at the last commit");
            TaskEnd::Reopen
        }
        error => TaskEnd::Failed(error),
    }
}
