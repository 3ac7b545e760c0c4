//! Reads a frame in place. [`Frame::parse`] checks every length once; after it, no accessor can fail.

use super::layout::{self, NONE, NULL, flags, header, header_entry, record, result, topic_partition};
use super::{Disposition, FrameError};
use crate::names;

/// A checked frame that borrows its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    flags: u32,
    records: Section,
    topic_partitions: Section,
    headers: Section,
    results: Section,
    heap: Section,
}

#[derive(Clone, Copy, Debug, Default)]
struct Section {
    at: usize,
    count: usize,
    stride: usize,
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
    /// Reads and checks a frame. Any bytes are survived; a refusal names the field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        if bytes.len() < layout::HEADER_LEN {
            return Err(FrameError::TooShort { len: bytes.len(), need: layout::HEADER_LEN });
        }
        if bytes.len() > names::MAX_FRAME_BYTES {
            return Err(FrameError::TooLong { len: bytes.len(), limit: names::MAX_FRAME_BYTES });
        }
        let magic = u32_at(bytes, header::MAGIC);
        if magic != layout::MAGIC {
            return Err(FrameError::Magic(magic));
        }
        let major = u16_at(bytes, header::MAJOR);
        if major != names::ABI_MAJOR {
            return Err(FrameError::Major(major));
        }
        let minor = u16_at(bytes, header::MINOR);
        let header_len = u32_at(bytes, header::HEADER_LEN) as usize;
        if header_len < layout::HEADER_LEN || header_len > bytes.len() || !header_len.is_multiple_of(names::ALIGN) {
            return Err(FrameError::Value {
                field: "header.header_len",
                value: header_len as u64,
                expected: "a multiple of 8 from 104 to the frame's length",
            });
        }
        let total = u32_at(bytes, header::TOTAL_LEN) as usize;
        if total != bytes.len() {
            return Err(FrameError::Value {
                field: "header.total_len",
                value: total as u64,
                expected: "the number of bytes passed",
            });
        }
        let flags = u32_at(bytes, header::FLAGS);
        if minor == 0 && flags & !flags::KNOWN != 0 {
            return Err(FrameError::Value {
                field: "header.flags",
                value: u64::from(flags),
                expected: "bits known to minor 0 only",
            });
        }
        if minor == 0 && u32_at(bytes, header::RESERVED) != 0 {
            return Err(FrameError::Value {
                field: "header.reserved",
                value: u64::from(u32_at(bytes, header::RESERVED)),
                expected: "0",
            });
        }
        let mut end = header_len;
        let mut section = |i: usize, name: &'static str, least: usize| section(bytes, i, name, least, &mut end);
        let frame = Self {
            bytes,
            flags,
            records: section(0, "records", layout::RECORD_LEN)?,
            topic_partitions: section(1, "topic_partitions", layout::TOPIC_PARTITION_LEN)?,
            headers: section(2, "headers", layout::HEADER_ENTRY_LEN)?,
            results: section(3, "results", layout::RESULT_LEN)?,
            heap: section(4, "heap", 1)?,
        };
        frame.check_topic_partitions()?;
        frame.check_headers()?;
        frame.check_records()?;
        frame.check_results()?;
        Ok(frame)
    }

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

    fn entry(&self, section: Section, index: usize, len: usize) -> Option<&'a [u8]> {
        if index >= section.count {
            return None;
        }
        let at = section.at + index * section.stride;
        self.bytes.get(at..at + len)
    }

    fn blob(&self, at: u32, len: i32) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok()?;
        let at = self.heap.at + at as usize;
        self.bytes.get(at..at + len)
    }

    fn in_heap(&self, at: u32, len: i32) -> Result<(), &'static str> {
        if len == NULL {
            return Ok(());
        }
        let Ok(len) = u64::try_from(len) else { return Err("negative length other than -1") };
        if u64::from(at) + len > self.heap.count as u64 { Err("reaches past the heap") } else { Ok(()) }
    }

    fn text_in_heap(&self, at: u32, len: i32) -> Result<(), &'static str> {
        self.in_heap(at, len)?;
        match self.blob(at, len) {
            Some(text) if core::str::from_utf8(text).is_err() => Err("is not UTF-8"),
            _ => Ok(()),
        }
    }

    fn check_topic_partitions(&self) -> Result<(), FrameError> {
        for index in 0..self.topic_partitions.count {
            let fault = |field, what| FrameError::Entry { section: "topic_partitions", index, field, what };
            let Some(entry) = self.entry(self.topic_partitions, index, layout::TOPIC_PARTITION_LEN) else { continue };
            let len = i32_at(entry, topic_partition::TOPIC_LEN);
            if len == 0 {
                return Err(fault("topic_len", "an empty topic name"));
            }
            self.text_in_heap(u32_at(entry, topic_partition::TOPIC_AT), len).map_err(|what| fault("topic", what))?;
            if i32_at(entry, topic_partition::PARTITION) < -1 {
                return Err(fault("partition", "negative, other than -1"));
            }
        }
        Ok(())
    }

    fn check_headers(&self) -> Result<(), FrameError> {
        for index in 0..self.headers.count {
            let fault = |field, what| FrameError::Entry { section: "headers", index, field, what };
            let Some(entry) = self.entry(self.headers, index, layout::HEADER_ENTRY_LEN) else { continue };
            let name_len = i32_at(entry, header_entry::NAME_LEN);
            if name_len < 0 {
                return Err(fault("name_len", "negative length"));
            }
            self.text_in_heap(u32_at(entry, header_entry::NAME_AT), name_len).map_err(|what| fault("name", what))?;
            self.in_heap(u32_at(entry, header_entry::VALUE_AT), i32_at(entry, header_entry::VALUE_LEN))
                .map_err(|what| fault("value", what))?;
        }
        Ok(())
    }

    /// Besides the bounds: ranges of headers follow each other and the records' bytes add up to no more than a frame
    /// may hold, so that a small frame cannot stand for an enormous batch.
    fn check_records(&self) -> Result<(), FrameError> {
        let mut next_header = 0;
        let mut logical = self.headers_len();
        for index in 0..self.records.count {
            let fault = |field, what| FrameError::Entry { section: "records", index, field, what };
            let Some(entry) = self.entry(self.records, index, layout::RECORD_LEN) else { continue };
            if i64_at(entry, record::OFFSET) < -1 {
                return Err(fault("offset", "negative, other than -1"));
            }
            if i64_at(entry, record::TIMESTAMP) < -1 {
                return Err(fault("timestamp", "negative, other than -1"));
            }
            self.in_heap(u32_at(entry, record::KEY_AT), i32_at(entry, record::KEY_LEN))
                .map_err(|what| fault("key", what))?;
            self.in_heap(u32_at(entry, record::VALUE_AT), i32_at(entry, record::VALUE_LEN))
                .map_err(|what| fault("value", what))?;
            let first = u64::from(u32_at(entry, record::HEADERS_FIRST));
            let count = u64::from(u32_at(entry, record::HEADERS_COUNT));
            if count > 0 {
                if first < next_header {
                    return Err(fault("headers", "overlaps the headers of a record before it"));
                }
                next_header = first + count;
                if next_header > self.headers.count as u64 {
                    return Err(fault("headers", "reaches past the header section"));
                }
            }
            for len in [record::KEY_LEN, record::VALUE_LEN] {
                logical += u64::try_from(i32_at(entry, len)).unwrap_or(0);
            }
            if logical > names::MAX_FRAME_BYTES as u64 {
                return Err(fault("value", "the batch is larger than a frame may be"));
            }
            let tp = u32_at(entry, record::TOPIC_PARTITION);
            if tp != NONE && tp as usize >= self.topic_partitions.count {
                return Err(fault("topic_partition", "no such topic-partition"));
            }
        }
        Ok(())
    }

    /// Bytes of all header names and values.
    fn headers_len(&self) -> u64 {
        (0..self.headers.count)
            .filter_map(|i| self.entry(self.headers, i, layout::HEADER_ENTRY_LEN))
            .flat_map(|e| [i32_at(e, header_entry::NAME_LEN), i32_at(e, header_entry::VALUE_LEN)])
            .map(|len| u64::try_from(len).unwrap_or(0))
            .sum()
    }

    fn check_results(&self) -> Result<(), FrameError> {
        for index in 0..self.results.count {
            let fault = |field, what| FrameError::Entry { section: "results", index, field, what };
            let Some(entry) = self.entry(self.results, index, layout::RESULT_LEN) else { continue };
            if Disposition::from_code(u32_at(entry, result::DISPOSITION)).is_none() {
                return Err(fault("disposition", "no such disposition"));
            }
            self.text_in_heap(u32_at(entry, result::MESSAGE_AT), i32_at(entry, result::MESSAGE_LEN))
                .map_err(|what| fault("message", what))?;
        }
        Ok(())
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

fn section(
    bytes: &[u8],
    index: usize,
    name: &'static str,
    least_stride: usize,
    end: &mut usize,
) -> Result<Section, FrameError> {
    let fault = |what| FrameError::Section { section: name, what };
    let at = header::SECTIONS + index * layout::SECTION_LEN;
    let (offset, count, stride) = (u32_at(bytes, at), u32_at(bytes, at + 4), u32_at(bytes, at + 8));
    let stride = stride as usize;
    if name == "heap" && stride != 1 {
        return Err(fault("stride is not 1"));
    }
    if stride < least_stride {
        return Err(fault("stride is shorter than an entry of v1.0"));
    }
    if name != "heap" && !stride.is_multiple_of(names::ALIGN) {
        return Err(fault("stride is not a multiple of 8"));
    }
    let offset = offset as usize;
    if !offset.is_multiple_of(names::ALIGN) {
        return Err(fault("offset is not a multiple of 8"));
    }
    if offset < *end {
        return Err(fault("overlaps what comes before it"));
    }
    let len = u64::from(count) * stride as u64;
    if offset as u64 + len > bytes.len() as u64 {
        return Err(fault("reaches past the frame"));
    }
    let count = count as usize;
    *end = offset + count * stride;
    Ok(Section { at: offset, count, stride })
}

const fn some_index(raw: u32) -> Option<u32> {
    if raw == NONE { None } else { Some(raw) }
}

const fn some_number(raw: i64) -> Option<i64> {
    if raw < 0 { None } else { Some(raw) }
}

/// The bytes of one field; zeroes where there are too few, which a checked frame never has.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|b| b.first_chunk::<N>()).copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(field(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(field(bytes, at))
}
