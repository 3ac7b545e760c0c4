//! What the three pumps share: the session, what waits to be committed, and how long they wait.

use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::manifest::Kind;
use sandbar_abi::status::CloseReason;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::activity::Step;
use super::backoff::Backoff;
use super::pending::Pending;
use super::plan::Plan;
use super::progress::Progress;
use super::stage::Stage;
use super::trace::{self, Trace};
use super::{TaskEnd, TaskError};
use crate::broker::{Broker, BrokerErrorKind, Consumed, Session, SessionSpec, TopicPartition};

/// How long a commit that the broker cannot take now is tried again before the task gives up.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);
/// How long one wait for the group may take: after it the task looks whether it was told to end.
const STAND_BY: Duration = Duration::from_millis(200);
/// The first pause before something is tried again.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Context {
    pub(super) plan: Arc<Plan>,
    pub(super) session: Box<dyn Session>,
    pub(super) progress: Arc<Progress>,
    /// Its spans.
    pub(super) trace: Trace,
    /// Whether to commit after every batch, because the task failed on one before.
    pub(super) careful: bool,
    /// Records committed carefully.
    passed: usize,
    stop: watch::Receiver<Option<CloseReason>>,
    /// What the next commit makes durable.
    pending: Pending,
    /// What a sink was given and has not flushed: no commit may tell of it yet.
    parked: Pending,
    /// The partition whose records are being dealt with.
    pub(super) in_hand: Option<TopicPartition>,
    /// Partitions that were let go while the task waited.
    let_go: Vec<TopicPartition>,
    /// Partitions that the group waits for: the task finishes what it can, and waits for nothing itself.
    pub(super) leaving: Vec<TopicPartition>,
}

impl Context {
    /// Opens the session, and creates the dead letter queue where one is asked for.
    pub(super) async fn open(
        plan: Arc<Plan>,
        broker: &Arc<dyn Broker>,
        stop: watch::Receiver<Option<CloseReason>>,
        progress: Arc<Progress>,
        careful: bool,
    ) -> Result<Self, TaskError> {
        if let Some(queue) = &plan.errors.dead_letters {
            broker.create_topic(&queue.topic, &queue.settings).await?;
        }
        let spec = SessionSpec {
            worker_group: plan.worker_group.clone(),
            connector: plan.connector.clone(),
            task: plan.task,
            input: plan.input.clone(),
            topic_settings: plan.topic_settings.clone(),
            consumer_overrides: plan.consumer_overrides.clone(),
            producer_overrides: plan.producer_overrides.clone(),
            transaction_timeout: plan.transaction_timeout(),
        };
        let session = broker.session(spec).await?;
        Ok(Self {
            trace: Trace::new(&plan),
            plan,
            session,
            progress,
            careful,
            passed: 0,
            stop,
            pending: Pending::default(),
            parked: Pending::default(),
            in_hand: None,
            let_go: Vec::new(),
            leaving: Vec::new(),
        })
    }

    /// Whether the task was told to end, and why.
    pub(super) fn stopping(&self) -> Option<CloseReason> {
        *self.stop.borrow()
    }

    /// Waits, but no longer than until the task is told to end.
    pub(super) async fn pause(&mut self, pause: Duration) {
        if self.stopping().is_none() {
            // The sender lives as long as the supervisor; without one the pause is just a pause.
            let _ = tokio::time::timeout(pause, self.stop.changed()).await;
        }
    }

    /// Takes note of records dealt with: what their calls put in the ledgers will be in the next commit.
    pub(super) fn absorb<'s>(&mut self, stages: impl Iterator<Item = &'s mut Stage>) {
        for stage in stages {
            if let Some(ledger) = stage.ledger()
                && ledger.has_staged()
            {
                let staged = ledger.take_staged();
                self.open_part().absorb(staged);
            }
        }
    }

    /// Takes note that everything before an offset is dealt with.
    pub(super) fn consumed(&mut self, partition: &TopicPartition, next_offset: i64, records: usize) {
        self.open_part().consumed(partition, next_offset, records);
        self.progress.add_in(records);
    }

    /// Takes note of records a source returned.
    pub(super) fn polled(&self, records: usize) {
        self.progress.add_in(records);
    }

    /// A sink's work waits for its flush.
    pub(super) fn parks(&self) -> bool {
        self.plan.role == Kind::Sink
    }

    pub(super) fn open_part(&mut self) -> &mut Pending {
        if self.parks() { self.parked.begin() } else { self.pending.begin() }
    }

    /// The sink has flushed: what it was given may be committed.
    pub(super) async fn unpark(&mut self) -> Result<(), TaskError> {
        let mut parked = std::mem::take(&mut self.parked);
        for output in parked.take_letters() {
            self.bury(output).await?;
        }
        self.pending.append(parked);
        Ok(())
    }

    /// Whether there is anything to commit, once a sink has flushed.
    pub(super) fn is_dirty(&self) -> bool {
        !(self.pending.is_empty() && self.parked.is_empty())
    }

    /// How long until there is to be a commit; zero where it is due.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        self.pending.due_in(&self.parked, &self.plan.pace, now)
    }

    /// Commits everything dealt with so far; of a sink's work, what it has flushed.
    pub(super) async fn commit(&mut self) -> Result<(), TaskError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let mut span = self.trace.commit(pending.records);
        let committed = self.make_durable(pending).await;
        if let Err(error) = &committed {
            trace::fail(&mut span, error);
        }
        committed
    }

    async fn make_durable(&mut self, pending: Pending) -> Result<(), TaskError> {
        self.progress.begin(Step::Commit);
        let records = pending.records;
        let commit = pending.into_commit();
        let started = Instant::now();
        let mut backoff = Backoff::new(FIRST_DELAY, Duration::from_secs(2));
        loop {
            match self.session.commit(commit.clone()).await {
                Ok(()) => break,
                Err(error) if error.kind == BrokerErrorKind::Retriable && started.elapsed() < COMMIT_PATIENCE => {
                    if backoff.tries() == 0 {
                        warn!(connector = %self.plan.connector, task = self.plan.task, %error, "commit did not go through, it is tried again");
                    }
                    self.progress.set_waiting(Some(error.to_string()));
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if backoff.tries() > 0 {
            self.progress.set_waiting(None);
        }
        self.progress.add_commit(started.elapsed());
        self.passed += records;
        // The transaction that failed held no more than this: what broke it has passed, or was not a record.
        if self.careful && self.passed >= self.plan.pace.commit_records {
            self.careful = false;
        }
        debug!(connector = %self.plan.connector, task = self.plan.task, records, took = ?started.elapsed(), "committed");
        Ok(())
    }

    /// Ends the session as the task ended. What is not committed is undone.
    pub(super) async fn close(self, end: &TaskEnd) {
        let mut session = self.session;
        if !matches!(end, TaskEnd::Stopped | TaskEnd::Completed | TaskEnd::Fenced(_))
            && let Err(error) = session.abort().await
        {
            debug!(%error, "abort at the end of a task");
        }
        if let Err(error) = session.close().await {
            warn!(connector = %self.plan.connector, task = self.plan.task, %error, "the session did not close cleanly");
        }
    }

    /// Begins to try something again, for as long as the budget says; without one, for ever.
    pub(super) fn hold(&self, budget: Option<Duration>) -> Hold {
        Hold { backoff: Backoff::new(FIRST_DELAY, self.plan.errors.retry_delay_max), started: Instant::now(), budget }
    }

    /// Waits before the next try. What is complete is committed first: no transaction stays open meanwhile.
    pub(super) async fn wait(&mut self, hold: &mut Hold, why: &str, at_least: Duration) -> Result<Waited, TaskError> {
        if hold.budget.is_some_and(|budget| hold.started.elapsed() >= budget) {
            return Ok(Waited::OutOfBudget);
        }
        self.commit().await?;
        if self.stopping().is_some() {
            return Err(TaskError::Interrupted);
        }
        if hold.backoff.tries() == 0 {
            warn!(connector = %self.plan.connector, task = self.plan.task, why, "waiting to try again");
        }
        self.progress.set_waiting(Some(why.to_owned()));
        let delay = hold.backoff.next_delay().max(at_least);
        let stood_by = self.stand_by(delay).await;
        self.progress.set_waiting(None);
        stood_by?;
        if self.stopping().is_some() { Err(TaskError::Interrupted) } else { Ok(Waited::TryAgain) }
    }
}

impl Context {
    /// Waits, but no longer than until the task is told to end, and answers its group meanwhile: partitions that go are let
    /// go. Those that something is still to be committed of cannot be: then the task has to begin again.
    async fn stand_by(&mut self, pause: Duration) -> Result<(), TaskError> {
        if self.plan.input.is_none() {
            self.pause(pause).await;
            return Ok(());
        }
        if !self.leaving.is_empty() {
            return Err(TaskError::Moved(self.leaving.clone()));
        }
        let until = Instant::now() + pause;
        loop {
            let slice = until.saturating_duration_since(Instant::now()).min(STAND_BY);
            if slice.is_zero() || self.stopping().is_some() {
                return Ok(());
            }
            match self.session.stand_by(slice).await {
                Ok(Consumed::Lost(partitions)) => return Err(TaskError::Moved(partitions)),
                Ok(Consumed::Revoked(partitions)) => {
                    let in_hand = self.in_hand.as_ref().is_some_and(|in_hand| partitions.contains(in_hand));
                    if in_hand || self.is_dirty() {
                        return Err(TaskError::Moved(partitions));
                    }
                    self.session.release(partitions.clone()).await?;
                    self.let_go.extend(partitions);
                }
                Ok(_) => {}
                Err(error) if error.kind == BrokerErrorKind::Retriable => self.pause(slice).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The partitions that were let go while the task waited.
    pub(super) fn let_go(&self) -> &[TopicPartition] {
        &self.let_go
    }

    /// The same, once the task is done with what it had in hand.
    pub(super) fn take_let_go(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.let_go)
    }
}

/// The tries of one thing.
pub(super) struct Hold {
    backoff: Backoff,
    started: Instant,
    budget: Option<Duration>,
}

/// What to do after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// Try again.
    TryAgain,
    /// The budget is used up.
    OutOfBudget,
}
