//! Reads a frame in place, after `check` has looked at every length once.

use super::Disposition;
use super::bytes::{i32_at, i64_at, u32_at};
use super::check::section;
use super::layout::{self, NONE, flags, header, header_entry, record, result, topic_partition};

/// A checked frame that borrows its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) flags: u32,
    pub(super) records: Section,
    pub(super) topic_partitions: Section,
    pub(super) headers: Section,
    pub(super) results: Section,
    pub(super) heap: Section,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Section {
    pub(super) at: usize,
    pub(super) count: usize,
    pub(super) stride: usize,
}

/// A record in a frame. Keys, values and header values are bytes; `None` is null, which is not empty.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The offset in its partition; `None` where no broker has given one yet.
    pub offset: Option<i64>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Whether the timestamp is the broker's append time rather than the producer's.
    pub log_append_time: bool,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; names may repeat.
    pub headers: Headers<'a>,
    /// Where it was read from, or where it shall go.
    pub topic_partition: Option<TopicPartition<'a>>,
    /// The index of that topic-partition in the frame: equal indexes mean equal topic-partitions.
    pub topic_partition_index: Option<u32>,
    /// The input record this one was made from.
    pub input: Option<u32>,
}

/// A topic and a partition, either of which may be left open by a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition<'a> {
    /// The topic; `None`: the connector's own.
    pub topic: Option<&'a str>,
    /// The partition; `None`: the partitioner decides.
    pub partition: Option<i32>,
}

/// What a guest says of one input record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultEntry<'a> {
    /// The index of the input record.
    pub input: u32,
    /// What became of it.
    pub disposition: Disposition,
    /// Why, where it failed or must be tried again.
    pub message: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// The frame in bytes that [`Frame::parse`] has accepted before. Bytes that it has not accepted give nonsense or an
    /// empty frame, but never a panic.
    #[must_use]
    pub fn of_checked(bytes: &'a [u8]) -> Self {
        let mut end = 0;
        let mut section = |i: usize, name| section(bytes, i, name, 1, &mut end).unwrap_or(NO_SECTION);
        Self {
            bytes,
            flags: u32_at(bytes, header::FLAGS),
            records: section(0, "records"),
            topic_partitions: section(1, "topic_partitions"),
            headers: section(2, "headers"),
            results: section(3, "results"),
            heap: section(4, "heap"),
        }
    }

    /// The frame's bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether a source says that it has come to its end.
    #[must_use]
    pub const fn end_of_data(&self) -> bool {
        self.flags & flags::END_OF_DATA != 0
    }

    /// Whether every input record is resolved without a list of results.
    #[must_use]
    pub const fn all_ok(&self) -> bool {
        self.flags & flags::ALL_OK != 0
    }

    /// How many records there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.count
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.count == 0
    }

    /// How many bytes of keys, values, headers and names there are.
    #[must_use]
    pub const fn heap_len(&self) -> usize {
        self.heap.count
    }

    /// The record at an index.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'a>> {
        if index >= self.records.count {
            return None;
        }
        let at = self.records.at + index * self.records.stride;
        let entry = self.bytes.get(at..at + layout::RECORD_LEN)?;
        let tp = some_index(u32_at(entry, record::TOPIC_PARTITION));
        Some(Record {
            offset: some_number(i64_at(entry, record::OFFSET)),
            timestamp: some_number(i64_at(entry, record::TIMESTAMP)),
            log_append_time: u32_at(entry, record::FLAGS) & record::LOG_APPEND_TIME != 0,
            key: self.blob(u32_at(entry, record::KEY_AT), i32_at(entry, record::KEY_LEN)),
            value: self.blob(u32_at(entry, record::VALUE_AT), i32_at(entry, record::VALUE_LEN)),
            headers: Headers {
                frame: *self,
                next: u32_at(entry, record::HEADERS_FIRST) as usize,
                left: u32_at(entry, record::HEADERS_COUNT) as usize,
            },
            topic_partition: tp.and_then(|i| self.topic_partition(i as usize)),
            topic_partition_index: tp,
            input: some_index(u32_at(entry, record::INPUT)),
        })
    }

    /// All records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'a>> + Clone + use<'a> {
        let frame = *self;
        (0..self.records.count).map(move |i| frame.record(i).unwrap_or(EMPTY_RECORD))
    }

    /// How many topic-partitions the frame names.
    #[must_use]
    pub const fn topic_partition_count(&self) -> usize {
        self.topic_partitions.count
    }

    /// The topic-partition at an index.
    #[must_use]
    pub fn topic_partition(&self, index: usize) -> Option<TopicPartition<'a>> {
        let entry = self.entry(self.topic_partitions, index, layout::TOPIC_PARTITION_LEN)?;
        let topic = self.blob(u32_at(entry, topic_partition::TOPIC_AT), i32_at(entry, topic_partition::TOPIC_LEN));
        let partition = i32_at(entry, topic_partition::PARTITION);
        Some(TopicPartition {
            topic: topic.and_then(|t| core::str::from_utf8(t).ok()),
            partition: (partition >= 0).then_some(partition),
        })
    }

    /// What the guest says of its input records, in the order it says it.
    pub fn results(&self) -> impl ExactSizeIterator<Item = ResultEntry<'a>> + use<'a> {
        let frame = *self;
        (0..self.results.count).map(move |i| {
            frame.result(i).unwrap_or(ResultEntry { input: NONE, disposition: Disposition::Failed, message: None })
        })
    }

    fn result(&self, index: usize) -> Option<ResultEntry<'a>> {
        let entry = self.entry(self.results, index, layout::RESULT_LEN)?;
        let message = self.blob(u32_at(entry, result::MESSAGE_AT), i32_at(entry, result::MESSAGE_LEN));
        Some(ResultEntry {
            input: u32_at(entry, result::INPUT),
            disposition: Disposition::from_code(u32_at(entry, result::DISPOSITION))?,
            message: message.and_then(|m| core::str::from_utf8(m).ok()),
        })
    }

    pub(super) fn entry(&self, section: Section, index: usize, len: usize) -> Option<&'a [u8]> {
        if index >= section.count {
            return None;
        }
        let at = section.at + index * section.stride;
        self.bytes.get(at..at + len)
    }

    pub(super) fn blob(&self, at: u32, len: i32) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok()?;
        let at = self.heap.at + at as usize;
        self.bytes.get(at..at + len)
    }
}

/// The headers of a record.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    frame: Frame<'a>,
    next: usize,
    left: usize,
}

impl Headers<'_> {
    /// No headers.
    pub const NONE: Headers<'static> = EMPTY_RECORD.headers;
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.frame.entry(self.frame.headers, self.next, layout::HEADER_ENTRY_LEN)?;
        self.next += 1;
        let name = self.frame.blob(u32_at(entry, header_entry::NAME_AT), i32_at(entry, header_entry::NAME_LEN))?;
        let value = self.frame.blob(u32_at(entry, header_entry::VALUE_AT), i32_at(entry, header_entry::VALUE_LEN));
        Some((core::str::from_utf8(name).unwrap_or(""), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

const NO_SECTION: Section = Section { at: 0, count: 0, stride: 1 };
const EMPTY_RECORD: Record<'static> = Record {
    offset: None,
    timestamp: None,
    log_append_time: false,
    key: None,
    value: None,
    headers: Headers {
        frame: Frame {
            bytes: &[],
            flags: 0,
            records: NO_SECTION,
            topic_partitions: NO_SECTION,
            headers: NO_SECTION,
            results: NO_SECTION,
            heap: NO_SECTION,
        },
        next: 0,
        left: 0,
    },
    topic_partition: None,
    topic_partition_index: None,
    input: None,
};

const fn some_index(raw: u32) -> Option<u32> {
    if raw == NONE { None } else { Some(raw) }
}

const fn some_number(raw: i64) -> Option<i64> {
    if raw < 0 { None } else { Some(raw) }
}
