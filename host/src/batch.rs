//! A batch of records that the host owns: one checked frame behind a reference-counted buffer.
//!
//! Consumers build it, guests read a copy of it, producers take slices of it. There is no other record type.

use bytes::Bytes;
use sandbar_abi::{Frame, FrameBuilder, FrameError};

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

    /// The frame, to read records from.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame::of_checked(&self.bytes)
    }
}
