//! The input side that sinks and transforms share: takes partitions up and lets them go, and commits when it is time.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::activity::Step;
use super::backoff::Backoff;
use super::context::Context;
use super::stage::Stage;
use super::{TaskEnd, TaskError};
use crate::broker::{BatchLimits, BrokerErrorKind, Consumed, PartitionBatch, StatePlace, TopicPartition};

/// The longest wait for input: after it the task looks whether it was told to end.
const WAIT: Duration = Duration::from_millis(200);

/// What happens to the records that are consumed.
pub(super) trait Delivery {
    /// Deals with all records of a batch, and notes them in the context as consumed.
    async fn deliver(&mut self, context: &mut Context, batch: &PartitionBatch) -> Result<(), TaskError>;

    /// Takes partitions up: where to start in each, `None` at the committed offset.
    async fn assigned(
        &mut self,
        context: &mut Context,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, TaskError>;

    /// Lets partitions go.
    async fn released(&mut self, context: &mut Context, partitions: &[TopicPartition]) -> Result<(), TaskError>;

    /// Makes everything delivered durable, then commits.
    async fn commit(&mut self, context: &mut Context) -> Result<(), TaskError>;
}

/// Consumes until the task ends.
pub(super) async fn run(context: &mut Context, delivery: &mut impl Delivery) -> Result<TaskEnd, TaskError> {
    let limits = BatchLimits { records: context.plan.pace.batch_records, bytes: context.plan.pace.batch_bytes };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        if context.stopping().is_some() {
            delivery.commit(context).await?;
            return Ok(TaskEnd::Stopped);
        }
        let wait = context.due_in(Instant::now()).unwrap_or(WAIT).min(WAIT);
        context.progress.begin(Step::Consume);
        let consumed = match context.session.consume(limits, wait).await {
            Ok(consumed) => consumed,
            Err(error) if error.kind == BrokerErrorKind::Retriable => {
                if backoff.tries() == 0 {
                    warn!(connector = %context.plan.connector, task = context.plan.task, %error, "cannot consume, trying again");
                }
                context.progress.set_waiting(Some(error.to_string()));
                context.pause(backoff.next_delay()).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if backoff.tries() > 0 {
            info!(connector = %context.plan.connector, task = context.plan.task, "consuming again");
            context.progress.set_waiting(None);
            backoff.reset();
        }
        context.progress.set_joining(matches!(consumed, Consumed::Joining));
        match consumed {
            Consumed::Batches(batches) => {
                let mut let_go = Vec::new();
                for batch in &batches {
                    if let_go.contains(&batch.partition) {
                        continue;
                    }
                    context.progress.begin(Step::Call);
                    context.in_hand = Some(batch.partition.clone());
                    context.trace.consumed(batch);
                    let delivered = delivery.deliver(context, batch).await;
                    context.trace.done(delivered.as_ref());
                    delivered?;
                    context.in_hand = None;
                    let gone = context.take_let_go();
                    if !gone.is_empty() {
                        delivery.released(context, &gone).await?;
                        let_go.extend(gone);
                    }
                    if context.careful || context.due_in(Instant::now()).is_some_and(|due| due.is_zero()) {
                        delivery.commit(context).await?;
                    }
                    if context.stopping().is_some() {
                        break;
                    }
                }
            }
            Consumed::Idle | Consumed::Joining => {
                delivery.commit(context).await?;
                context.progress.beat();
            }
            Consumed::Assigned(partitions) => {
                let start = delivery.assigned(context, &partitions).await?;
                context.session.accept(partitions.into_iter().zip(start).collect()).await?;
            }
            Consumed::Revoked(partitions) => {
                context.leaving.clone_from(&partitions);
                delivery.commit(context).await?;
                context.leaving.clear();
                delivery.released(context, &partitions).await?;
                context.session.release(partitions).await?;
            }
            Consumed::Lost(partitions) => {
                // What was read from them may have been taken up elsewhere already: nothing of it is committed.
                warn!(connector = %context.plan.connector, task = context.plan.task, ?partitions, "partitions were lost");
                context.session.abort().await?;
                context.session.release(partitions).await?;
                return Ok(TaskEnd::Reopen);
            }
        }
    }
}

/// Loads the state that moves with partitions.
pub(super) async fn load_state<'s>(
    context: &mut Context,
    stages: impl Iterator<Item = &'s mut Stage>,
    partitions: &[TopicPartition],
) -> Result<(), TaskError> {
    for stage in stages {
        for partition in partitions {
            stage.load_state(context, StatePlace::Partition(partition.clone())).await?;
        }
    }
    Ok(())
}

/// Forgets the state of partitions that move elsewhere.
pub(super) fn forget_state<'s>(stages: impl Iterator<Item = &'s mut Stage>, partitions: &[TopicPartition]) {
    for stage in stages {
        if let Some(ledger) = stage.ledger() {
            for partition in partitions {
                ledger.forget_state(&StatePlace::Partition(partition.clone()));
            }
        }
    }
}
