//! The spans of a task: one for each batch, within it one for each call of a plugin and for what was sent, and one for each
//! commit. Their names and attributes are those of OpenTelemetry's conventions for messaging.

use std::sync::Arc;
use std::time::SystemTime;

use sandbar_abi::manifest::Kind;

use super::TaskError;
use super::carry::{self, Origins};
use super::dead_letter::Failure;
use super::plan::Plan;
use super::stage::Stage;
use crate::batch::Batch;
use crate::broker::{BrokerErrorKind, PartitionBatch};
use crate::sandbox::CallError;
use crate::telemetry::{Beginning, Span, SpanKind, TraceContext, Tracer, short};

/// See the module. Where the task's tracer is off it does nothing.
pub(super) struct Trace {
    plan: Arc<Plan>,
    /// The batch in hand, recorded or not.
    batch: Option<Span>,
    /// The batches that were dealt with since the last commit, no more than a span may link to.
    uncommitted: Vec<TraceContext>,
}

/// A call of a plugin that was begun: when, and how much fuel was used before.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    since: Option<SystemTime>,
    fuel: u64,
}

impl Trace {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        Self { plan: Arc::clone(plan), batch: None, uncommitted: Vec::new() }
    }

    fn tracer(&self) -> &Tracer {
        &self.plan.tracer
    }

    /// A batch was consumed.
    pub(super) fn consumed(&mut self, batch: &PartitionBatch) {
        if !self.tracer().is_on() {
            return;
        }
        let Origins { contexts, only } = carry::origins(&batch.batch);
        let beginning = Beginning { kind: SpanKind::Consumer, parent: only, links: &contexts, since: None };
        let topic = &batch.partition.topic;
        let mut span = self.tracer().begin(|| format!("process {topic}"), beginning);
        if span.is_recorded() {
            self.describe(&mut span, "process", "process");
            span.set("messaging.destination.name", topic.to_string());
            span.set("messaging.destination.partition.id", batch.partition.partition.to_string());
            span.set("messaging.batch.message_count", count(batch.batch.len()));
        }
        self.batch = Some(span);
    }

    /// A source gave records, by a call that was begun then. Returns them with the header that says so, where there is none.
    pub(super) fn polled(&mut self, begun: Begun, source: &Stage, records: Batch) -> Batch {
        if !self.tracer().is_on() {
            return records;
        }
        // Records may come of spans elsewhere, where the source's system has the header.
        let mut span = self.poll(begun, &carry::origins(&records).contexts);
        span.set("messaging.batch.message_count", count(records.len()));
        self.batch = Some(span);
        self.called(begun, source, "poll", Ok(&()));
        match self.batch.as_ref().and_then(Span::context) {
            Some(context) => carry::mark(records, &context),
            None => records,
        }
    }

    /// A source gave an error.
    pub(super) fn poll_failed(&mut self, begun: Begun, source: &Stage, error: &CallError) {
        if self.tracer().is_on() {
            let mut span = self.poll(begun, &[]);
            span.fail(error.kind.class_name(), error);
            self.batch = Some(span);
            self.called(begun, source, "poll", Err::<&(), _>(error));
            self.batch = None;
        }
    }

    fn poll(&self, begun: Begun, links: &[TraceContext]) -> Span {
        let beginning = Beginning { kind: SpanKind::Producer, parent: None, links, since: begun.since };
        let topic = self.output_topic();
        let mut span = self.tracer().begin(|| format!("poll {topic}"), beginning);
        if span.is_recorded() {
            self.describe(&mut span, "create", "poll");
            span.set("messaging.destination.name", topic.to_owned());
        }
        span
    }

    /// The batch in hand was dealt with, or not.
    pub(super) fn done(&mut self, end: Result<&(), &TaskError>) {
        let Some(mut span) = self.batch.take() else { return };
        if let Err(error) = end {
            fail(&mut span, error);
        }
        if let Some(context) = span.context()
            && self.uncommitted.len() < Tracer::MAX_LINKS
        {
            self.uncommitted.push(context);
        }
    }

    /// A call of a plugin begins.
    pub(super) fn call(&self, stage: &Stage) -> Begun {
        match self.tracer().now() {
            None => Begun { since: None, fuel: 0 },
            since => Begun { since, fuel: stage.fuel() },
        }
    }

    /// It has ended.
    pub(super) fn called<T>(&self, begun: Begun, stage: &Stage, call: &'static str, end: Result<&T, &CallError>) {
        let mut span = self.part(SpanKind::Internal, begun.since, || format!("{} {call}", stage.plugin()));
        if span.is_recorded() {
            span.set("sandbar.connector", self.plan.connector.clone());
            span.set("sandbar.task", i64::from(self.plan.task));
            span.set("sandbar.plugin", stage.plugin().to_owned());
            span.set("sandbar.plugin.version", stage.version().to_owned());
            if !stage.alias.is_empty() {
                span.set("sandbar.transform", stage.alias.to_string());
            }
            span.set("sandbar.fuel", i64::try_from(stage.fuel().saturating_sub(begun.fuel)).unwrap_or(i64::MAX));
        }
        if let Err(error) = end {
            span.fail(error.kind.class_name(), error);
        }
    }

    /// Records are sent.
    pub(super) fn send(&self, records: usize) -> Span {
        let topic = self.output_topic();
        let mut span = self.part(SpanKind::Producer, None, || format!("send {topic}"));
        if span.is_recorded() {
            self.describe(&mut span, "send", "send");
            span.set("messaging.destination.name", topic.to_owned());
            span.set("messaging.batch.message_count", count(records));
        }
        span
    }

    /// A commit begins.
    pub(super) fn commit(&mut self, records: usize) -> Span {
        let mut span = self.about_commit(SpanKind::Client, None, || "commit".to_owned());
        self.uncommitted.clear();
        if span.is_recorded() {
            self.describe(&mut span, "settle", "commit");
            span.set("messaging.batch.message_count", count(records));
        }
        span
    }

    /// A record failed, and was set aside: to a queue, or nowhere.
    pub(super) fn set_aside(&mut self, queue: Option<&str>, place: impl FnOnce() -> String, failure: &Failure) {
        if let Some(batch) = self.batch.as_mut().filter(|batch| batch.is_recorded()) {
            let attributes = [
                ("sandbar.record", place().into()),
                ("sandbar.dead_letter.topic", queue.unwrap_or_default().to_owned().into()),
                ("sandbar.stage", failure.stage.into()),
                ("sandbar.plugin", failure.plugin.clone().into()),
                ("exception.type", failure.class.into()),
                ("exception.message", short(&failure.message).into()),
            ];
            let name = if queue.is_some() { "record dead-lettered" } else { "record dropped" };
            batch.event(name, attributes);
        }
    }

    /// A part of the batch in hand; where there is none, something about those that wait for their commit.
    fn part(&self, kind: SpanKind, since: Option<SystemTime>, name: impl FnOnce() -> String) -> Span {
        match &self.batch {
            None => self.about_commit(kind, since, name),
            // What is a part of something that is not recorded is not, either.
            Some(batch) => match batch.context() {
                None => Span::default(),
                parent => self.tracer().begin(name, Beginning { kind, parent, links: &[], since }),
            },
        }
    }

    /// Something about all batches that are to be committed, the one in hand included. Where none is recorded it is not,
    /// either.
    fn about_commit(&self, kind: SpanKind, since: Option<SystemTime>, name: impl FnOnce() -> String) -> Span {
        let (parent, links) = match (self.batch.as_ref().and_then(Span::context), self.uncommitted.as_slice()) {
            (None, []) => return Span::default(),
            (None, [only]) => (Some(*only), &[][..]),
            (in_hand, waiting) => (in_hand, waiting),
        };
        self.tracer().begin(name, Beginning { kind, parent, links, since })
    }

    fn describe(&self, span: &mut Span, kind: &'static str, name: &'static str) {
        span.set("messaging.system", "kafka");
        span.set("messaging.operation.type", kind);
        span.set("messaging.operation.name", name);
        if let Some(input) = self.plan.input.as_ref().filter(|_| self.plan.role != Kind::Source) {
            span.set("messaging.consumer.group.name", input.group.clone());
        }
        span.set("sandbar.connector", self.plan.connector.clone());
        span.set("sandbar.task", i64::from(self.plan.task));
    }

    fn output_topic(&self) -> &str {
        self.plan.output_topic.as_deref().unwrap_or_default()
    }
}

/// Says how what a span is about ended. That a task was told to stop is no failure.
pub(super) fn fail(span: &mut Span, error: &TaskError) {
    let class = match error {
        TaskError::Interrupted | TaskError::Moved(_) => return,
        TaskError::Call(error) => error.kind.class_name(),
        TaskError::Record(_) => "sandbar.RecordFailed",
        TaskError::Batch(_) => "sandbar.Batch",
        TaskError::Broker(error) => match error.kind {
            BrokerErrorKind::Retriable => "sandbar.broker.Retriable",
            BrokerErrorKind::Abortable => "sandbar.broker.Abortable",
            BrokerErrorKind::Rebalanced => "sandbar.broker.Rebalanced",
            BrokerErrorKind::Fenced => "sandbar.broker.Fenced",
            BrokerErrorKind::Expired => "sandbar.broker.Expired",
            BrokerErrorKind::Rejected { .. } => "sandbar.broker.Rejected",
            BrokerErrorKind::Fatal => "sandbar.broker.Fatal",
        },
    };
    span.fail(class, error);
}

fn count(records: usize) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}
