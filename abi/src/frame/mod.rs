//! One batch of records as one flat run of bytes: what passes between host and guest, and between the host's own parts.

mod builder;
mod bytes;
mod check;
mod error;
pub mod layout;
mod view;

pub use builder::{FrameBuilder, RecordBuilder};
pub use error::FrameError;
pub use view::{Frame, Headers, Record, ResultEntry, TopicPartition};

/// What became of one input record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Disposition {
    /// Done.
    Ok = 0,
    /// Done, and nothing comes of it.
    Filtered = 1,
    /// It can never succeed: it goes to the dead letter queue with the message.
    Failed = 2,
    /// Try it again later.
    Retry = 3,
    /// Not looked at, because one before it has to be tried again.
    NotAttempted = 4,
}

impl Disposition {
    /// The disposition of a code, if it is one.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::Ok,
            1 => Self::Filtered,
            2 => Self::Failed,
            3 => Self::Retry,
            4 => Self::NotAttempted,
            _ => return None,
        })
    }

    /// The number that stands for it in a frame.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Whether offsets may advance past the record.
    #[must_use]
    pub const fn is_resolved(self) -> bool {
        matches!(self, Self::Ok | Self::Filtered | Self::Failed)
    }
}
