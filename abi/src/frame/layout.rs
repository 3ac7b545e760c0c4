//! Where every byte of a frame lies. The numbers here are the ABI: change none, append only.

/// `SBF1`, read as a little-endian `u32`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"SBF1");

/// The minor version that gave the frame its layout. A newer minor that leaves frames alone leaves this alone.
pub const MINOR: u16 = 0;

/// Bytes of the v1.0 header: 24 fixed ones and five section descriptors of 16.
pub const HEADER_LEN: usize = 24 + SECTIONS * SECTION_LEN;
/// How many sections a frame has.
pub const SECTIONS: usize = 5;
/// Bytes of one section descriptor: offset, count, stride, reserved.
pub const SECTION_LEN: usize = 16;

/// Bytes of a record in v1.0.
pub const RECORD_LEN: usize = 56;
/// Bytes of a topic-partition in v1.0.
pub const TOPIC_PARTITION_LEN: usize = 16;
/// Bytes of a header entry in v1.0.
pub const HEADER_ENTRY_LEN: usize = 16;
/// Bytes of a result in v1.0.
pub const RESULT_LEN: usize = 16;

/// The fixed part of the header.
pub mod header {
    /// `u32` magic.
    pub const MAGIC: usize = 0;
    /// `u16` major.
    pub const MAJOR: usize = 4;
    /// `u16` minor.
    pub const MINOR: usize = 6;
    /// `u32` header length.
    pub const HEADER_LEN: usize = 8;
    /// `u32` total length of the frame.
    pub const TOTAL_LEN: usize = 12;
    /// `u32` frame flags.
    pub const FLAGS: usize = 16;
    /// `u32` zero.
    pub const RESERVED: usize = 20;
    /// The first section descriptor.
    pub const SECTIONS: usize = 24;
}

/// Bits of the frame's flags.
pub mod flags {
    /// A source has come to its end: no call to poll will ever return more.
    pub const END_OF_DATA: u32 = 1;
    /// Every input record is resolved; no result list follows.
    pub const ALL_OK: u32 = 2;
    /// The bits that v1.0 knows.
    pub const KNOWN: u32 = END_OF_DATA | ALL_OK;
}

/// Fields of a record.
pub mod record {
    /// `i64` offset in the partition, -1 if there is none.
    pub const OFFSET: usize = 0;
    /// `i64` milliseconds since the epoch, -1 if there is none.
    pub const TIMESTAMP: usize = 8;
    /// `u32` start of the key in the heap.
    pub const KEY_AT: usize = 16;
    /// `i32` length of the key, -1 is null.
    pub const KEY_LEN: usize = 20;
    /// `u32` start of the value in the heap.
    pub const VALUE_AT: usize = 24;
    /// `i32` length of the value, -1 is null.
    pub const VALUE_LEN: usize = 28;
    /// `u32` index of the first header entry.
    pub const HEADERS_FIRST: usize = 32;
    /// `u32` number of header entries.
    pub const HEADERS_COUNT: usize = 36;
    /// `u32` index of the topic-partition, [`super::NONE`] if there is none.
    pub const TOPIC_PARTITION: usize = 40;
    /// `u32` index of the input record this one was made from, [`super::NONE`] if there is none.
    pub const INPUT: usize = 44;
    /// `u32` flags: bit 0, the timestamp is the broker's append time.
    pub const FLAGS: usize = 48;
    /// `u32` zero.
    pub const RESERVED: usize = 52;
    /// Flag: the timestamp is the broker's append time, not the producer's.
    pub const LOG_APPEND_TIME: u32 = 1;
}

/// Fields of a topic-partition.
pub mod topic_partition {
    /// `u32` start of the topic name in the heap.
    pub const TOPIC_AT: usize = 0;
    /// `i32` length of the topic name, -1: the connector's own topic.
    pub const TOPIC_LEN: usize = 4;
    /// `i32` partition, -1: the partitioner decides.
    pub const PARTITION: usize = 8;
    /// `u32` zero.
    pub const RESERVED: usize = 12;
}

/// Fields of a header entry.
pub mod header_entry {
    /// `u32` start of the name in the heap.
    pub const NAME_AT: usize = 0;
    /// `u32` length of the name, UTF-8.
    pub const NAME_LEN: usize = 4;
    /// `u32` start of the value in the heap.
    pub const VALUE_AT: usize = 8;
    /// `i32` length of the value, -1 is null.
    pub const VALUE_LEN: usize = 12;
}

/// Fields of a result.
pub mod result {
    /// `u32` index of the input record.
    pub const INPUT: usize = 0;
    /// `u32` disposition.
    pub const DISPOSITION: usize = 4;
    /// `u32` start of the message in the heap.
    pub const MESSAGE_AT: usize = 8;
    /// `i32` length of the message, UTF-8, -1 is none.
    pub const MESSAGE_LEN: usize = 12;
}

/// The index that stands for "none".
pub const NONE: u32 = u32::MAX;
/// The length that stands for null.
pub const NULL: i32 = -1;

/// Rounds up to the next multiple of [`crate::names::ALIGN`].
#[must_use]
pub const fn align(n: usize) -> usize {
    n.next_multiple_of(crate::names::ALIGN)
}
