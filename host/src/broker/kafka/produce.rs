//! Hands records to librdkafka: one by one, waiting where its queue is full, and waiting for all of them at the end.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use sandbar_abi::Record;

use super::context::{Context, Deliveries};
use crate::broker::Output;

/// A producer of ours.
pub(super) type KafkaProducer = BaseProducer<Context<Deliveries>>;

/// How long a full queue is served before the record is tried again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);
/// The first and the longest pause between two looks at what is in flight: a commit takes a few milliseconds.
const SETTLE_PAUSE: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(5));
/// So many events are served at once; each may report many records.
const EVENTS_SERVED: usize = 16;

/// Why a record was not queued.
pub(super) struct NotQueued {
    /// Where it was to go.
    pub topic: String,
    /// librdkafka's reason.
    pub error: KafkaError,
}

/// Queues every record of an output. Waits while the queue is full, up to the deadline.
pub(super) fn send_all(producer: &KafkaProducer, output: &Output, deadline: Instant) -> Result<(), NotQueued> {
    for record in output.batch.frame().records() {
        let topic = record.topic_partition.and_then(|place| place.topic).unwrap_or(&output.topic);
        let partition = record.topic_partition.and_then(|place| place.partition);
        send(producer, topic, partition, &record, deadline)?;
    }
    serve(producer);
    Ok(())
}

/// Queues one record of our own.
pub(super) fn send_own(
    producer: &KafkaProducer,
    topic: &str,
    partition: Option<i32>,
    key: &[u8],
    value: Option<&[u8]>,
    deadline: Instant,
) -> Result<(), NotQueued> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(key);
    record.partition = partition;
    record.payload = value;
    queue(producer, record, deadline)
}

/// Waits until nothing is in flight any more; says whether that was before the deadline. Failures are in the notes.
///
/// rdkafka's own `flush` would do, but it sleeps a tenth of a second at a time, and a commit takes a few milliseconds.
pub(super) fn settle(producer: &KafkaProducer, deadline: Instant) -> bool {
    let (mut pause, longest) = SETTLE_PAUSE;
    loop {
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() == 0 {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// Serves reports, errors and log lines that wait.
pub(super) fn serve(producer: &KafkaProducer) {
    for _ in 0..EVENTS_SERVED {
        producer.poll(Duration::ZERO);
    }
}

fn send(
    producer: &KafkaProducer,
    topic: &str,
    partition: Option<i32>,
    from: &Record<'_>,
    deadline: Instant,
) -> Result<(), NotQueued> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic);
    record.partition = partition;
    record.key = from.key;
    record.payload = from.value;
    // librdkafka takes 0 for "now"; a millisecond later is nearer to the truth.
    record.timestamp = from.timestamp.map(|millis| millis.max(1));
    if from.headers.len() > 0 {
        let headers = OwnedHeaders::new_with_capacity(from.headers.len());
        record.headers = Some(from.headers.fold(headers, |all, (key, value)| all.insert(Header { key, value })));
    }
    queue(producer, record, deadline)
}

fn queue(producer: &KafkaProducer, mut record: BaseRecord<'_, [u8], [u8]>, deadline: Instant) -> Result<(), NotQueued> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < deadline => {
                record = back;
                producer.poll(QUEUE_FULL_PAUSE);
            }
            Err((error, back)) => return Err(NotQueued { topic: back.topic.to_owned(), error }),
        }
    }
}
