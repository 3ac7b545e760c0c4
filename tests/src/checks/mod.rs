//! Whether nothing is lost, nothing is doubled and everything is in order, decided by what records say of themselves.

mod lines;
mod numbered;
mod words;

pub use lines::numbered_lines;
pub use numbered::{Numbered, Partitions, complete, in_files, read, same};
pub use words::{Counts, check_state, check_updates, count};
