//! Small matters of text that several parts share.

use std::fmt::Display;

/// Several messages as one line.
pub(crate) fn one_line<T: Display>(messages: &[T]) -> String {
    messages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
