//! A batch of records that the host owns: one checked frame behind a reference-counted buffer.
//!
//! Consumers build it, guests read a copy of it, producers take slices of it. There is no other record type.

use bytes::Bytes;
use sandbar_abi::frame::RecordBuilder;
use sandbar_abi::{Frame, FrameBuilder, FrameError, Record};

/// An owned, checked frame. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    len: usize,
}

impl Batch {
    /// Takes a frame over, checking it once.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, FrameError> {
        let bytes = bytes.into();
        let len = Frame::parse(&bytes)?.len();
        Ok(Self { bytes, len })
    }

    /// Lays a builder's records out.
    pub fn build(builder: &FrameBuilder) -> Result<Self, FrameError> {
        Self::new(builder.finish()?)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The frame's bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records of a range, as a batch of their own. Inputs they name keep their numbers.
    pub fn subset(&self, range: std::ops::Range<usize>) -> Result<Self, FrameError> {
        self.filter(|index| range.contains(&index))
    }

    /// The records whose index is kept, as a batch of their own. Inputs they name keep their numbers.
    pub fn filter(&self, keep: impl Fn(usize) -> bool) -> Result<Self, FrameError> {
        let mut builder = FrameBuilder::new();
        let mut copier = Copier::default();
        for (index, record) in self.frame().records().enumerate() {
            if keep(index) {
                copier.copy(&mut builder, &record, record.input);
            }
        }
        Self::build(&builder)
    }

    /// The frame, to read records from.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame::of_checked(&self.bytes)
    }
}

/// Copies records of one frame into another, naming each topic-partition once.
#[derive(Debug, Default)]
pub struct Copier {
    /// Indexes in the new frame, by index in the old one.
    places: Vec<Option<u32>>,
}

impl Copier {
    /// Appends a copy of a record, which names `input` as the record it was made from. More can be set on what this returns.
    pub fn copy<'b>(&mut self, to: &'b mut FrameBuilder, record: &Record<'_>, input: Option<u32>) -> RecordBuilder<'b> {
        let place = match (record.topic_partition_index, record.topic_partition) {
            (Some(old), Some(tp)) => {
                let old = old as usize;
                if self.places.len() <= old {
                    self.places.resize(old + 1, None);
                }
                Some(*self.places[old].get_or_insert_with(|| to.topic_partition(tp.topic, tp.partition)))
            }
            _ => None,
        };
        to.copy(record, place, input)
    }
}
