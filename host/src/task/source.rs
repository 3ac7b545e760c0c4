//! The pump of a source: polls the guest, passes what it returns through the transforms, commits records and offsets.

use std::time::Duration;

use sandbar_abi::manifest::Kind;
use sandbar_abi::status::CloseReason;
use tokio::time::Instant;

use super::activity::Step;
use super::chain::Chain;
use super::context::Context;
use super::stage::Stage;
use super::{TaskEnd, TaskError};
use crate::batch::Batch;
use crate::broker::StatePlace;
use crate::sandbox::{CallError, PollReply};

/// The first pause after a poll that returned nothing; it doubles up to `poll.interval.ms`.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Runs a source task.
pub(super) async fn run(context: &mut Context) -> Result<TaskEnd, TaskError> {
    let plan = context.plan.clone();
    let stages =
        plan.transforms.iter().map(|stage| Stage::new(&plan, stage, Kind::Transform, &context.progress)).collect();
    let mut pump = SourcePump {
        source: Stage::new(&plan, &plan.plugin, Kind::Source, &context.progress),
        chain: Chain { stages },
        batches: 0,
        acknowledged: 0,
        pause: FIRST_PAUSE,
    };
    let offsets = context.session.load_offsets().await?;
    if let Some(ledger) = pump.source.ledger() {
        ledger.load_offsets(offsets);
    }
    pump.source.load_state(context, StatePlace::Task).await?;
    pump.source.instance().await?;
    pump.chain.open(context).await?;
    let ended = pump.run(context).await;
    let reason = context.stopping().unwrap_or(CloseReason::Stop);
    pump.source.close(reason).await;
    pump.chain.close(reason).await;
    ended
}

struct SourcePump {
    source: Stage,
    chain: Chain,
    /// Polls of the live instance that returned records.
    batches: u64,
    /// As many of them it was told are durable.
    acknowledged: u64,
    /// The pause after the next poll that returns nothing.
    pause: Duration,
}

impl SourcePump {
    async fn run(&mut self, context: &mut Context) -> Result<TaskEnd, TaskError> {
        let mut hold = None;
        loop {
            if context.stopping().is_some() {
                self.commit(context).await?;
                return Ok(TaskEnd::Stopped);
            }
            context.progress.begin(Step::Call);
            let begun = context.trace.call(&self.source);
            let polled = self.poll(context).await;
            if let Err(error) = &polled {
                context.trace.poll_failed(begun, &self.source, error);
            }
            let reply = match polled {
                Ok(reply) => reply,
                Err(error) if error.kind.spares_instance() => {
                    self.commit(context).await?;
                    let hold = hold.get_or_insert_with(|| context.hold(None));
                    context.wait(hold, &error.to_string(), error.kind.delay()).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            hold = None;
            context.progress.beat();
            let idle = reply.output.is_none();
            if let Some(output) = reply.output {
                self.batches += 1;
                let output = context.trace.polled(begun, &self.source, output);
                let delivered = self.deliver(context, output).await;
                context.trace.done(delivered.as_ref());
                delivered?;
            }
            context.absorb(std::iter::once(&mut self.source).chain(&mut self.chain.stages));
            if reply.end_of_data {
                self.commit(context).await?;
                return Ok(TaskEnd::Completed);
            }
            let due = context.due_in(Instant::now()).is_some_and(|due| due.is_zero());
            if idle || due || context.careful {
                self.commit(context).await?;
            }
            if idle {
                context.progress.begin(Step::Idle);
                context.pause(self.pause).await;
                context.progress.beat();
                self.pause = (self.pause * 2).min(context.plan.pace.poll_interval.max(FIRST_PAUSE));
            } else {
                self.pause = FIRST_PAUSE;
            }
        }
    }

    /// One poll, and one more on a fresh instance where the first one cost the instance: it goes on from the offsets that
    /// were put, committed or not.
    async fn poll(&mut self, context: &mut Context) -> Result<PollReply, CallError> {
        let pace = context.plan.pace.clone();
        let mut fresh = false;
        loop {
            context.progress.add_call();
            let polled = match self.source.instance().await {
                Ok(instance) => instance.poll(pace.batch_records, pace.batch_bytes, pace.poll_interval).await,
                Err(error) => Err(error),
            };
            match polled {
                Err(error) if !error.kind.spares_instance() => {
                    self.source.discard(&error);
                    (self.batches, self.acknowledged) = (0, 0);
                    if fresh || !error.kind.may_be_poison() {
                        return Err(error);
                    }
                    fresh = true;
                }
                polled => return polled,
            }
        }
    }

    async fn deliver(&mut self, context: &mut Context, records: Batch) -> Result<(), TaskError> {
        context.polled(records.len());
        context.progress.took(None, &records);
        if self.chain.stages.is_empty() {
            return context.stage(records.clone(), &records).await;
        }
        let applied = self.chain.apply(context, &records, &StatePlace::Task).await?;
        context.fail(&records, applied.failures).await?;
        if let Some(output) = applied.output {
            context.stage(output, &records).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, context: &mut Context) -> Result<(), TaskError> {
        if !context.is_dirty() {
            return Ok(());
        }
        context.commit().await?;
        if self.batches > self.acknowledged {
            self.acknowledged = self.batches;
            let acknowledged = match self.source.instance().await {
                Ok(instance) => instance.committed(self.batches).await,
                Err(error) => Err(error),
            };
            // The batch is durable whatever the source says: a failure here concerns what comes next.
            if let Err(error) = acknowledged {
                if !error.kind.spares_instance() {
                    self.source.discard(&error);
                    (self.batches, self.acknowledged) = (0, 0);
                }
                return Err(error.into());
            }
            context.absorb(std::iter::once(&mut self.source));
        }
        Ok(())
    }
}
