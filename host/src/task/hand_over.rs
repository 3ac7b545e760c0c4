//! Hands records to the open transaction, and deals with those that fail: to the dead letter queue, or dropped, or the end of
//! the task.

use std::sync::Arc;

use sandbar_abi::Frame;
use sandbar_abi::manifest::Kind;
use tracing::{debug, error, warn};

use super::TaskError;
use super::activity::Step;
use super::carry::{self, Given};
use super::context::Context;
use super::dead_letter::{self, Failure};
use super::trace;
use crate::batch::Batch;
use crate::broker::{BrokerError, BrokerErrorKind, Output, OwnTopics, Session};
use crate::telemetry::TraceContext;

impl Context {
    /// Hands records to the open transaction. Those the broker will never take are failures.
    pub(super) async fn stage(&mut self, batch: Batch, input: &Batch) -> Result<(), TaskError> {
        let mut span = self.trace.send(batch.len());
        let staged = self.hand_over(batch, input, span.context()).await;
        if let Err(error) = &staged {
            trace::fail(&mut span, error);
        }
        staged
    }

    async fn hand_over(
        &mut self,
        mut batch: Batch,
        input: &Batch,
        span: Option<TraceContext>,
    ) -> Result<(), TaskError> {
        let Some(topic) = self.plan.output_topic.clone() else { return Ok(()) };
        // What was put on records to trace them: on those that come straight from a source the mark of their poll, on
        // what transforms made of records what these had.
        let given = if self.plan.role == Kind::Source && self.plan.transforms.is_empty() {
            span.map(Given::Poll)
        } else {
            self.plan.tracer.is_on().then_some(Given::Input(input))
        };
        // Where the records that are left stood in the batch as it was given.
        let mut places: Vec<usize> = (0..batch.len()).collect();
        self.progress.begin(Step::Stage);
        loop {
            let mut output = Output { topic: Arc::clone(&topic), batch };
            let staged = match stray(&self.plan.own_topics, &output.batch) {
                Some(refused) => Err(refused),
                None => stage_lighter(&mut *self.session, &mut output, given).await,
            };
            batch = output.batch;
            match staged {
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
    /// then it goes without them, next without those of its trace, which tracing may have put there, and where that
    /// does not help it is dropped. It must not hold up what comes after it.
    pub(super) async fn bury(&mut self, mut letters: Output) -> Result<(), TaskError> {
        while !letters.batch.is_empty() {
            let Err(error) = self.session.stage(letters.clone()).await else { return Ok(()) };
            let BrokerErrorKind::Rejected { record } = error.kind else { return Err(error.into()) };
            let (connector, task) = (&self.plan.connector, self.plan.task);
            if let Some(bare) = dead_letter::without_headers(&letters.batch, record)? {
                warn!(connector = %connector, task, %error, "a dead letter goes without the headers that say why");
                letters.batch = bare;
            } else if self.plan.tracer.is_on()
                && let Some(bare) = carry::without(&letters.batch, record, Given::Anywhere)
            {
                warn!(connector = %connector, task, %error, "a dead letter goes without the headers of its trace");
                letters.batch = bare;
            } else {
                error!(connector = %connector, task, %error, "a dead letter is dropped");
                self.progress.add_dropped();
                letters.batch = letters.batch.filter(|index| index != record)?;
            }
        }
        Ok(())
    }
}

/// Hands records to the open transaction. One that the broker will never take may be too large because of the headers
/// that it was given to trace it: it is tried once more without them, a trace is worth less than a record. What was
/// handed over last is in `output`.
async fn stage_lighter(
    session: &mut dyn Session,
    output: &mut Output,
    given: Option<Given<'_>>,
) -> Result<(), BrokerError> {
    loop {
        let Err(error) = session.stage(output.clone()).await else { return Ok(()) };
        let BrokerErrorKind::Rejected { record } = error.kind else { return Err(error) };
        let bare = given.and_then(|given| carry::without(&output.batch, record, given));
        let Some(bare) = bare else { return Err(error) };
        debug!(record, %error, "a record goes without the headers of its trace");
        output.batch = bare;
    }
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

/// Why a batch cannot be staged, where a record of it names a topic that no plugin may write to.
fn stray(own: &OwnTopics, batch: &Batch) -> Option<BrokerError> {
    let frame = batch.frame();
    let mut named = frame.records().map(|record| record.topic_partition.and_then(|place| place.topic)).enumerate();
    let (record, topic) =
        named.find_map(|(record, topic)| topic.filter(|topic| own.hold(topic)).map(|topic| (record, topic)))?;
    let why = format!("topic {topic} is a worker group's own: no plugin writes to it");
    Some(BrokerError::new(BrokerErrorKind::Rejected { record }, format!("stage record {record}"), why))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use sandbar_abi::FrameBuilder;

    use super::*;
    use crate::broker::local::{LocalBroker, LocalOptions};
    use crate::broker::{Broker as _, SessionSpec, TopicSettings};

    /// The largest record, in bytes: `traceparent` has 66 with its value.
    const LARGEST: usize = 100;

    /// Records whose values have so many bytes.
    fn batch(values: &[usize]) -> Batch {
        let mut frame = FrameBuilder::new();
        for len in values {
            let value = vec![b'v'; *len];
            frame.record(None, Some(value.as_slice()));
        }
        Batch::build(&frame).unwrap()
    }

    #[tokio::test]
    async fn a_record_that_the_mark_of_its_trace_makes_too_large_goes_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalOptions { max_message_bytes: LARGEST, ..LocalOptions::default() };
        let broker = LocalBroker::open_with(folder.path(), options).unwrap();
        let spec = SessionSpec {
            worker_group: "group".to_owned(),
            connector: "connector".to_owned(),
            task: 0,
            input: None,
            topic_settings: TopicSettings::default(),
            consumer_overrides: BTreeMap::new(),
            producer_overrides: BTreeMap::new(),
            transaction_timeout: Duration::from_secs(60),
        };
        let mut session = broker.session(spec).await.unwrap();
        let span = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let marked = |values: &[usize]| Output { topic: "t".into(), batch: carry::mark(batch(values), &span) };

        let mut output = marked(&[20, LARGEST, 50]);
        stage_lighter(&mut *session, &mut output, Some(Given::Poll(span))).await.unwrap();
        let headers: Vec<_> = output.batch.frame().records().map(|record| record.headers.len()).collect();
        assert_eq!(headers, [1, 0, 0]);

        // What is too large by itself is refused, and so is what is too large where nothing was put there.
        for (values, given) in [(&[20, LARGEST + 1], Some(Given::Poll(span))), (&[20, LARGEST], None)] {
            let refused = stage_lighter(&mut *session, &mut marked(values), given).await;
            assert_eq!(refused.map_err(|error| error.kind), Err(BrokerErrorKind::Rejected { record: 1 }));
        }
        session.close().await.unwrap();
    }
}
