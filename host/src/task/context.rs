//! What the three pumps share: the session, what waits to be committed, and how failures of records are dealt with.

use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::Frame;
use sandbar_abi::manifest::Kind;
use sandbar_abi::status::CloseReason;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::activity::Step;
use super::backoff::Backoff;
use super::dead_letter::{self, Failure};
use super::pending::Pending;
use super::plan::Plan;
use super::progress::Progress;
use super::stage::Stage;
use super::trace::{self, Trace};
use super::{TaskEnd, TaskError};
use crate::batch::Batch;
use crate::broker::{Broker, BrokerErrorKind, Consumed, Output, Session, SessionSpec, TopicPartition};

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

    /// Hands records to the open transaction. Those the broker will never take are failures.
    pub(super) async fn stage(&mut self, batch: Batch, input: &Batch) -> Result<(), TaskError> {
        let mut span = self.trace.send(batch.len());
        let staged = self.hand_over(batch, input).await;
        if let Err(error) = &staged {
            trace::fail(&mut span, error);
        }
        staged
    }

    async fn hand_over(&mut self, mut batch: Batch, input: &Batch) -> Result<(), TaskError> {
        let Some(topic) = self.plan.output_topic.clone() else { return Ok(()) };
        // Where the records that are left stood in the batch as it was given.
        let mut places: Vec<usize> = (0..batch.len()).collect();
        self.progress.begin(Step::Stage);
        loop {
            let output = Output { topic: Arc::clone(&topic), batch: batch.clone() };
            match self.session.stage(output).await {
                Ok(()) => break,
                Err(error) => {
                    let BrokerErrorKind::Rejected { record } = error.kind else { return Err(error.into()) };
                    let root = batch.frame().record(record).and_then(|r| r.input);
                    let place = places.get(record).copied().unwrap_or(record);
                    let failure = Failure {
                        input: root.map_or(place, |root| root as usize),
                        stage: "KAFKA_PRODUCE",
                        plugin: self.plan.plugin.plugin.clone(),
                        class: "sandbar.RecordRejected",
                        message: error.to_string(),
                    };
                    self.fail(input, vec![failure]).await?;
                    // All that comes of one record is delivered, or nothing.
                    let roots: Vec<_> = batch.frame().records().map(|r| r.input).collect();
                    let kept = |i: usize| i != record && (root.is_none() || roots.get(i) != Some(&root));
                    batch = batch.filter(kept)?;
                    places = places.into_iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, place)| place).collect();
                }
            }
            if batch.is_empty() {
                return Ok(());
            }
        }
        self.progress.add_out(batch.len());
        self.progress.gave(&topic, &batch);
        self.open_part().staged(batch.len(), batch.bytes().len());
        Ok(())
    }

    /// Deals with records that failed: to the dead letter queue, or dropped, or the end of the task.
    pub(super) async fn fail(&mut self, input: &Batch, failures: Vec<Failure>) -> Result<(), TaskError> {
        let Some(first) = failures.first() else { return Ok(()) };
        let frame = input.frame();
        if self.plan.errors.log {
            for failure in &failures {
                let place = self.plan.errors.log_messages.then(|| place(&frame, failure.input));
                warn!(connector = %self.plan.connector, task = self.plan.task, stage = failure.stage, record = place, error = %failure.message, "record failed");
            }
        }
        if !self.plan.errors.tolerate {
            let more = if failures.len() > 1 { format!(" (and {} more)", failures.len() - 1) } else { String::new() };
            return Err(TaskError::Record(format!(
                "record {}: {}{more}; errors.tolerance is none",
                place(&frame, first.input),
                first.message
            )));
        }
        let queue = self.plan.errors.dead_letters.clone();
        for failure in &failures {
            let topic = queue.as_ref().map(|queue| &*queue.topic);
            self.trace.set_aside(topic, || place(&frame, failure.input), failure);
        }
        let Some(queue) = queue else {
            failures.iter().for_each(|_| self.progress.add_dropped());
            return Ok(());
        };
        let outputs = dead_letter::outputs(&self.plan, &queue, &frame, &failures)?;
        failures.iter().for_each(|_| self.progress.add_dead_letter());
        let parks = self.parks();
        let open = self.open_part();
        open.staged(failures.len(), 0);
        if parks {
            open.park(outputs);
            return Ok(());
        }
        for output in outputs {
            self.bury(output).await?;
        }
        Ok(())
    }

    /// Hands dead letters to the open transaction. The headers that say why may make one larger than the broker takes:
    /// then it goes without them, and where that does not help it is dropped. It must not hold up what comes after it.
    async fn bury(&mut self, mut letters: Output) -> Result<(), TaskError> {
        while !letters.batch.is_empty() {
            let Err(error) = self.session.stage(letters.clone()).await else { return Ok(()) };
            let BrokerErrorKind::Rejected { record } = error.kind else { return Err(error.into()) };
            let (connector, task) = (&self.plan.connector, self.plan.task);
            if let Some(bare) = dead_letter::without_headers(&letters.batch, record)? {
                warn!(connector = %connector, task, %error, "a dead letter goes without the headers that say why");
                letters.batch = bare;
            } else {
                error!(connector = %connector, task, %error, "a dead letter is dropped");
                self.progress.add_dropped();
                letters.batch = letters.batch.filter(|index| index != record)?;
            }
        }
        Ok(())
    }

    /// A sink's work waits for its flush.
    fn parks(&self) -> bool {
        self.plan.role == Kind::Sink
    }

    fn open_part(&mut self) -> &mut Pending {
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

/// Where a record is, for people.
fn place(frame: &Frame<'_>, index: usize) -> String {
    let Some(record) = frame.record(index) else { return format!("#{index}") };
    let topic = record.topic_partition.and_then(|tp| tp.topic).unwrap_or("(from the source)");
    match (record.topic_partition.and_then(|tp| tp.partition), record.offset) {
        (Some(partition), Some(offset)) => format!("{topic}-{partition}@{offset}"),
        _ => format!("{topic} #{index} of its batch"),
    }
}
