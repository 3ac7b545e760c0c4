//! Writes a frame, section by section. Records are appended; nothing is checked twice.

use alloc::vec::Vec;

use super::layout::{self, NONE, NULL, flags, header, record};
use super::{Disposition, FrameError, Record};
use crate::names;

/// Collects records and results, then lays them out as one frame.
#[derive(Clone, Debug, Default)]
pub struct FrameBuilder {
    flags: u32,
    records: Vec<u8>,
    topic_partitions: Vec<u8>,
    headers: Vec<u8>,
    results: Vec<u8>,
    heap: Vec<u8>,
    /// Bytes that were asked for past what 31 bits can address; such a frame is refused when it is finished.
    overflow: usize,
}

impl FrameBuilder {
    /// An empty frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.flags = 0;
        self.overflow = 0;
        for section in
            [&mut self.records, &mut self.topic_partitions, &mut self.headers, &mut self.results, &mut self.heap]
        {
            section.clear();
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len() / layout::RECORD_LEN
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many results there are.
    #[must_use]
    pub fn result_count(&self) -> usize {
        self.results.len() / layout::RESULT_LEN
    }

    /// How many bytes of keys, values, headers and names there are.
    #[must_use]
    pub fn heap_len(&self) -> usize {
        self.heap.len()
    }

    /// Says that the source has come to its end.
    pub fn set_end_of_data(&mut self) {
        self.flags |= flags::END_OF_DATA;
    }

    /// Says that every input record is resolved; no results may be added then.
    pub fn set_all_ok(&mut self) {
        self.flags |= flags::ALL_OK;
    }

    /// Names a topic-partition and returns its index. The caller keeps the index: names are not looked up again.
    pub fn topic_partition(&mut self, topic: Option<&str>, partition: Option<i32>) -> u32 {
        #[allow(clippy::cast_possible_truncation)]
        // more than 2^32 entries do not fit the frame, which `finish` refuses
        let index = (self.topic_partitions.len() / layout::TOPIC_PARTITION_LEN) as u32;
        let (at, len) = self.blob(topic.map(str::as_bytes));
        put_u32(&mut self.topic_partitions, at);
        put_i32(&mut self.topic_partitions, len);
        put_i32(&mut self.topic_partitions, partition.unwrap_or(-1));
        put_u32(&mut self.topic_partitions, 0);
        index
    }

    /// Appends a record with a key and a value; the rest is set on what this returns.
    pub fn record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> RecordBuilder<'_> {
        let start = self.records.len();
        let (key_at, key_len) = self.blob(key);
        let (value_at, value_len) = self.blob(value);
        let first_header = self.header_count();
        let mut entry = [0_u8; layout::RECORD_LEN];
        set(&mut entry, record::OFFSET, &(-1_i64).to_le_bytes());
        set(&mut entry, record::TIMESTAMP, &(-1_i64).to_le_bytes());
        set(&mut entry, record::KEY_AT, &key_at.to_le_bytes());
        set(&mut entry, record::KEY_LEN, &key_len.to_le_bytes());
        set(&mut entry, record::VALUE_AT, &value_at.to_le_bytes());
        set(&mut entry, record::VALUE_LEN, &value_len.to_le_bytes());
        set(&mut entry, record::HEADERS_FIRST, &first_header.to_le_bytes());
        set(&mut entry, record::TOPIC_PARTITION, &NONE.to_le_bytes());
        set(&mut entry, record::INPUT, &NONE.to_le_bytes());
        self.records.extend_from_slice(&entry);
        RecordBuilder { frame: self, start }
    }

    /// Appends a copy of a record of another frame; more can be set on what this returns. The topic-partition is an index
    /// into *this* frame.
    pub fn copy(&mut self, from: &Record<'_>, topic_partition: Option<u32>, input: Option<u32>) -> RecordBuilder<'_> {
        let mut to = self.record(from.key, from.value);
        if let Some(offset) = from.offset {
            to.offset(offset);
        }
        if let Some(timestamp) = from.timestamp {
            to.timestamp(timestamp);
        }
        if from.log_append_time {
            to.log_append_time();
        }
        if let Some(index) = topic_partition {
            to.topic_partition(index);
        }
        if let Some(index) = input {
            to.input(index);
        }
        for (name, value) in from.headers {
            to.header(name, value);
        }
        to
    }

    /// Says what became of an input record.
    pub fn result(&mut self, input: u32, disposition: Disposition, message: Option<&str>) {
        let (at, len) = self.blob(message.map(str::as_bytes));
        put_u32(&mut self.results, input);
        put_u32(&mut self.results, disposition.code());
        put_u32(&mut self.results, at);
        put_i32(&mut self.results, len);
    }

    /// The length of the finished frame, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        layout::HEADER_LEN
            + layout::align(self.records.len())
            + layout::align(self.topic_partitions.len())
            + layout::align(self.headers.len())
            + layout::align(self.results.len())
            + self.heap.len()
            + self.overflow
    }

    /// Appends the finished frame to `out`. `out` must be empty for the frame to be aligned.
    pub fn finish_into(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let total = self.encoded_len();
        if total > names::MAX_FRAME_BYTES {
            return Err(FrameError::TooLong { len: total, limit: names::MAX_FRAME_BYTES });
        }
        let start = out.len();
        out.reserve(total);
        let mut head = [0_u8; layout::HEADER_LEN];
        set(&mut head, header::MAGIC, &layout::MAGIC.to_le_bytes());
        set(&mut head, header::MAJOR, &names::ABI_MAJOR.to_le_bytes());
        set(&mut head, header::MINOR, &layout::MINOR.to_le_bytes());
        set(&mut head, header::HEADER_LEN, &number(layout::HEADER_LEN).to_le_bytes());
        set(&mut head, header::TOTAL_LEN, &number(total).to_le_bytes());
        set(&mut head, header::FLAGS, &self.flags.to_le_bytes());
        let sections = [
            (&self.records, layout::RECORD_LEN),
            (&self.topic_partitions, layout::TOPIC_PARTITION_LEN),
            (&self.headers, layout::HEADER_ENTRY_LEN),
            (&self.results, layout::RESULT_LEN),
            (&self.heap, 1),
        ];
        let mut offset = layout::HEADER_LEN;
        for (i, (bytes, stride)) in sections.iter().enumerate() {
            let at = header::SECTIONS + i * layout::SECTION_LEN;
            set(&mut head, at, &number(offset).to_le_bytes());
            set(&mut head, at + 4, &number(bytes.len() / stride).to_le_bytes());
            set(&mut head, at + 8, &number(*stride).to_le_bytes());
            offset += layout::align(bytes.len());
        }
        out.extend_from_slice(&head);
        for (bytes, stride) in sections {
            out.extend_from_slice(bytes);
            if stride > 1 {
                out.resize(start + layout::align(out.len() - start), 0);
            }
        }
        Ok(())
    }

    /// The finished frame.
    pub fn finish(&self) -> Result<Vec<u8>, FrameError> {
        let mut out = Vec::new();
        self.finish_into(&mut out)?;
        Ok(out)
    }

    fn header_count(&self) -> u32 {
        number(self.headers.len() / layout::HEADER_ENTRY_LEN)
    }

    fn blob(&mut self, bytes: Option<&[u8]>) -> (u32, i32) {
        let Some(bytes) = bytes else { return (0, NULL) };
        let at = self.heap.len();
        if at + bytes.len() > names::MAX_FRAME_BYTES {
            self.overflow += bytes.len();
            return (0, 0);
        }
        self.heap.extend_from_slice(bytes);
        (number(at), number(bytes.len()).cast_signed())
    }
}

/// A record that has just been appended.
#[derive(Debug)]
pub struct RecordBuilder<'a> {
    frame: &'a mut FrameBuilder,
    start: usize,
}

impl RecordBuilder<'_> {
    /// Its offset in the partition.
    pub fn offset(&mut self, offset: i64) -> &mut Self {
        self.set(record::OFFSET, &offset.to_le_bytes())
    }

    /// Milliseconds since the epoch.
    pub fn timestamp(&mut self, millis: i64) -> &mut Self {
        self.set(record::TIMESTAMP, &millis.to_le_bytes())
    }

    /// The timestamp is the broker's append time.
    pub fn log_append_time(&mut self) -> &mut Self {
        self.set(record::FLAGS, &record::LOG_APPEND_TIME.to_le_bytes())
    }

    /// Where it was read from or shall go: an index from [`FrameBuilder::topic_partition`].
    pub fn topic_partition(&mut self, index: u32) -> &mut Self {
        self.set(record::TOPIC_PARTITION, &index.to_le_bytes())
    }

    /// The input record it was made from.
    pub fn input(&mut self, index: u32) -> &mut Self {
        self.set(record::INPUT, &index.to_le_bytes())
    }

    /// Appends a header.
    pub fn header(&mut self, name: &str, value: Option<&[u8]>) -> &mut Self {
        let (name_at, name_len) = self.frame.blob(Some(name.as_bytes()));
        let (value_at, value_len) = self.frame.blob(value);
        let first = self.frame.records.get(self.start + record::HEADERS_FIRST..).and_then(|b| b.first_chunk::<4>());
        let first = first.map_or(0, |b| u32::from_le_bytes(*b));
        put_u32(&mut self.frame.headers, name_at);
        put_i32(&mut self.frame.headers, name_len);
        put_u32(&mut self.frame.headers, value_at);
        put_i32(&mut self.frame.headers, value_len);
        let count = self.frame.header_count() - first;
        self.set(record::HEADERS_COUNT, &count.to_le_bytes())
    }

    fn set(&mut self, field: usize, bytes: &[u8]) -> &mut Self {
        set(&mut self.frame.records, self.start + field, bytes);
        self
    }
}

fn set(to: &mut [u8], at: usize, bytes: &[u8]) {
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put_u32(to: &mut Vec<u8>, value: u32) {
    to.extend_from_slice(&value.to_le_bytes());
}

fn put_i32(to: &mut Vec<u8>, value: i32) {
    to.extend_from_slice(&value.to_le_bytes());
}

/// A length or an index as the frame holds it; what does not fit 32 bits is refused by `finish_into` for its length.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
