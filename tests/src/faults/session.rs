//! A session between a task and the real one. It also makes sure that its task keeps to the port.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sandbar::broker::{
    BatchLimits, BrokerError, BrokerErrorKind, Commit, Consumed, Output, Session, StateScope, TopicPartition,
};

use super::broker::{Caller, made};
use super::defect::{Defect, DefectKind};
use super::fates::shown;
use super::plan::Fate;
use super::step::Step;

/// See the module.
pub(super) struct FaultySession {
    pub(super) inner: Box<dyn Session>,
    pub(super) caller: Caller,
    /// The consumer group; empty if there is none.
    pub(super) group: String,
    pub(super) health: Health,
    /// The next offset of each partition that the task was not given yet.
    pub(super) given: BTreeMap<TopicPartition, i64>,
    /// Records that a planted defect keeps for later.
    pub(super) held_back: Option<Output>,
}

/// What the errors so far leave of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// All of it.
    Good,
    /// The transaction is lost: only an abort helps.
    MustAbort,
    /// Nothing.
    Dead,
}

impl FaultySession {
    async fn enter(&mut self, step: Step) -> Result<Fate, BrokerError> {
        let ends = matches!(step, Step::Abort | Step::Release | Step::Close);
        if self.health == Health::MustAbort && !ends {
            self.caller.fates.breaks(format!("{} calls {step} and not abort after an error", self.caller.name));
        }
        if self.health == Health::Dead && step != Step::Close {
            return Err(BrokerError::fatal(step.name(), "the session is of no more use"));
        }
        let entered = self.caller.enter(step).await;
        self.mark(step, entered)
    }

    async fn leave<T>(&mut self, step: Step, fate: Fate, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
        let left = self.caller.leave(step, fate, result).await;
        if step == Step::Abort && left.is_ok() {
            self.health = Health::Good;
        }
        self.mark(step, left)
    }

    /// Takes note of what an error leaves of the session.
    fn mark<T>(&mut self, step: Step, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
        let kind = result.as_ref().err().map(|error| &error.kind);
        match kind {
            Some(BrokerErrorKind::Fatal) => self.health = Health::Dead,
            Some(BrokerErrorKind::Abortable | BrokerErrorKind::Rebalanced) if step != Step::Abort => {
                self.health = Health::MustAbort;
            }
            _ => {}
        }
        result
    }

    fn is_defective(&self, kind: fn(&Defect) -> bool) -> bool {
        self.caller.fates.strikes(kind)
    }

    /// Takes note of what the task is given.
    fn give(&mut self, consumed: &Consumed) {
        match consumed {
            Consumed::Idle | Consumed::Joining => self.caller.note("consume: idle"),
            Consumed::Batches(batches) => {
                let mut event = "consume".to_owned();
                for batch in batches {
                    event += &format!(" {}<{} ({})", batch.partition, batch.next_offset, batch.batch.len());
                    self.given.insert(batch.partition.clone(), batch.next_offset);
                }
                self.caller.note(&event);
            }
            Consumed::Assigned(places) => self.caller.note(&format!("consume: assigned {}", names(places))),
            Consumed::Revoked(places) => self.caller.note(&format!("consume: revoked {}", names(places))),
            Consumed::Lost(places) => self.caller.note(&format!("consume: lost {}", names(places))),
        }
    }
}

fn names(places: &[TopicPartition]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[async_trait]
impl Session for FaultySession {
    async fn consume(&mut self, limits: BatchLimits, wait: Duration) -> Result<Consumed, BrokerError> {
        let fate = self.enter(Step::Consume).await?;
        let mut consumed = self.inner.consume(limits, wait).await;
        if let Ok(Consumed::Batches(_)) = &consumed
            && self.is_defective(|defect| defect.kind == DefectKind::Starve)
        {
            consumed = Ok(Consumed::Idle);
        }
        let consumed = self.leave(Step::Consume, fate, consumed).await?;
        self.give(&consumed);
        Ok(consumed)
    }

    async fn stand_by(&mut self, wait: Duration) -> Result<Consumed, BrokerError> {
        let fate = self.enter(Step::StandBy).await?;
        let news = self.inner.stand_by(wait).await;
        let news = self.leave(Step::StandBy, fate, news).await?;
        self.give(&news);
        Ok(news)
    }

    async fn accept(&mut self, partitions: Vec<(TopicPartition, Option<i64>)>) -> Result<(), BrokerError> {
        let fate = self.enter(Step::Accept).await?;
        for (partition, offset) in &partitions {
            match offset {
                Some(offset) => self.given.insert(partition.clone(), *offset),
                None => self.given.remove(partition),
            };
        }
        let starts: Vec<_> = partitions.iter().map(|(partition, from)| format!("{partition}@{from:?}")).collect();
        let accepted = self.inner.accept(partitions).await;
        self.leave(Step::Accept, fate, accepted).await?;
        self.caller.note(&format!("accept {}", starts.join(" ")));
        Ok(())
    }

    async fn release(&mut self, partitions: Vec<TopicPartition>) -> Result<(), BrokerError> {
        let fate = self.enter(Step::Release).await?;
        for partition in &partitions {
            self.given.remove(partition);
        }
        let event = format!("release {}", names(&partitions));
        let released = self.inner.release(partitions).await;
        self.leave(Step::Release, fate, released).await?;
        self.caller.note(&event);
        Ok(())
    }

    async fn stage(&mut self, output: Output) -> Result<(), BrokerError> {
        let fate = self.enter(Step::Stage).await?;
        let event = format!("stage {} for {}", output.batch.len(), output.topic);
        let staged = if self.is_defective(|defect| defect.kind == DefectKind::LoseRecords) {
            Ok(())
        } else if self.is_defective(|defect| defect.kind == DefectKind::SwapRecords) {
            self.held_back = Some(output);
            Ok(())
        } else {
            if self.is_defective(|defect| defect.kind == DefectKind::DoubleRecords) {
                self.inner.stage(output.clone()).await?;
            }
            let staged = self.inner.stage(output).await;
            if let Some(late) = self.held_back.take() {
                self.inner.stage(late).await?;
            }
            staged
        };
        self.leave(Step::Stage, fate, staged).await?;
        self.caller.note(&event);
        Ok(())
    }

    async fn commit(&mut self, mut commit: Commit) -> Result<(), BrokerError> {
        let fate = self.enter(Step::Commit).await?;
        if !commit.state.is_empty() && self.is_defective(|defect| defect.kind == DefectKind::LoseState) {
            commit.state.clear();
        }
        if self.is_defective(|defect| defect.kind == DefectKind::SkipInput) {
            commit.consumed.iter_mut().for_each(|consumed| consumed.offset += 1);
        }
        let event = format!("commit{}", shown(&commit));
        let mut done = self.inner.commit(commit.clone()).await;
        if done.is_ok() {
            self.caller.fates.committed(&self.caller.name, &self.group, &self.given, &commit);
            self.caller.note(&event);
            if fate == Fate::Twice {
                done = self.inner.commit(commit).await;
            }
        }
        self.leave(Step::Commit, fate, done).await
    }

    async fn abort(&mut self) -> Result<(), BrokerError> {
        let fate = self.enter(Step::Abort).await?;
        self.held_back = None;
        let aborted = made!(fate, self.inner.abort());
        self.leave(Step::Abort, fate, aborted).await?;
        self.caller.note("abort");
        Ok(())
    }

    async fn load_offsets(&mut self) -> Result<Vec<(String, String)>, BrokerError> {
        let fate = self.enter(Step::LoadOffsets).await?;
        let loaded = made!(fate, self.inner.load_offsets());
        let loaded = self.leave(Step::LoadOffsets, fate, loaded).await?;
        self.caller.note(&format!("load-offsets {loaded:?}"));
        Ok(loaded)
    }

    async fn load_state(&mut self, scope: &StateScope) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
        let fate = self.enter(Step::LoadState).await?;
        let loaded = made!(fate, self.inner.load_state(scope));
        let loaded = self.leave(Step::LoadState, fate, loaded).await?;
        self.caller.note(&format!("load-state {:?} {}", scope.place, loaded.len()));
        Ok(loaded)
    }

    async fn close(mut self: Box<Self>) -> Result<(), BrokerError> {
        let fate = self.enter(Step::Close).await?;
        let Self { inner, caller, .. } = *self;
        let closed = inner.close().await;
        let closed = caller.leave(Step::Close, fate, closed).await;
        caller.note("close");
        closed
    }
}
