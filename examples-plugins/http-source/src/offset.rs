//! Where the source stands, as it is kept: which request comes next, and how much of its answer has been given before.

use serde::{Deserialize, Serialize};

/// The key: the source partition.
#[derive(Debug, Serialize)]
pub(crate) struct Partition<'a> {
    pub(crate) url: &'a str,
}

/// The value: the source offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Offset {
    /// From where to go on, where a query parameter says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// The address of the next page, within a row of pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// What the last answer to this very request was marked with; within an answer, what it was marked with itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
    /// When the last answer to this very request had changed; within an answer, when it had itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_modified: Option<String>,
    /// How many records of the answer have been given.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) skip: usize,
    /// The fingerprint of the last of them, by which it is found if the answer has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<String>,
}

impl Offset {
    /// What an answer was marked with.
    pub(crate) fn marks(&self) -> (Option<&str>, Option<&str>) {
        (self.etag.as_deref(), self.last_modified.as_deref())
    }

    /// Has the next request answered in full, whether or not anything has changed.
    pub(crate) fn forget_marks(&mut self) {
        self.etag = None;
        self.last_modified = None;
    }
}

/// A short stand-in for a record (FNV-1a). Nobody has to be kept from making two that are alike.
pub(crate) fn fingerprint(record: &[u8]) -> String {
    let hash = record
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_zero(skip: &usize) -> bool {
    *skip == 0
}
