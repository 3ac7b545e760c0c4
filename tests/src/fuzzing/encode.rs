//! The two writers against the one reader: what the SDK and the builder encode, the host decodes to the same records, or
//! refuses for a reason that the input gives.

use std::cell::RefCell;

use arbitrary::{Result, Unstructured};
use sandbar::batch::Batch;
use sandbar_abi::manifest::Kind;
use sandbar_abi::message::Open;
use sandbar_abi::{Disposition, FrameBuilder, Record};
use sandbar_plugin::guest::{Guest, Reply};
use sandbar_plugin::{NoConfig, NoSink, NoTransform, PollLimits, Source, SourceBatch, Task};

/// The most records of an input: enough for several of everything.
const MAX_RECORDS: usize = 40;

/// A record as a plugin's author has it, before it is encoded.
#[derive(Clone, Debug, Default)]
struct Sample {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    place: Option<(String, Option<i32>)>,
    offset: Option<i64>,
    input: Option<u32>,
    append_time: bool,
}

/// Encodes the records that the bytes describe, in both ways, and reads them back.
pub fn differential(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // Bytes that describe too little are no input.
    let Ok(samples) = samples(&mut input) else { return };
    let Ok(results) = results(&mut input) else { return };
    by_builder(&samples, &results);
    by_sdk(samples);
}

fn samples(input: &mut Unstructured<'_>) -> Result<Vec<Sample>> {
    let count = input.int_in_range(0..=MAX_RECORDS)?;
    (0..count).map(|_| sample(input)).collect()
}

fn sample(input: &mut Unstructured<'_>) -> Result<Sample> {
    let headers = (0..input.int_in_range(0..=3)?).map(|_| Ok((text(input)?, blob(input)?)));
    Ok(Sample {
        headers: headers.collect::<Result<_>>()?,
        key: blob(input)?,
        value: blob(input)?,
        timestamp: input.arbitrary()?,
        place: if input.arbitrary()? { Some((text(input)?, input.arbitrary()?)) } else { None },
        offset: input.arbitrary()?,
        input: input.arbitrary()?,
        append_time: input.arbitrary()?,
    })
}

fn blob(input: &mut Unstructured<'_>) -> Result<Option<Vec<u8>>> {
    input.arbitrary()
}

fn text(input: &mut Unstructured<'_>) -> Result<String> {
    input.arbitrary::<&str>().map(str::to_owned)
}

fn results(input: &mut Unstructured<'_>) -> Result<Vec<(u32, Disposition, Option<String>)>> {
    let count = input.int_in_range(0..=8)?;
    let result = |input: &mut Unstructured<'_>| {
        let disposition = Disposition::from_code(input.int_in_range(0..=4)?).unwrap_or(Disposition::Ok);
        Ok((input.arbitrary()?, disposition, input.arbitrary()?))
    };
    (0..count).map(|_| result(input)).collect()
}

fn by_builder(samples: &[Sample], results: &[(u32, Disposition, Option<String>)]) {
    let mut frame = FrameBuilder::new();
    for sample in samples {
        let place = sample.place.as_ref().map(|(topic, partition)| frame.topic_partition(Some(topic), *partition));
        let mut record = frame.record(sample.key.as_deref(), sample.value.as_deref());
        sample.offset.map(|offset| record.offset(offset));
        sample.timestamp.map(|timestamp| record.timestamp(timestamp));
        sample.input.map(|input| record.input(input));
        place.map(|place| record.topic_partition(place));
        if sample.append_time {
            record.log_append_time();
        }
        for (name, value) in &sample.headers {
            record.header(name, value.as_deref());
        }
    }
    for (input, disposition, message) in results {
        frame.result(*input, *disposition, message.as_deref());
    }
    let Some(batch) = decoded(Batch::build(&frame), samples, Sample::is_out_of_range_for_builder) else { return };
    for (record, sample) in batch.frame().records().zip(samples) {
        assert_eq!(record.offset, number(sample.offset));
        assert_eq!(record.input, sample.input.filter(|input| *input != u32::MAX));
        assert_eq!(record.log_append_time, sample.append_time);
        sample.is(&record);
    }
    let read = batch.frame();
    assert_eq!(read.results().len(), results.len());
    for (read, (input, disposition, message)) in read.results().zip(results) {
        assert_eq!((read.input, read.disposition, read.message), (*input, *disposition, message.as_deref()));
    }
}

thread_local! {
    /// What the source emits at its next poll: a source gets nothing but configuration.
    static NEXT: RefCell<Vec<Sample>> = const { RefCell::new(Vec::new()) };
}

struct Emits;

impl Source for Emits {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Task) -> sandbar_plugin::Result<Self> {
        Ok(Self)
    }

    fn poll(&mut self, _: &PollLimits, out: &mut SourceBatch) -> sandbar_plugin::Result<()> {
        for sample in NEXT.take() {
            let (key, value) = (sample.key.as_deref(), sample.value.as_deref());
            let mut record = match &sample.place {
                Some((topic, partition)) => out.record_to(topic, *partition, key, value),
                None => out.record(key, value),
            };
            sample.timestamp.map(|timestamp| record.timestamp(timestamp).header("", None));
            for (name, value) in &sample.headers {
                record.header(name, value.as_deref());
            }
        }
        Ok(())
    }
}

fn by_sdk(mut samples: Vec<Sample>) {
    let mut guest = Guest::<Emits, NoSink, NoTransform>::default();
    let open = Open {
        config: serde_json::json!({}),
        kind: Kind::Source,
        connector: "differential".to_owned(),
        task: 0,
        tasks: 1,
        abi_minor: sandbar_abi::names::ABI_MINOR,
        features: Vec::new(),
    };
    let Ok(open) = serde_json::to_vec(&open) else { unreachable!("an open message is JSON") };
    let Some(buffer) = guest.reserve(open.len()) else { unreachable!("it is short") };
    buffer.copy_from_slice(&open);
    assert_eq!(guest.open(open.len()), Reply::Done);

    NEXT.set(samples.clone());
    match guest.poll(u32::MAX, u32::MAX, 0) {
        Reply::Done => assert!(samples.is_empty()),
        Reply::Error(class) => unreachable!("{class:?}: the frame is far from the limit"),
        Reply::Output => {
            // The source puts a header before the others where there is a timestamp.
            for sample in samples.iter_mut().filter(|sample| sample.timestamp.is_some()) {
                sample.headers.insert(0, (String::new(), None));
            }
            let output = guest.output().to_vec();
            let Some(batch) = decoded(Batch::new(output), &samples, Sample::is_out_of_range) else { return };
            batch.frame().records().zip(&samples).for_each(|(record, sample)| sample.is(&record));
        }
    }
}

/// What the host makes of it. It refuses it if, and only if, a field is out of its range.
fn decoded<E: std::fmt::Display>(
    batch: std::result::Result<Batch, E>,
    samples: &[Sample],
    is_out_of_range: impl Fn(&Sample) -> bool,
) -> Option<Batch> {
    let refused = samples.iter().any(is_out_of_range);
    match batch {
        Ok(batch) => {
            assert!(!refused, "a field out of range was taken");
            assert_eq!(batch.len(), samples.len());
            Some(batch)
        }
        Err(error) => {
            let error = error.to_string();
            assert!(refused, "{error}, and nothing is out of range");
            let names = ["offset", "timestamp", "topic_len", "partition"];
            assert!(names.iter().any(|name| error.contains(name)), "{error}");
            None
        }
    }
}

/// A number as the frame holds it: -1 is none.
fn number(number: Option<i64>) -> Option<i64> {
    number.filter(|number| *number != -1)
}

impl Sample {
    fn is_out_of_range(&self) -> bool {
        self.timestamp.is_some_and(|timestamp| timestamp < -1)
            || self
                .place
                .as_ref()
                .is_some_and(|(topic, partition)| topic.is_empty() || *partition < Some(-1) && partition.is_some())
    }

    fn is_out_of_range_for_builder(&self) -> bool {
        self.is_out_of_range() || self.offset.is_some_and(|offset| offset < -1)
    }

    /// What both writers can say is what the reader says.
    fn is(&self, record: &Record<'_>) {
        assert_eq!((record.key, record.value), (self.key.as_deref(), self.value.as_deref()));
        assert_eq!(record.timestamp, number(self.timestamp));
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        assert!(record.headers.eq(headers), "{self:?}");
        let place = record.topic_partition.map(|place| (place.topic, place.partition));
        let expected =
            self.place.as_ref().map(|(topic, partition)| (Some(topic.as_str()), partition.filter(|p| *p >= 0)));
        assert_eq!(place, expected);
    }
}
