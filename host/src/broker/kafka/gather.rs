//! Turns librdkafka's messages, one at a time and of any partition, into one batch a partition.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rdkafka::Timestamp;
use rdkafka::message::{Headers, Message};
use sandbar_abi::FrameBuilder;
use sandbar_abi::names::MAX_FRAME_BYTES;

use crate::batch::Batch;
use crate::broker::{BatchLimits, BrokerError, PartitionBatch, TopicPartition};

/// At most this much of a frame goes to keys, values and headers, and as much to its tables.
const MAX_BATCH_BYTES: usize = MAX_FRAME_BYTES / 2;
/// So many records' entries fit in the other half.
const MAX_BATCH_RECORDS: usize = MAX_FRAME_BYTES / 256;

/// Messages on their way into batches.
pub(super) struct Gather {
    limits: BatchLimits,
    records: usize,
    bytes: usize,
    parts: Vec<Part>,
    last: usize,
}

struct Part {
    topic: Arc<str>,
    partition: i32,
    frame: FrameBuilder,
    place: u32,
    first: i64,
    next: i64,
}

/// What one partition contributed.
pub(super) struct Gathered {
    /// The offset of its first record.
    pub first: i64,
    /// Its records.
    pub batch: PartitionBatch,
}

impl Gather {
    /// Nothing gathered yet.
    pub fn new(limits: BatchLimits) -> Self {
        let limits = BatchLimits {
            records: limits.records.clamp(1, MAX_BATCH_RECORDS),
            bytes: limits.bytes.min(MAX_BATCH_BYTES),
        };
        Self { limits, records: 0, bytes: 0, parts: Vec::new(), last: 0 }
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.records >= self.limits.records || self.bytes >= self.limits.bytes
    }

    /// Whether a message fits; the first always does.
    pub fn fits(&self, message: &impl Message) -> bool {
        self.is_empty() || (!self.is_full() && self.bytes + size(message) <= self.limits.bytes)
    }

    /// Takes a message.
    pub fn push(&mut self, message: &impl Message) {
        self.records += 1;
        self.bytes += size(message);
        let at = self.part(message.topic(), message.partition(), message.offset());
        let Some(part) = self.parts.get_mut(at) else { return };
        part.next = message.offset() + 1;
        let mut record = part.frame.record(message.key(), message.payload());
        record.offset(message.offset()).topic_partition(part.place);
        match message.timestamp() {
            Timestamp::NotAvailable => {}
            Timestamp::CreateTime(millis) => {
                record.timestamp(millis);
            }
            Timestamp::LogAppendTime(millis) => {
                record.timestamp(millis).log_append_time();
            }
        }
        if let Some(headers) = message.headers() {
            for at in 0..headers.count() {
                match header(headers, at) {
                    Some((name, value)) => {
                        record.header(name, value);
                    }
                    None => tracing::warn!(
                        topic = message.topic(),
                        partition = message.partition(),
                        offset = message.offset(),
                        "a header whose name is not UTF-8 is left out"
                    ),
                }
            }
        }
    }

    /// The batches, in the order their first records came.
    pub fn finish(self) -> Result<Vec<Gathered>, BrokerError> {
        let batch = |part: Part| {
            let place = TopicPartition { topic: part.topic, partition: part.partition };
            let batch = Batch::build(&part.frame)
                .map_err(|error| BrokerError::fatal(format!("read {place} at offset {}", part.first), error))?;
            let batch = PartitionBatch { partition: place, batch, next_offset: part.next };
            Ok(Gathered { first: part.first, batch })
        };
        self.parts.into_iter().map(batch).collect()
    }

    /// The place of a partition among the parts; messages of one partition mostly follow each other.
    fn part(&mut self, topic: &str, partition: i32, offset: i64) -> usize {
        let is = |part: &Part| part.partition == partition && *part.topic == *topic;
        if self.parts.get(self.last).is_some_and(is) {
            return self.last;
        }
        self.last = self.parts.iter().position(is).unwrap_or_else(|| {
            let mut frame = FrameBuilder::new();
            let place = frame.topic_partition(Some(topic), Some(partition));
            self.parts.push(Part { topic: topic.into(), partition, frame, place, first: offset, next: offset });
            self.parts.len() - 1
        });
        self.last
    }
}

/// Bytes of key, value and headers, as limits count them.
fn size(message: &impl Message) -> usize {
    let headers = message.headers().map_or(0, |headers| {
        (0..headers.count())
            .filter_map(|at| header(headers, at))
            .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len))
            .sum()
    });
    message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len) + headers
}

/// A header. rdkafka panics where the name is not UTF-8, which any producer may bring about; a task must survive it.
fn header<H: Headers>(headers: &H, at: usize) -> Option<(&str, Option<&[u8]>)> {
    let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(at))).ok()??;
    Some((header.key, header.value))
}

#[cfg(test)]
mod tests {
    //! Bounds and grouping, on messages that no broker sent.

    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    fn message(partition: i32, offset: i64, value: &[u8]) -> OwnedMessage {
        let time = Timestamp::LogAppendTime(7);
        OwnedMessage::new(Some(value.to_vec()), None, "t".into(), time, partition, offset, None)
    }

    #[test]
    fn records_are_grouped_by_partition_and_keep_their_order() {
        let mut gather = Gather::new(BatchLimits { records: 10, bytes: 1_000 });
        for (partition, offset) in [(0, 5), (1, 9), (0, 6), (0, 8), (1, 12)] {
            gather.push(&message(partition, offset, b"x"));
        }
        let all = gather.finish().unwrap();
        let seen: Vec<(i32, i64, Vec<Option<i64>>, i64)> = all
            .iter()
            .map(|g| {
                let offsets = g.batch.batch.frame().records().map(|r| r.offset).collect();
                (g.batch.partition.partition, g.first, offsets, g.batch.next_offset)
            })
            .collect();
        assert_eq!(seen, [(0, 5, vec![Some(5), Some(6), Some(8)], 9), (1, 9, vec![Some(9), Some(12)], 13)]);
        let record = all[0].batch.batch.frame().record(0).unwrap();
        assert!(record.log_append_time);
        assert_eq!((record.timestamp, record.key, record.value), (Some(7), None, Some(&b"x"[..])));
    }

    #[test]
    fn the_first_record_always_fits_and_the_rest_only_within_the_limits() {
        let limits = BatchLimits { records: 2, bytes: 10 };
        let mut gather = Gather::new(limits);
        assert!(gather.fits(&message(0, 0, &[0; 50])));
        gather.push(&message(0, 0, &[0; 50]));
        assert!(gather.is_full() && !gather.fits(&message(0, 1, b"")));
        let mut gather = Gather::new(limits);
        gather.push(&message(0, 0, &[0; 6]));
        assert!(gather.fits(&message(0, 1, &[0; 4])) && !gather.fits(&message(0, 1, &[0; 5])));
    }

    #[test]
    fn header_bytes_count() {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "ab", value: Some(&[1_u8, 2, 3][..]) })
            .insert::<[u8]>(Header { key: "c", value: None });
        let message =
            OwnedMessage::new(None, Some(vec![0; 4]), "t".into(), Timestamp::NotAvailable, 0, 0, Some(headers));
        assert_eq!(size(&message), 4 + 5 + 1);
    }
}
