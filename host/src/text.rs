//! Small matters of text that several parts share.

use std::fmt::Display;

use sandbar_abi::names::MAX_TEXT_BYTES;

/// As much of a text as a log, a status or a header takes.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// Several messages as one line.
pub(crate) fn one_line<T: Display>(messages: &[T]) -> String {
    messages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
