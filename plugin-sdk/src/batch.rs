//! What a call gives back: new records, and what became of the old ones.

use std::collections::BTreeMap;

use sandbar_abi::frame::RecordBuilder;
use sandbar_abi::{Disposition, FrameBuilder};

use crate::{InputRecord, PollLimits};

/// The topics and partitions a frame names, each once.
#[derive(Debug, Default)]
struct Places {
    indexes: BTreeMap<(Option<String>, Option<i32>), u32>,
}

impl Places {
    fn index(&mut self, frame: &mut FrameBuilder, topic: Option<&str>, partition: Option<i32>) -> u32 {
        *self
            .indexes
            .entry((topic.map(str::to_owned), partition))
            .or_insert_with(|| frame.topic_partition(topic, partition))
    }
}

/// What a source returns from one poll.
#[derive(Debug, Default)]
pub struct SourceBatch {
    pub(crate) frame: FrameBuilder,
    places: Places,
    limits: Option<PollLimits>,
    ended: bool,
}

impl SourceBatch {
    pub(crate) fn begin(&mut self, limits: PollLimits) {
        self.frame.clear();
        self.places.indexes.clear();
        self.limits = Some(limits);
        self.ended = false;
    }

    /// Appends a record for the connector's own topic; more can be set on what this returns.
    pub fn record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> NewRecord<'_> {
        NewRecord(self.frame.record(key, value))
    }

    /// Appends a record for a topic, and a partition if one is given.
    pub fn record_to(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> NewRecord<'_> {
        let place = self.places.index(&mut self.frame, Some(topic), partition);
        let mut record = self.frame.record(key, value);
        record.topic_partition(place);
        NewRecord(record)
    }

    /// Whether the limits of this poll are reached: return then, the rest comes with the next call.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.limits.is_some_and(|l| self.frame.len() >= l.records || self.frame.heap_len() >= l.bytes)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frame.is_empty()
    }

    /// There will never be more: the task commits what there is and completes.
    pub fn end_of_data(&mut self) {
        self.ended = true;
        self.frame.set_end_of_data();
    }

    pub(crate) fn has_news(&self) -> bool {
        self.ended || !self.frame.is_empty()
    }
}

/// A record just appended.
#[derive(Debug)]
pub struct NewRecord<'a>(RecordBuilder<'a>);

impl NewRecord<'_> {
    /// Milliseconds since the epoch; without it the record gets the time of writing.
    pub fn timestamp(&mut self, millis: i64) -> &mut Self {
        self.0.timestamp(millis);
        self
    }

    /// Appends a header.
    pub fn header(&mut self, name: &str, value: Option<&[u8]>) -> &mut Self {
        self.0.header(name, value);
        self
    }
}

/// What a transform returns from one call.
#[derive(Debug, Default)]
pub struct TransformBatch {
    pub(crate) frame: FrameBuilder,
    places: Places,
    outcomes: Outcomes,
}

impl TransformBatch {
    pub(crate) fn begin(&mut self) {
        self.frame.clear();
        self.places.indexes.clear();
        self.outcomes.clear();
    }

    /// Emits a record made from an input record, to the connector's topic. It keeps the input's timestamp and none of
    /// its headers; more can be set on what this returns.
    pub fn emit(&mut self, from: &InputRecord<'_>, key: Option<&[u8]>, value: Option<&[u8]>) -> NewRecord<'_> {
        NewRecord(emit(&mut self.frame, from, key, value))
    }

    /// Emits a record made from an input record, to a topic, and a partition if one is given.
    pub fn emit_to(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        from: &InputRecord<'_>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> NewRecord<'_> {
        let place = self.places.index(&mut self.frame, Some(topic), partition);
        let mut record = emit(&mut self.frame, from, key, value);
        record.topic_partition(place);
        NewRecord(record)
    }

    /// Emits an input record with another value; its key, timestamp and headers stay.
    pub fn with_value(&mut self, from: &InputRecord<'_>, value: Option<&[u8]>) -> NewRecord<'_> {
        let mut record = emit(&mut self.frame, from, from.key, value);
        for (name, value) in from.headers {
            record.header(name, value);
        }
        NewRecord(record)
    }

    /// Emits an input record as it is, with its headers.
    pub fn pass(&mut self, from: &InputRecord<'_>) {
        #[allow(clippy::cast_possible_truncation)] // a frame holds fewer than 2^32 records
        self.frame.copy(from, None, Some(from.index() as u32));
    }

    /// This record can never be transformed: it goes to the dead letter queue with the message. Nothing may have been
    /// emitted from it.
    pub fn fail(&mut self, record: &InputRecord<'_>, message: impl Into<String>) {
        self.outcomes.set(record.index(), Disposition::Failed, Some(message.into()));
    }

    /// Nothing comes of this record; the same as emitting nothing.
    pub fn filter(&mut self, record: &InputRecord<'_>) {
        self.outcomes.set(record.index(), Disposition::Filtered, None);
    }

    /// This record and all after it shall come again later.
    pub fn retry_from(&mut self, record: &InputRecord<'_>, message: impl Into<String>) {
        self.outcomes.stop_at(record.index(), Stop::Retry(message.into()));
    }

    pub(crate) fn finish(&mut self, inputs: usize) {
        self.outcomes.finish(&mut self.frame, inputs);
    }
}

fn emit<'f>(
    frame: &'f mut FrameBuilder,
    from: &InputRecord<'_>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> RecordBuilder<'f> {
    let mut record = frame.record(key, value);
    if let Some(timestamp) = from.timestamp {
        record.timestamp(timestamp);
    }
    #[allow(clippy::cast_possible_truncation)] // a frame holds fewer than 2^32 records
    record.input(from.index() as u32);
    record
}

/// What a sink says of the records of one call. What it does not mention went well.
#[derive(Debug, Default)]
pub struct SinkResults {
    pub(crate) frame: FrameBuilder,
    outcomes: Outcomes,
}

impl SinkResults {
    pub(crate) fn begin(&mut self) {
        self.frame.clear();
        self.outcomes.clear();
    }

    /// This record can never be written: it goes to the dead letter queue with the message.
    pub fn fail(&mut self, record: &InputRecord<'_>, message: impl Into<String>) {
        self.outcomes.set(record.index(), Disposition::Failed, Some(message.into()));
    }

    /// This record was left out on purpose.
    pub fn filter(&mut self, record: &InputRecord<'_>) {
        self.outcomes.set(record.index(), Disposition::Filtered, None);
    }

    /// This record and all after it shall come again later.
    pub fn retry_from(&mut self, record: &InputRecord<'_>, message: impl Into<String>) {
        self.outcomes.stop_at(record.index(), Stop::Retry(message.into()));
    }

    /// The call has taken long enough: this record and all after it shall come with the next one, at once. Say it of the
    /// first record of a call and the host waits all the same.
    pub fn continue_from(&mut self, record: &InputRecord<'_>) {
        self.outcomes.stop_at(record.index(), Stop::Continue);
    }

    pub(crate) fn finish(&mut self, inputs: usize) {
        self.outcomes.finish(&mut self.frame, inputs);
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.outcomes.is_empty()
    }
}

/// The dispositions other than ok, by input index.
#[derive(Debug, Default)]
struct Outcomes {
    said: BTreeMap<usize, (Disposition, Option<String>)>,
    /// The first record that is not resolved, and why.
    stop: Option<(usize, Stop)>,
}

/// Why records are not resolved.
#[derive(Debug)]
enum Stop {
    /// They are to be tried again later.
    Retry(String),
    /// They were not looked at, and can be at once.
    Continue,
}

impl Outcomes {
    fn clear(&mut self) {
        self.said.clear();
        self.stop = None;
    }

    fn is_empty(&self) -> bool {
        self.said.is_empty() && self.stop.is_none()
    }

    fn set(&mut self, index: usize, disposition: Disposition, message: Option<String>) {
        self.said.insert(index, (disposition, message));
    }

    fn stop_at(&mut self, index: usize, stop: Stop) {
        if self.stop.as_ref().is_none_or(|(first, _)| index < *first) {
            self.stop = Some((index, stop));
        }
    }

    /// Writes one result an input, or the flag that says there is nothing to tell.
    fn finish(&self, frame: &mut FrameBuilder, inputs: usize) {
        if self.is_empty() {
            frame.set_all_ok();
            return;
        }
        for index in 0..inputs {
            let (disposition, message) = match (&self.stop, self.said.get(&index)) {
                (Some((first, Stop::Retry(message))), _) if index == *first => {
                    (Disposition::Retry, Some(message.as_str()))
                }
                (Some((first, _)), _) if index >= *first => (Disposition::NotAttempted, None),
                (_, Some((disposition, message))) => (*disposition, message.as_deref()),
                (_, None) => (Disposition::Ok, None),
            };
            #[allow(clippy::cast_possible_truncation)] // a frame holds fewer than 2^32 records
            frame.result(index as u32, disposition, message);
        }
    }
}
