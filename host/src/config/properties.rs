//! Java's properties files, as far as files of secrets need them: Kafka Connect's `${file:..}` reads the same files.

use std::iter::Peekable;
use std::str::Chars;

/// The value of a key; the last one where it is there more than once.
pub(super) fn find(text: &str, key: &str) -> Option<String> {
    let lines = logical_lines(text);
    lines.iter().rev().filter_map(|line| entry(line)).find(|(name, _)| name == key).map(|(_, value)| value)
}

/// Lines with their continuations joined; comments and blank lines left out.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_start();
        let mut whole = match open.take() {
            Some(whole) => whole,
            None if line.is_empty() || line.starts_with(['#', '!']) => continue,
            None => String::new(),
        };
        // An odd number of backslashes at the end: the last one continues the line.
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            whole.push_str(line.strip_suffix('\\').unwrap_or(line));
            open = Some(whole);
        } else {
            whole.push_str(line);
            lines.push(whole);
        }
    }
    lines.extend(open);
    lines
}

/// A key, and its value: what follows `=`, `:` or space.
fn entry(line: &str) -> Option<(String, String)> {
    let mut chars = line.chars().peekable();
    let key = unescape(&mut chars, |c| matches!(c, '=' | ':') || c.is_whitespace())?;
    skip_spaces(&mut chars);
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_spaces(&mut chars);
    }
    Some((key, unescape(&mut chars, |_| false)?))
}

fn skip_spaces(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

/// Text up to an unescaped end. Nothing where an escape is broken.
fn unescape(chars: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> Option<String> {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|c| !ends(*c)) {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next()? {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'f' => text.push('\u{c}'),
            'u' => text.push(unicode(chars)?),
            other => text.push(other),
        }
    }
    Some(text)
}

/// The character of `\uXXXX`, or of two of them where it takes a surrogate pair.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let first = unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(u32::from(first));
    }
    chars.next_if_eq(&'\\')?;
    chars.next_if_eq(&'u')?;
    char::decode_utf16([first, unit(chars)?]).next()?.ok()
}

fn unit(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let digits: String = chars.by_ref().take(4).collect();
    let hexadecimal = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal { u16::from_str_radix(&digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    //! What Java would read.

    use super::*;

    #[track_caller]
    fn finds(text: &str, key: &str, expected: Option<&str>) {
        assert_eq!(find(text, key).as_deref(), expected, "{text}");
    }

    #[test]
    fn keys_and_values_are_found_as_java_finds_them() {
        finds("a=1\nb : 2\nc 3\n", "b", Some("2"));
        finds("a=1\nb : 2\nc 3\n", "c", Some("3"));
        finds("# a=0\n! a=0\n\n  a = x = y ", "a", Some("x = y "));
        finds("a=1\na=2", "a", Some("2"));
        finds("a", "a", Some(""));
        finds("a=one\\\n   two\nb=3", "a", Some("onetwo"));
        finds("a=one\\\\\nb=3", "a", Some("one\\"));
        finds("a\\:b=c\\=\\u00e9\\ud83d\\ude00\\t", "a:b", Some("c=é😀\t"));
        finds("a=1", "b", None);
        finds("a=\\u12", "a", None);
        finds("a=\\ud83dx", "a", None);
    }
}
