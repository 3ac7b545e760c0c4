//! Text for people: tables, numbers, and anything from outside made safe to show on a terminal.

use std::borrow::Cow;

/// Text without anything that could steer a terminal or reorder what is around it: such characters show as escapes.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// As [`shown`], but lines stay lines.
pub(super) fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let harmful = |c: char| (c.is_control() || is_invisible(c)) && !keep(c);
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// Characters without a width that change how their neighbours are read: joiners, marks of direction, line separators.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The first characters, with an ellipsis where there are more.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    Cow::Owned(format!("{kept}…"))
}

/// Text in lines of at most so many characters, broken at blanks; a word that is longer has a line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// A number with commas: `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 plugin`, `2 plugins`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number as u64))
}

/// Rows of cells in columns that line up. Cells are made safe to show.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// A table with these headings; the columns in `right` are numbers, and line up on their right.
    pub fn new(headings: &[&str], right: &'static [usize]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()], right }
    }

    /// A table without headings.
    pub fn plain() -> Self {
        Self { rows: Vec::new(), right: &[] }
    }

    /// Appends a row.
    pub fn row<const N: usize>(&mut self, cells: [impl AsRef<str>; N]) {
        self.rows.push(cells.iter().map(|cell| shown(cell.as_ref()).into_owned()).collect());
    }

    /// The lines, without blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                if column > 0 {
                    line.push_str("  ");
                }
                if self.right.contains(&column) {
                    line.push_str(&format!("{cell:>width$}"));
                } else {
                    line.push_str(&format!("{cell:<width$}"));
                }
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    /// Appends a row whose last cell is wrapped: its further lines stand below it, with nothing before them.
    pub fn row_wrapped<const N: usize>(&mut self, cells: [&str; N], last: &str, width: usize) {
        for (index, line) in wrapped(&shown(last), width).into_iter().enumerate() {
            let before = cells.iter().map(|cell| if index == 0 { shown(cell).into_owned() } else { String::new() });
            self.rows.push(before.chain([line]).collect());
        }
    }

    /// The lines as one text, indented.
    pub fn text(&self, indent: &str) -> String {
        self.lines().iter().map(|line| format!("{indent}{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    //! What people get to see.

    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(shown("plain, größer, 世界"), "plain, größer, 世界");
        assert_eq!(shown("a\x1b]0;x\x07\nb"), "a\\u{1b}]0;x\\u{7}\\nb");
        assert_eq!(shown("abc\u{202e}def"), "abc\\u{202e}def");
        assert_eq!(shown_lines("a\n\tb"), "a\n\\tb");
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1, "error"), counted(0, "error")), ("1 error".to_owned(), "0 errors".to_owned()));
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("größe", 5), "größe");
        assert_eq!(cut("größer", 5), "größ…");
        assert_eq!(cut("a", 0), "…");
    }

    #[test]
    fn long_text_is_wrapped_at_blanks() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("extraordinary a", 5), ["extraordinary", "a"]);
        assert_eq!(wrapped("", 5), [""]);
        let mut table = Table::new(&["K", "TEXT"], &[]);
        table.row_wrapped(["a"], "one two", 3);
        assert_eq!(table.lines(), ["K  TEXT", "a  one", "   two"]);
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", "N"], &[1]);
        table.row(["a", "1"]);
        table.row(["longer", "1,000"]);
        assert_eq!(table.lines(), ["NAME        N", "a           1", "longer  1,000"]);
    }
}
