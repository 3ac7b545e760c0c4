//! How a guest's answer can break the contract: each way with its words, and with the rule of `docs/abi.md` it breaks.

use sandbar_abi::names::MAX_FRAME_BYTES;
use thiserror::Error;

/// An answer that breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// An input buffer that is not aligned.
    #[error("sandbar_reserve returned {0:#x}, which is not a multiple of 8")]
    Misaligned(u32),
    /// An input buffer that is not there.
    #[error("the input buffer at {ptr:#x} with {len} bytes does not lie in memory")]
    NoBuffer {
        /// Where it is said to begin.
        ptr: u32,
        /// How much was asked for.
        len: u32,
    },
    /// A number below zero that stands for nothing.
    #[error("sandbar_{call} returned {raw}, which is no error class")]
    NoClass {
        /// The call, without the prefix.
        call: &'static str,
        /// What it returned.
        raw: i64,
    },
    /// An output longer than any may be.
    #[error("an output of {0} bytes is longer than the limit of {MAX_FRAME_BYTES}")]
    OutputTooLong(usize),
    /// An output that is not there.
    #[error("an output at {at:#x} with {len} bytes does not lie in memory of {size} bytes")]
    NoOutput {
        /// Where it is said to begin.
        at: usize,
        /// How long it is said to be.
        len: usize,
        /// How much memory there is.
        size: usize,
    },
    /// An answer that is not the JSON it has to be.
    #[error("the answer is not valid: {0}")]
    Json(String),
    /// Records from a sink.
    #[error("a sink returned records")]
    SinkRecords,
    /// A record of a source that names an input.
    #[error("output {output} names input {input}, a poll has none")]
    PollInput {
        /// The record's index.
        output: usize,
        /// What it names.
        input: u32,
    },
    /// The flag `ALL_OK`, and results all the same.
    #[error("the flag says that all is well, and {0} results follow")]
    NeedlessResults(usize),
    /// A result for an input that the call does not have.
    #[error("a result names input {input}, the call has {inputs}")]
    ResultOfNothing {
        /// What it names.
        input: usize,
        /// How many there are.
        inputs: usize,
    },
    /// More than one result for an input.
    #[error("input {0} has more than one result")]
    ResultTwice(usize),
    /// No result for an input.
    #[error("input {0} has no result")]
    NoResult(usize),
    /// Unresolved inputs that are not the end of the call.
    #[error("input {first} is to be tried again, but input {resolved} after it is resolved")]
    NotASuffix {
        /// The first that is not resolved.
        first: usize,
        /// One after it that is.
        resolved: usize,
    },
    /// A record of a transform that was made from nothing.
    #[error("output {0} does not name its input")]
    OutputOfNothing(usize),
    /// A record of a transform that was made from an input the call does not have.
    #[error("output {output} names input {input}, the call has {inputs}")]
    OutputOfNoInput {
        /// The record's index.
        output: usize,
        /// What it names.
        input: u32,
        /// How many there are.
        inputs: usize,
    },
    /// A record of a transform that was made from an input which failed, was filtered, or shall come again.
    #[error("output {output} comes of input {input}, which did not go well")]
    OutputOfFailure {
        /// The record's index.
        output: usize,
        /// What it names.
        input: u32,
    },
}

impl Violation {
    /// The number of the rule in `docs/abi.md`.
    #[must_use]
    pub const fn rule(&self) -> u16 {
        match self {
            Self::Misaligned(_) | Self::NoBuffer { .. } => 13,
            Self::SinkRecords => 19,
            Self::OutputOfNothing(_) | Self::OutputOfNoInput { .. } | Self::OutputOfFailure { .. } => 22,
            Self::OutputTooLong(_) | Self::NoOutput { .. } => 26,
            Self::Json(_) => 27,
            Self::NeedlessResults(_) | Self::ResultOfNothing { .. } | Self::ResultTwice(_) | Self::NoResult(_) => 51,
            Self::NotASuffix { .. } => 52,
            Self::NoClass { .. } => 73,
            Self::PollInput { .. } => 74,
        }
    }
}
