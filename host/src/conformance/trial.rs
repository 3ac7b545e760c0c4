//! One case on the way: opens instances, makes calls as tasks do, and holds each answer against the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbar_abi::manifest::Kind;
use sandbar_abi::message::{AssignedPartition, Open};
use sandbar_abi::names::ABI_MINOR;
use sandbar_abi::status::CloseReason;
use sandbar_abi::{Disposition, FrameError};

use super::cases::Case;
use super::records::Feed;
use super::report::{Finding, Growth};
use super::{PARTITION, Subject, TOPIC};
use crate::batch::Batch;
use crate::broker::{StatePlace, TopicPartition};
use crate::sandbox::{
    CallError, CallErrorKind, Identity, Instance, Ledger, LogQuota, NO_MESSAGE, OpenSpec, Outcomes, PollReply,
};

/// How many ways of breaking a rule are told: more add nothing.
const MAX_FINDINGS: usize = 10;
/// What polls are told of how long they may take.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);
/// What the host says of a pointer that a host function was given and that is none.
const OUTSIDE: &str = "does not lie in the guest's memory";

/// What a step of a case comes to.
pub(super) type Step<T = ()> = Result<T, Stop>;

/// Why a case ends before its last step.
#[derive(Debug)]
pub(super) enum Stop {
    /// A rule was broken, which has been noted.
    Broken,
    /// The plugin cannot go on, and said so as it should.
    Refused(String),
    /// It cannot be tried.
    Skip(String),
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Skip(format!("the records do not fit a frame: {error}"))
    }
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) findings: BTreeMap<u16, Vec<Finding>>,
    pub(super) kept: BTreeSet<u16>,
    pub(super) skipped: BTreeMap<u16, String>,
    pub(super) growth: Vec<Growth>,
    /// The shortest time of a poll, where polls take long only because they wait for answers to their requests.
    pub(super) waits: Option<Duration>,
}

/// What became of the records of a call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcomes: Outcomes,
    pub(super) output: Option<Batch>,
}

impl Answer {
    /// How many records of the batch it answers came to this.
    pub(super) fn count(&self, wanted: Disposition, batch: &Batch) -> usize {
        match &self.outcomes {
            Outcomes::AllOk if wanted == Disposition::Ok => batch.len(),
            Outcomes::AllOk => 0,
            Outcomes::Each(each) => each.iter().filter(|outcome| outcome.disposition == wanted).count(),
        }
    }

    /// How many were taken: what comes to a dead letter, or has to come again, was not.
    pub(super) fn taken(&self, batch: &Batch) -> usize {
        self.count(Disposition::Ok, batch) + self.count(Disposition::Filtered, batch)
    }
}

/// The rule a case is about at a point where it would go well but for that rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// None: what goes wrong speaks for itself.
    Nothing,
    /// This, if a call breaks; it may be refused.
    Breaks(u16),
    /// This, if a call does anything but succeed.
    All(u16),
}

/// A case on the way.
pub(super) struct Trial<'a> {
    pub(super) subject: &'a Subject,
    pub(super) feed: &'a mut Feed,
    pub(super) notes: &'a mut Notes,
    pub(super) case: Case,
    /// The rule that is broken by what goes wrong now, whatever else it may be.
    pub(super) blame: Blame,
    /// The instance refused a call and is still there.
    pub(super) has_refused: bool,
    /// An instance was opened.
    pub(super) has_opened: bool,
}

impl Trial<'_> {
    pub(super) fn kind(&self) -> Kind {
        self.subject.kind
    }

    /// A rule was tried, and is kept so far.
    pub(super) fn kept(&mut self, rule: u16) {
        self.notes.kept.insert(rule);
    }

    /// A rule is broken.
    pub(super) fn broken(&mut self, rule: u16, seen: impl Into<String>) -> Stop {
        let finding = Finding { case: Some(self.case.name()), kind: Some(self.kind()), seen: seen.into() };
        let findings = self.notes.findings.entry(rule).or_default();
        if findings.len() < MAX_FINDINGS && !findings.contains(&finding) {
            findings.push(finding);
        }
        Stop::Broken
    }

    /// Leaves out what takes many polls, where each is known to take long.
    pub(super) fn unless_polls_take_long(&self) -> Step {
        let why = match self.notes.waits {
            _ if self.notes.findings.contains_key(&16) => "polls sleep (R16)".to_owned(),
            Some(took) => format!("polls that wait for answers to requests took {} ms or more", took.as_millis()),
            None => return Ok(()),
        };
        Err(Stop::Skip(format!("{why}, so many of them would take too long")))
    }

    /// Opens a fresh instance, as a task does, with nothing committed.
    pub(super) async fn open(&mut self) -> Step<Instance> {
        let ledger = self.ledger();
        self.open_from(ledger, |_| {}).await
    }

    /// The ledger of a task that has committed nothing.
    pub(super) fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new("", self.subject.limits.state_max_bytes);
        ledger.load_state(self.place(), Vec::new());
        ledger
    }

    /// Opens a fresh instance from what is committed, with a changed message.
    pub(super) async fn open_from(&mut self, ledger: Ledger, change: impl FnOnce(&mut Open)) -> Step<Instance> {
        let subject = self.subject;
        let mut open = Open {
            config: subject.config.clone(),
            kind: subject.kind,
            connector: subject.connector.clone(),
            task: 0,
            tasks: 1,
            abi_minor: ABI_MINOR,
            features: Vec::new(),
        };
        change(&mut open);
        let identity = Identity {
            plugin: subject.plugin.clone(),
            version: subject.version.clone(),
            connector: subject.connector.clone(),
            task: 0,
        };
        let spec = OpenSpec {
            identity: Arc::new(identity),
            open,
            limits: subject.limits.clone(),
            grants: subject.grants.clone(),
            log: LogQuota::new(Instant::now()),
            meter: Arc::default(),
        };
        self.has_refused = false;
        let opened = Instance::open(&subject.compiled, &spec, ledger).await;
        let mut instance = match opened {
            Ok(instance) => instance,
            Err((error, _)) => return Err(self.failed(&error)),
        };
        self.succeeded();
        self.offsets(&instance);
        if self.kind() == Kind::Sink {
            let partition = AssignedPartition { topic: TOPIC.to_owned(), partition: PARTITION, offset: None };
            let assigned = instance.assigned(vec![partition]).await;
            self.judge(&instance, assigned)?;
        }
        self.has_opened = true;
        Ok(instance)
    }

    /// Passes records on, as whatever the plugin is.
    pub(super) async fn put(&mut self, instance: &mut Instance, batch: &Batch) -> Step<Option<Answer>> {
        let result = match self.kind() {
            Kind::Sink => instance.write(batch).await.map(|outcomes| Answer { outcomes, output: None }),
            Kind::Transform => {
                let reply = instance.transform(batch, self.place()).await;
                reply.map(|reply| Answer { outcomes: reply.outcomes, output: reply.output })
            }
            Kind::Source => return Err(Stop::Skip("a source is given no records".to_owned())),
        };
        let answer = self.judge(instance, result)?;
        if let Some(answer) = &answer {
            self.framed(instance);
            if !batch.is_empty() {
                [51, 52].into_iter().for_each(|rule| self.kept(rule));
            }
            match self.kind() {
                Kind::Sink => self.kept(19),
                _ if answer.output.is_some() => self.kept(22),
                _ => {}
            }
        }
        Ok(answer)
    }

    /// Asks for records.
    pub(super) async fn poll(
        &mut self,
        instance: &mut Instance,
        records: usize,
        bytes: usize,
    ) -> Step<Option<PollReply>> {
        let result = instance.poll(records, bytes, POLL_TIMEOUT).await;
        let reply = self.judge(instance, result)?;
        if reply.is_some() {
            self.framed(instance);
        }
        if reply.as_ref().is_some_and(|reply| reply.output.is_some()) {
            self.kept(74);
        }
        Ok(reply)
    }

    /// Some work, whatever the plugin is.
    pub(super) async fn work(&mut self, instance: &mut Instance) -> Step {
        if self.kind() == Kind::Source {
            self.poll(instance, 10, 1 << 20).await?;
            return Ok(());
        }
        let batch = self.feed.ordinary(5)?;
        self.put(instance, &batch).await.map(drop)
    }

    /// Some work that must succeed: what comes after it is held against what comes of it. Records of which none is resolved
    /// are refused, whether by an error class or one by one.
    pub(super) async fn sure(&mut self, instance: &mut Instance) -> Step {
        let had_refused = std::mem::take(&mut self.has_refused);
        let is_put_off = match self.kind() {
            Kind::Source => {
                self.work(instance).await?;
                false
            }
            Kind::Sink | Kind::Transform => {
                let batch = self.feed.ordinary(5)?;
                let answer = self.put(instance, &batch).await?;
                answer.is_some_and(|answer| answer.outcomes.resolved(batch.len()) == 0)
            }
        };
        let refuses = std::mem::replace(&mut self.has_refused, had_refused) || is_put_off;
        if refuses { Err(Stop::Refused("ordinary records are refused".to_owned())) } else { Ok(()) }
    }

    /// Ends an instance in good order.
    pub(super) async fn end(&mut self, mut instance: Instance) -> Step {
        if self.kind() == Kind::Sink {
            let flushed = instance.flush().await;
            self.judge(&instance, flushed)?;
        }
        let closed = instance.close(CloseReason::Stop).await;
        match self.judge(&instance, closed) {
            // An error at the end is logged and changes nothing.
            Err(Stop::Refused(_)) => Ok(()),
            other => other.map(drop),
        }
    }

    /// What a call came to: its result, or nothing where it was refused and the instance is still good.
    pub(super) fn judge<T>(&mut self, instance: &Instance, result: Result<T, CallError>) -> Step<Option<T>> {
        self.offsets(instance);
        match result {
            Ok(value) => {
                self.succeeded();
                Ok(Some(value))
            }
            Err(error) if error.kind.spares_instance() || has_no_room(&error) => {
                self.failed(&error);
                self.has_refused = true;
                Ok(None)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn succeeded(&mut self) {
        [30, 70, 73].into_iter().for_each(|rule| self.kept(rule));
        if self.has_refused {
            self.kept(28);
        }
    }

    /// Whether what is no source left source offsets alone.
    fn offsets(&mut self, instance: &Instance) {
        let kind = self.kind();
        if kind == Kind::Source {
            return;
        }
        self.kept(33);
        if instance.last_call().put_offset {
            self.broken(33, format!("it called offset_put, opened as a {}", kind.name()));
        }
    }

    /// The last call returned records: whatever holds of frames held of this one.
    fn framed(&mut self, instance: &Instance) {
        if instance.last_call().returned.is_some_and(|returned| returned > 0) {
            [26, 27, 38, 39, 40, 41, 42, 43, 45, 47, 48, 49, 50].into_iter().for_each(|rule| self.kept(rule));
        }
    }

    /// What a failed call means. An error class is no fault, if it is given as it should be.
    fn failed(&mut self, error: &CallError) -> Stop {
        let seen = format!("{}: {}", error.call, error.kind);
        let rule = match &error.kind {
            // A leak ends here where memory is short.
            CallErrorKind::OutOfMemory { .. } if self.case == Case::Growth && !has_no_room(error) => 71,
            CallErrorKind::Retryable(message)
            | CallErrorKind::Fatal(message)
            | CallErrorKind::Throttled { message, .. } => return self.refused(seen, message),
            // The kit keeps to the contract, so it was the plugin that did not.
            CallErrorKind::Contract(_) => 73,
            CallErrorKind::Frame(error) => error.rule(),
            CallErrorKind::Broken(violation) => violation.rule(),
            CallErrorKind::Start(_) => 11,
            CallErrorKind::OutOfMemory { .. } if has_no_room(error) => return Stop::Refused(seen),
            CallErrorKind::Trap(message) if message.contains(OUTSIDE) => 30,
            _ if error.call == "_initialize" => 11,
            _ if error.call == "reserve" => 13,
            _ => 70,
        };
        let rule = match self.blame {
            Blame::Breaks(rule) | Blame::All(rule) => rule,
            Blame::Nothing => rule,
        };
        self.broken(rule, seen)
    }

    fn refused(&mut self, seen: String, message: &str) -> Stop {
        self.kept(29);
        if message.trim().is_empty() || message == NO_MESSAGE {
            return self.broken(29, seen);
        }
        match self.blame {
            Blame::All(rule) => self.broken(rule, seen),
            Blame::Breaks(_) | Blame::Nothing => Stop::Refused(seen),
        }
    }

    /// What the state of a transform's records moves with.
    fn place(&self) -> StatePlace {
        match self.kind() {
            Kind::Transform => StatePlace::Partition(TopicPartition::new(TOPIC, PARTITION)),
            Kind::Source | Kind::Sink => StatePlace::Task,
        }
    }
}

/// Whether it has no input buffer that large, and said so as it may. A trap has a trace.
fn has_no_room(error: &CallError) -> bool {
    let is_memory = matches!(error.kind, CallErrorKind::OutOfMemory { .. });
    is_memory && error.call == "reserve" && error.trace.is_none()
}
