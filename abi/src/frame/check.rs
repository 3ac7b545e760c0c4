//! Checks a frame once, so that no accessor can fail afterwards. Any bytes are survived; a refusal names the field.

use super::bytes::{i32_at, i64_at, u16_at, u32_at};
use super::layout::{self, NONE, NULL, flags, header, header_entry, record, result, topic_partition};
use super::view::{Frame, Section};
use super::{Disposition, FrameError};
use crate::names;

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
        let mut size = Size(0);
        frame.check_topic_partitions(&mut size)?;
        frame.check_headers(&mut size)?;
        frame.check_records(&mut size)?;
        frame.check_results(&mut size)?;
        Ok(frame)
    }

    fn in_heap(&self, at: u32, len: i32) -> Result<(), &'static str> {
        if len == NULL {
            return Ok(());
        }
        let Ok(len) = u64::try_from(len) else { return Err("negative length other than -1") };
        if u64::from(at) + len > self.heap.count as u64 { Err("reaches past the heap") } else { Ok(()) }
    }

    fn text_in_heap(&self, at: u32, len: i32, size: &mut Size) -> Result<(), &'static str> {
        self.in_heap(at, len)?;
        size.add(len)?;
        match self.blob(at, len) {
            Some(text) if core::str::from_utf8(text).is_err() => Err("is not UTF-8"),
            _ => Ok(()),
        }
    }

    fn check_topic_partitions(&self, size: &mut Size) -> Result<(), FrameError> {
        for index in 0..self.topic_partitions.count {
            let fault = |field, what| FrameError::Entry { section: "topic_partitions", index, field, what };
            let Some(entry) = self.entry(self.topic_partitions, index, layout::TOPIC_PARTITION_LEN) else { continue };
            let len = i32_at(entry, topic_partition::TOPIC_LEN);
            if len == 0 {
                return Err(fault("topic_len", "an empty topic name"));
            }
            self.text_in_heap(u32_at(entry, topic_partition::TOPIC_AT), len, size)
                .map_err(|what| fault("topic", what))?;
            if i32_at(entry, topic_partition::PARTITION) < -1 {
                return Err(fault("partition", "negative, other than -1"));
            }
        }
        Ok(())
    }

    fn check_headers(&self, size: &mut Size) -> Result<(), FrameError> {
        for index in 0..self.headers.count {
            let fault = |field, what| FrameError::Entry { section: "headers", index, field, what };
            let Some(entry) = self.entry(self.headers, index, layout::HEADER_ENTRY_LEN) else { continue };
            let name_len = i32_at(entry, header_entry::NAME_LEN);
            if name_len < 0 {
                return Err(fault("name_len", "negative length"));
            }
            let value_len = i32_at(entry, header_entry::VALUE_LEN);
            let name_at = u32_at(entry, header_entry::NAME_AT);
            self.text_in_heap(name_at, name_len, size).map_err(|what| fault("name", what))?;
            self.in_heap(u32_at(entry, header_entry::VALUE_AT), value_len).map_err(|what| fault("value", what))?;
            size.add(value_len).map_err(|what| fault("value", what))?;
        }
        Ok(())
    }

    /// Besides the bounds: ranges of headers follow each other, so that none is counted twice.
    fn check_records(&self, size: &mut Size) -> Result<(), FrameError> {
        let mut next_header = 0;
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
            for (field, len) in [("key", record::KEY_LEN), ("value", record::VALUE_LEN)] {
                size.add(i32_at(entry, len)).map_err(|what| fault(field, what))?;
            }
            let tp = u32_at(entry, record::TOPIC_PARTITION);
            if tp != NONE && tp as usize >= self.topic_partitions.count {
                return Err(fault("topic_partition", "no such topic-partition"));
            }
        }
        Ok(())
    }

    fn check_results(&self, size: &mut Size) -> Result<(), FrameError> {
        for index in 0..self.results.count {
            let fault = |field, what| FrameError::Entry { section: "results", index, field, what };
            let Some(entry) = self.entry(self.results, index, layout::RESULT_LEN) else { continue };
            if Disposition::from_code(u32_at(entry, result::DISPOSITION)).is_none() {
                return Err(fault("disposition", "no such disposition"));
            }
            let len = i32_at(entry, result::MESSAGE_LEN);
            self.text_in_heap(u32_at(entry, result::MESSAGE_AT), len, size).map_err(|what| fault("message", what))?;
        }
        Ok(())
    }
}

/// What all entries say they hold, in bytes. Entries may share bytes of the heap: without this a small frame could stand
/// for an enormous batch, and looking at its text a million times over would take hours.
struct Size(u64);

impl Size {
    /// Counts bytes before they are looked at. A length below zero holds none.
    fn add(&mut self, len: i32) -> Result<(), &'static str> {
        self.0 += u64::try_from(len).unwrap_or(0);
        if self.0 > names::MAX_FRAME_BYTES as u64 { Err("the batch is larger than a frame may be") } else { Ok(()) }
    }
}

/// Where a section lies; `end` is where the one before it ends.
pub(super) fn section(
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
