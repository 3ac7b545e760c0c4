//! Small matters of text that several parts share.

use std::fmt::Display;

use sandbar_abi::names::MAX_TEXT_BYTES;

/// A text without what is too much of it for a log or a status.
pub(crate) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

/// Several messages as one line.
pub(crate) fn one_line<T: Display>(messages: &[T]) -> String {
    messages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
