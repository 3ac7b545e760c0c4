//! The pump of a sink: topics to another system, at least once; exactly once where the sink keeps offsets beside its data.
//!
//! Consumed offsets are committed only after `write` and `flush`. What an instance was given and has not flushed is lost
//! with it, so a sink that loses its instance begins again at the last commit. After such a failure the task runs
//! carefully: it flushes and commits after every batch, so that the next failure concerns that batch alone.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbar_abi::Disposition;
use sandbar_abi::manifest::Kind;
use sandbar_abi::message::AssignedPartition;
use sandbar_abi::status::CloseReason;
use tokio::time::Instant;

use super::chain::Chain;
use super::consume::{self, Delivery};
use super::context::{Context, Hold};
use super::dead_letter::Failure;
use super::stage::Stage;
use super::{TaskEnd, TaskError};
use crate::batch::Batch;
use crate::broker::{PartitionBatch, StatePlace, TopicPartition};
use crate::sandbox::{CallError, Outcomes};

/// Runs a sink task.
pub(super) async fn run(context: &mut Context) -> Result<TaskEnd, TaskError> {
    let plan = context.plan.clone();
    let stages =
        plan.transforms.iter().map(|stage| Stage::new(&plan, stage, Kind::Transform, &context.progress)).collect();
    let mut sink = Stage::new(&plan, &plan.plugin, Kind::Sink, &context.progress);
    sink.load_state(context, StatePlace::Task).await?;
    sink.instance().await?;
    let mut pump = SinkPump {
        chain: Chain { stages },
        sink,
        positions: BTreeMap::new(),
        unflushed: false,
        mid_batch: false,
        idempotent: plan.plugin.idempotent_write,
    };
    pump.chain.open(context).await?;
    let ended = consume::run(context, &mut pump).await;
    let reason = context.stopping().unwrap_or(CloseReason::Stop);
    pump.sink.close(reason).await;
    pump.chain.close(reason).await;
    ended
}

struct SinkPump {
    chain: Chain,
    sink: Stage,
    /// The partitions, and the next offset to deliver of each, once it is known.
    positions: BTreeMap<TopicPartition, Option<i64>>,
    /// Whether the sink was given records since the last flush.
    unflushed: bool,
    /// Whether a batch has been begun and not finished.
    mid_batch: bool,
    idempotent: bool,
}

impl Delivery for SinkPump {
    async fn deliver(&mut self, context: &mut Context, batch: &PartitionBatch) -> Result<(), TaskError> {
        let input = &batch.batch;
        self.mid_batch = true;
        let applied = if self.chain.stages.is_empty() {
            None
        } else {
            let place = StatePlace::Partition(batch.partition.clone());
            Some(self.chain.apply(context, input, &place).await?)
        };
        let first = input.frame().record(0).and_then(|r| r.offset);
        self.positions.insert(batch.partition.clone(), first);
        match applied {
            None => self.write(context, batch, input.clone()).await?,
            Some(applied) => {
                context.fail(input, applied.failures).await?;
                if let Some(output) = applied.output {
                    self.write(context, batch, output).await?;
                }
            }
        }
        context.absorb(self.chain.stages.iter_mut().chain([&mut self.sink]));
        context.consumed(&batch.partition, batch.next_offset, input.len());
        context.progress.took(Some(&batch.partition.topic), input);
        self.positions.insert(batch.partition.clone(), Some(batch.next_offset));
        self.mid_batch = false;
        Ok(())
    }

    async fn assigned(
        &mut self,
        context: &mut Context,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, TaskError> {
        consume::load_state(context, self.chain.stages.iter_mut(), partitions).await?;
        let start = self.sink.instance().await?.assigned(message(partitions)).await?;
        self.positions.extend(partitions.iter().map(|p| (p.clone(), None)));
        let start: Vec<_> = partitions.iter().map(|p| answer(&start, p)).collect();
        // What the sink has counts as consumed, or its group would lag behind until another record comes.
        for (partition, offset) in partitions.iter().zip(&start) {
            if let Some(offset) = offset {
                context.consumed(partition, *offset, 0);
            }
        }
        Ok(start)
    }

    async fn released(&mut self, _: &mut Context, partitions: &[TopicPartition]) -> Result<(), TaskError> {
        consume::forget_state(self.chain.stages.iter_mut(), partitions);
        self.positions.retain(|p, _| !partitions.contains(p));
        Ok(self.sink.instance().await?.revoked(message(partitions)).await?)
    }

    async fn commit(&mut self, context: &mut Context) -> Result<(), TaskError> {
        if self.unflushed {
            self.flush(context).await?;
        }
        if self.mid_batch && !self.chain.stages.is_empty() {
            // What the transforms put in their state is about the whole batch.
            return Ok(());
        }
        context.absorb(std::iter::once(&mut self.sink));
        context.unpark().await?;
        context.commit().await
    }
}

impl SinkPump {
    /// Writes records until all of them are resolved.
    async fn write(&mut self, context: &mut Context, source: &PartitionBatch, records: Batch) -> Result<(), TaskError> {
        let mut hold = None;
        // What is still to be written, the next part last: parts come of splitting around a record that breaks the sink.
        let mut work = vec![records];
        while let Some(part) = work.pop() {
            match self.call(context, &part).await {
                Ok(outcomes) => {
                    let resolved = outcomes.resolved(part.len());
                    let failures = self.failures(source, &part, &outcomes);
                    if !context.plan.errors.tolerate
                        && let Some(first) = outcomes.first_failed()
                    {
                        self.keep_before(context, source, &part, &outcomes, first).await?;
                    }
                    context.fail(&source.batch, failures).await?;
                    context.progress.add_written(written(&outcomes, resolved), &part);
                    if resolved > 0 {
                        // It goes on: the next pause is a first one.
                        hold = None;
                    }
                    if resolved < part.len() {
                        if resolved > 0 {
                            self.advance(context, source, &part, resolved);
                        }
                        work.push(part.subset(resolved..part.len())?);
                        if resolved > 0 && outcomes.disposition(resolved) == Disposition::NotAttempted {
                            self.breathe(context).await?;
                        } else {
                            let why = outcomes.message(resolved).unwrap_or("the sink asks for another try");
                            let hold = hold.get_or_insert_with(|| context.hold(None));
                            self.wait(context, hold, why, Duration::ZERO).await?;
                        }
                    }
                }
                Err(error) if error.kind.spares_instance() => {
                    work.push(part);
                    let hold = hold.get_or_insert_with(|| context.hold(None));
                    self.wait(context, hold, &error.to_string(), error.kind.delay()).await?;
                }
                Err(error) if part.len() == 1 && self.may_isolate(context, &error) => {
                    let failure = self.failure(source, &part, 0, error.kind.class_name(), error.to_string());
                    context.fail(&source.batch, vec![failure]).await?;
                }
                Err(error) if self.may_isolate(context, &error) => {
                    let middle = part.len() / 2;
                    work.push(part.subset(middle..part.len())?);
                    work.push(part.subset(0..middle)?);
                }
                Err(error) => return Err(error.into()),
            }
            if context.careful && self.unflushed {
                self.flush(context).await?;
            }
        }
        Ok(())
    }

    /// One call, and one more on a fresh instance where nothing got lost with the first.
    async fn call(&mut self, context: &mut Context, records: &Batch) -> Result<Outcomes, CallError> {
        let mut fresh = false;
        loop {
            context.progress.add_call();
            let begun = context.trace.call(&self.sink);
            let called = match self.sink.instance().await {
                Ok(instance) => instance.write(records).await,
                Err(error) => Err(error),
            };
            context.trace.called(begun, &self.sink, "write", called.as_ref());
            match called {
                Err(error) if !error.kind.spares_instance() => {
                    self.sink.discard(&error);
                    let again = error.kind.may_be_poison() && self.idempotent && !self.unflushed;
                    // Of what was let go another one may be writing by now.
                    self.positions.retain(|partition, _| !context.let_go().contains(partition));
                    if !again || !self.resume().await? || fresh {
                        return Err(error);
                    }
                    fresh = true;
                }
                called => {
                    // Even a call that failed may have left something in a buffer.
                    self.unflushed = true;
                    return called;
                }
            }
        }
    }

    /// Opens a fresh instance in the middle of the work, and tells whether it stands where this pump stands.
    async fn resume(&mut self) -> Result<bool, CallError> {
        let partitions: Vec<_> = self.positions.keys().cloned().collect();
        let start = self.sink.instance().await?.assigned(message(&partitions)).await?;
        let agrees = self.positions.iter().all(|(partition, position)| match (answer(&start, partition), position) {
            (Some(offset), Some(position)) => offset == *position,
            _ => true,
        });
        // An instance that stands elsewhere needs the records from there: only a restart gets them.
        self.unflushed |= !agrees;
        Ok(agrees)
    }

    /// Whether the records of a call that failed may be written again, and those that break the sink set aside.
    fn may_isolate(&self, context: &Context, error: &CallError) -> bool {
        error.kind.may_be_poison() && self.idempotent && context.plan.errors.tolerate && !self.unflushed
    }

    async fn flush(&mut self, context: &mut Context) -> Result<(), TaskError> {
        let mut hold = context.hold(None);
        loop {
            let begun = context.trace.call(&self.sink);
            let flushed = match self.sink.instance().await {
                Ok(instance) => instance.flush().await,
                Err(error) => Err(error),
            };
            context.trace.called(begun, &self.sink, "flush", flushed.as_ref());
            match flushed {
                Ok(()) => {
                    self.unflushed = false;
                    return Ok(());
                }
                Err(error) if error.kind.spares_instance() => {
                    context.wait(&mut hold, &error.to_string(), error.kind.delay()).await?;
                }
                Err(error) => {
                    self.sink.discard(&error);
                    return Err(error.into());
                }
            }
        }
    }

    /// Between two calls for one batch, because the sink takes its time: commits what is complete if it is due, and
    /// looks whether the task was told to end.
    async fn breathe(&mut self, context: &mut Context) -> Result<(), TaskError> {
        if context.due_in(Instant::now()).is_some_and(|due| due.is_zero()) {
            self.commit(context).await?;
        }
        if context.stopping().is_some() {
            self.commit(context).await?;
            return Err(TaskError::Interrupted);
        }
        Ok(())
    }

    /// Waits before the next try, outside any transaction: what is complete is committed first.
    async fn wait(
        &mut self,
        context: &mut Context,
        hold: &mut Hold,
        why: &str,
        at_least: Duration,
    ) -> Result<(), TaskError> {
        self.commit(context).await?;
        context.wait(hold, why, at_least).await.map(drop)
    }

    /// Notes the part of a batch that is resolved. With transforms in between this waits for the whole batch: what they
    /// put in their state is about all of it.
    fn advance(&self, context: &mut Context, source: &PartitionBatch, part: &Batch, resolved: usize) {
        let next = part.frame().record(resolved).and_then(|r| r.offset);
        if let (true, Some(next)) = (self.chain.stages.is_empty(), next) {
            context.consumed(&source.partition, next, 0);
        }
    }

    /// The task is about to end by a record. What the sink took before it is committed, or it would be written again at
    /// each start. Where the sink keeps state, that is about the whole call.
    async fn keep_before(
        &mut self,
        context: &mut Context,
        source: &PartitionBatch,
        part: &Batch,
        outcomes: &Outcomes,
        first: usize,
    ) -> Result<(), TaskError> {
        let keeps_state = self.sink.ledger().is_some_and(|ledger| ledger.has_staged());
        let next = part.frame().record(first).and_then(|record| record.offset);
        let Some(next) = next.filter(|_| self.chain.stages.is_empty() && !keeps_state) else { return Ok(()) };
        let before = source.batch.frame().records().take_while(|record| record.offset != Some(next)).count();
        context.consumed(&source.partition, next, before);
        context.progress.add_written(written(outcomes, first), part);
        self.commit(context).await
    }

    fn failures(&self, source: &PartitionBatch, part: &Batch, outcomes: &Outcomes) -> Vec<Failure> {
        let Outcomes::Each(each) = outcomes else { return Vec::new() };
        let failed = each.iter().enumerate().filter(|(_, o)| o.disposition == Disposition::Failed);
        failed
            .map(|(index, outcome)| {
                let message = outcome.message.clone().unwrap_or_else(|| "without a message".to_owned());
                self.failure(source, part, index, "sandbar.RecordFailed", message)
            })
            .collect()
    }

    fn failure(
        &self,
        source: &PartitionBatch,
        part: &Batch,
        index: usize,
        class: &'static str,
        message: String,
    ) -> Failure {
        let record = part.frame().record(index);
        let input = match record.and_then(|r| r.input) {
            Some(root) => Some(root as usize),
            None => source.batch.frame().records().position(|r| r.offset == record.and_then(|r| r.offset)),
        };
        Failure {
            input: input.unwrap_or(index),
            stage: "TASK_PUT",
            plugin: self.sink.plugin().to_owned(),
            class,
            message,
        }
    }
}

fn message(partitions: &[TopicPartition]) -> Vec<AssignedPartition> {
    let assigned =
        |p: &TopicPartition| AssignedPartition { topic: p.topic.to_string(), partition: p.partition, offset: None };
    partitions.iter().map(assigned).collect()
}

fn answer(start: &[AssignedPartition], partition: &TopicPartition) -> Option<i64> {
    start.iter().find(|s| *s.topic == *partition.topic && s.partition == partition.partition)?.offset
}

fn written(outcomes: &Outcomes, resolved: usize) -> usize {
    match outcomes {
        Outcomes::AllOk => resolved,
        Outcomes::Each(each) => each.iter().take(resolved).filter(|o| o.disposition == Disposition::Ok).count(),
    }
}
