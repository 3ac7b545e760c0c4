//! Why a frame was refused. Each variant names the field, and the index of the entry that holds it.

use thiserror::Error;

/// A frame that breaks the layout. The first fault found is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// There are fewer bytes than the fixed header has.
    #[error("frame of {len} bytes is shorter than the header of {need}")]
    TooShort {
        /// Bytes there are.
        len: usize,
        /// Bytes the header needs.
        need: usize,
    },
    /// It is longer than a frame may be.
    #[error("frame of {len} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Bytes there are.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The first four bytes are not the magic.
    #[error("header.magic is {0:#010x}, not \"SBF1\"")]
    Magic(u32),
    /// Another major version.
    #[error("header.major is {0}, this side speaks {major}", major = crate::names::ABI_MAJOR)]
    Major(u16),
    /// A field holds a value it must not hold.
    #[error("{field} is {value}, expected {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        expected: &'static str,
    },
    /// A section does not lie where it may.
    #[error("section {section}: {what}")]
    Section {
        /// The section.
        section: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An entry of a section holds something it must not.
    #[error("{section}[{index}].{field}: {what}")]
    Entry {
        /// The section.
        section: &'static str,
        /// The entry's index.
        index: usize,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl FrameError {
    /// The number of the rule in `docs/abi.md` that the frame breaks.
    #[must_use]
    pub fn rule(&self) -> u16 {
        match self {
            Self::TooShort { .. } | Self::TooLong { .. } | Self::Magic(_) | Self::Major(_) => 38,
            Self::Value { field: "header.total_len", .. } => 38,
            Self::Value { field: "header.header_len", .. } => 39,
            Self::Value { .. } => 42,
            Self::Section { what, .. } if what.starts_with("stride") => 41,
            Self::Section { .. } => 40,
            Self::Entry { what: "is not UTF-8" | "an empty topic name", .. } => 45,
            Self::Entry { section: "records", field: "headers", .. } => 47,
            Self::Entry { field: "offset" | "timestamp" | "partition" | "topic_partition", .. } => 48,
            Self::Entry { what: "the batch is larger than a frame may be", .. } => 49,
            Self::Entry { field: "disposition", .. } => 50,
            Self::Entry { .. } => 43,
        }
    }
}
