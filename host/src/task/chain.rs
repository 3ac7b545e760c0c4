//! The transforms of a task, one after the other. What goes in comes out resolved: as records, as nothing, or as failures.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use sandbar_abi::manifest::Kind;
use sandbar_abi::status::CloseReason;
use sandbar_abi::{Disposition, FrameBuilder, Record};

use super::TaskError;
use super::carry;
use super::context::{Context, Waited};
use super::dead_letter::Failure;
use super::stage::Stage;
use crate::batch::{Batch, Copier};
use crate::broker::StatePlace;
use crate::sandbox::{CallError, Outcomes, TransformReply};

/// See the module.
pub(super) struct Chain {
    pub(super) stages: Vec<Stage>,
}

/// What came of a batch.
pub(super) struct Applied {
    /// The records; each names the record of the batch it comes of.
    pub(super) output: Option<Batch>,
    /// The records of the batch that failed, by index.
    pub(super) failures: Vec<Failure>,
}

impl Chain {
    /// Opens all transforms, so that one that cannot be opened is known before the first record.
    pub(super) async fn open(&mut self, context: &mut Context) -> Result<(), TaskError> {
        for stage in &mut self.stages {
            stage.load_state(context, StatePlace::Task).await?;
            stage.instance().await?;
        }
        Ok(())
    }

    /// Closes all transforms.
    pub(super) async fn close(&mut self, reason: CloseReason) {
        for stage in &mut self.stages {
            stage.close(reason).await;
        }
    }

    /// Passes records of one partition through all transforms.
    pub(super) async fn apply(
        &mut self,
        context: &mut Context,
        input: &Batch,
        place: &StatePlace,
    ) -> Result<Applied, TaskError> {
        let mut failures: Vec<Failure> = Vec::new();
        // The records between two stages, and for each the input it comes of; at first each is its own.
        let mut current = Some(input.clone());
        let mut roots: Option<Vec<u32>> = None;
        let last = self.stages.len().saturating_sub(1);
        for (nth, stage) in self.stages.iter_mut().enumerate() {
            let Some(batch) = current.take() else { break };
            let done = apply_stage(stage, context, &batch, place).await?;
            for mut failure in done.failures {
                failure.input = root(roots.as_deref(), failure.input);
                failures.push(failure);
            }
            let Some(output) = done.output else { break };
            let next: Vec<u32> = output
                .frame()
                .records()
                .map(|r| number(root(roots.as_deref(), r.input.unwrap_or(0) as usize)))
                .collect();
            // All that comes of one record is delivered, or nothing.
            let failed = |root: u32| failures.iter().any(|f| f.input == root as usize);
            let (output, next) = if !failures.is_empty() && next.iter().any(|r| failed(*r)) {
                let kept = output.filter(|i| next.get(i).is_none_or(|r| !failed(*r)))?;
                (kept, next.into_iter().filter(|r| !failed(*r)).collect())
            } else {
                (output, next)
            };
            // Whoever takes the records next sees where they come from. What goes to a topic has a place of its own.
            let to_topic = nth == last && context.plan.role != Kind::Sink;
            current = Some(if to_topic { output } else { with_origin(&output, &next, input)? });
            roots = Some(next);
        }
        failures.sort_by_key(|f| f.input);
        failures.dedup_by_key(|f| f.input);
        let output = match (current, roots) {
            (Some(batch), Some(roots)) if self.stages.len() > 1 && context.plan.role != Kind::Sink => {
                Some(with_inputs(&batch, &roots)?)
            }
            (batch, _) => batch,
        };
        let mut output = output.filter(|b| !b.is_empty());
        if context.plan.tracer.is_on() {
            output = output.map(|batch| carry::inherit(batch, input));
        }
        Ok(Applied { output, failures })
    }
}

fn root(roots: Option<&[u32]>, index: usize) -> usize {
    roots.map_or(index, |roots| roots.get(index).map_or(index, |r| *r as usize))
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The same records, each with the offset and the partition of the record it comes of, and its topic where a transform
/// named no other.
fn with_origin(batch: &Batch, roots: &[u32], origin: &Batch) -> Result<Batch, TaskError> {
    let mut builder = FrameBuilder::new();
    let mut places: HashMap<(Option<u32>, Option<u32>), u32> = HashMap::new();
    let origin = origin.frame();
    for (record, root) in batch.frame().records().zip(roots) {
        let from = origin.record(*root as usize);
        let key = (record.topic_partition_index, from.and_then(|r| r.topic_partition_index));
        let own = record.topic_partition.and_then(|tp| tp.topic);
        let from_place = from.and_then(|r| r.topic_partition);
        let place = match (own, from_place) {
            (None, None) => None,
            _ => Some(*places.entry(key).or_insert_with(|| {
                let topic = own.or(from_place.and_then(|tp| tp.topic));
                builder.topic_partition(topic, from_place.and_then(|tp| tp.partition))
            })),
        };
        let placed = Record { offset: from.and_then(|r| r.offset), ..record };
        builder.copy(&placed, place, Some(*root));
    }
    Ok(Batch::build(&builder)?)
}

/// The same records, naming other inputs.
fn with_inputs(batch: &Batch, inputs: &[u32]) -> Result<Batch, TaskError> {
    let mut builder = FrameBuilder::new();
    let mut copier = Copier::default();
    for (record, input) in batch.frame().records().zip(inputs) {
        copier.copy(&mut builder, &record, Some(*input));
    }
    Ok(Batch::build(&builder)?)
}

/// Passes a batch through one transform. Calls that fail are made again on a fresh instance, then with fewer records at a
/// time, until the record that causes it is alone.
async fn apply_stage(
    stage: &mut Stage,
    context: &mut Context,
    batch: &Batch,
    place: &StatePlace,
) -> Result<Applied, TaskError> {
    let mut merged = Merged::default();
    let mut hold = None;
    let budget = context.plan.errors.retry_timeout;
    // Ranges of the batch still to be passed, the next one last.
    let mut work: Vec<_> = std::iter::once(0..batch.len()).collect();
    while let Some(range) = work.pop() {
        let whole = range == (0..batch.len());
        let part = if whole { batch.clone() } else { batch.subset(range.clone())? };
        match call(stage, context, &part, place).await? {
            Ok(reply) => {
                let resolved = reply.outcomes.resolved(part.len());
                if resolved > 0 {
                    // It goes on: what is left has all its tries.
                    hold = None;
                }
                if whole && reply.outcomes == Outcomes::AllOk && merged.is_empty() {
                    return Ok(Applied { output: reply.output, failures: Vec::new() });
                }
                merged.add(stage, &range, &reply);
                if resolved < part.len() {
                    let first = range.start + resolved;
                    let why = message(&reply.outcomes, resolved).unwrap_or("the plugin asks for another try");
                    let hold = hold.get_or_insert_with(|| context.hold(budget));
                    match context.wait(hold, why, Duration::ZERO).await? {
                        Waited::OutOfBudget => {
                            let message = format!("{why} (errors.retry.timeout is used up)");
                            merged.fail(stage, first, "sandbar.Retryable", message);
                            work.extend((first + 1 < range.end).then_some(first + 1..range.end));
                        }
                        Waited::TryAgain => work.push(first..range.end),
                    }
                }
            }
            Err(error) if error.kind.spares_instance() => {
                let at_least = error.kind.delay();
                let hold = hold.get_or_insert_with(|| context.hold(budget));
                match context.wait(hold, &error.to_string(), at_least).await? {
                    Waited::OutOfBudget => return Err(error.into()),
                    Waited::TryAgain => work.push(range),
                }
            }
            Err(error) if error.kind.may_be_poison() && context.plan.errors.tolerate => {
                if range.len() == 1 {
                    merged.fail(stage, range.start, error.kind.class_name(), error.to_string());
                } else {
                    let middle = range.start + range.len() / 2;
                    work.push(middle..range.end);
                    work.push(range.start..middle);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    merged.finish()
}

/// One call, and one more on a fresh instance where the first one cost the instance.
async fn call(
    stage: &mut Stage,
    context: &mut Context,
    batch: &Batch,
    place: &StatePlace,
) -> Result<Result<TransformReply, CallError>, TaskError> {
    let mut fresh = false;
    loop {
        context.progress.add_call();
        let begun = context.trace.call(stage);
        let called = match stage.instance().await {
            Ok(instance) => instance.transform(batch, place.clone()).await,
            Err(error) => Err(error),
        };
        context.trace.called(begun, stage, "transform", called.as_ref());
        match called {
            Err(error) if !error.kind.spares_instance() => {
                stage.discard(&error);
                // Finding out which record it is may take long: no transaction stays open meanwhile.
                context.commit().await?;
                if fresh || !error.kind.may_be_poison() {
                    return Ok(Err(error));
                }
                fresh = true;
            }
            called => return Ok(called),
        }
    }
}

fn message(outcomes: &Outcomes, index: usize) -> Option<&str> {
    match outcomes {
        Outcomes::AllOk => None,
        Outcomes::Each(each) => each.get(index)?.message.as_deref(),
    }
}

/// The results of several calls as those of one.
#[derive(Default)]
struct Merged {
    builder: FrameBuilder,
    failures: Vec<Failure>,
    calls: usize,
}

impl Merged {
    fn is_empty(&self) -> bool {
        self.calls == 0
    }

    fn add(&mut self, stage: &Stage, range: &Range<usize>, reply: &TransformReply) {
        self.calls += 1;
        if let Some(output) = &reply.output {
            let mut copier = Copier::default();
            for record in output.frame().records() {
                let input = range.start + record.input.unwrap_or(0) as usize;
                copier.copy(&mut self.builder, &record, Some(number(input)));
            }
        }
        if let Outcomes::Each(each) = &reply.outcomes {
            for (index, outcome) in each.iter().enumerate() {
                if outcome.disposition == Disposition::Failed {
                    let message = outcome.message.clone().unwrap_or_else(|| "without a message".to_owned());
                    self.fail(stage, range.start + index, "sandbar.RecordFailed", message);
                }
            }
        }
    }

    fn fail(&mut self, stage: &Stage, input: usize, class: &'static str, message: String) {
        self.calls += 1;
        self.failures.push(Failure {
            input,
            stage: "TRANSFORMATION",
            plugin: stage.plugin().to_owned(),
            class,
            message,
        });
    }

    fn finish(self) -> Result<Applied, TaskError> {
        let output = if self.builder.is_empty() { None } else { Some(Batch::build(&self.builder)?) };
        Ok(Applied { output, failures: self.failures })
    }
}
