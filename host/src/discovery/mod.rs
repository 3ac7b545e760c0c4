//! Finds what is in the watched folder: the snapshot is the truth, file events are only a hint.

pub mod diff;
mod problem;
pub mod scan;
pub mod snapshot;

pub use problem::{FolderError, ScanProblem};
pub use snapshot::FileKind;
