//! Standard error as it is shared: log lines scroll by, a status block stays underneath. All of it goes through one
//! writer, so that the two never end up inside one another.

use std::io::{self, IsTerminal, Stderr, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Erases from the cursor to the end of the screen.
const ERASE_BELOW: &str = "\x1b[J";
/// Keeps lines that are too long on one row, whatever width the terminal gives their characters.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// What a terminal is taken to have that does not tell: columns, rows.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Standard error. Clones write to the same.
#[derive(Clone)]
pub(super) struct Console {
    screen: Arc<Mutex<Screen<Stderr>>>,
    is_terminal: bool,
}

impl Console {
    /// Standard error of the process.
    pub fn stderr() -> Self {
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let is_terminal = able && io::stderr().is_terminal();
        Self { screen: Arc::new(Mutex::new(Screen::new(io::stderr()))), is_terminal }
    }

    /// Whether somebody may be looking, on something that can erase lines.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Columns and rows, now.
    pub fn size(&self) -> (usize, usize) {
        match rustix::termios::tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => USUAL_SIZE,
        }
    }

    /// Puts another status block in place of the one that is there.
    pub fn show(&self, block: Vec<String>) {
        self.screen().show(block);
    }

    /// Takes the status block away, for good or until the next.
    pub fn clear(&self) {
        self.screen().show(Vec::new());
    }

    fn screen(&self) -> MutexGuard<'_, Screen<Stderr>> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes log lines. The formatter passes each line in one call.
impl Write for &Console {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.screen().line(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Console {
    type Writer = &'a Console;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// What is on the screen below the last log line.
struct Screen<W> {
    out: W,
    block: Vec<String>,
    /// How many rows are drawn.
    drawn: usize,
}

impl<W: Write> Screen<W> {
    fn new(out: W) -> Self {
        Self { out, block: Vec::new(), drawn: 0 }
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.draw(line)
    }

    fn show(&mut self, block: Vec<String>) {
        self.block = block;
        // A status that cannot be shown must not stop the work it is about.
        let _ = self.draw(b"");
    }

    /// Erases the block, writes a line, draws the block: in one write, so that nothing flickers.
    fn draw(&mut self, line: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 64);
        if self.drawn > 0 {
            bytes.extend(format!("\x1b[{}F{ERASE_BELOW}", self.drawn).bytes());
        }
        bytes.extend(line);
        if !self.block.is_empty() {
            bytes.extend(NO_WRAP.bytes());
            for line in &self.block {
                bytes.extend(line.bytes());
                bytes.push(b'\n');
            }
            bytes.extend(WRAP.bytes());
        }
        self.drawn = self.block.len();
        self.out.write_all(&bytes)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    //! What reaches the terminal, byte for byte.

    use super::*;

    fn written(screen: &mut Screen<Vec<u8>>) -> String {
        String::from_utf8(std::mem::take(&mut screen.out)).unwrap()
    }

    #[test]
    fn without_a_block_lines_pass_as_they_are() {
        let mut screen = Screen::new(Vec::new());
        screen.line(b"one\n").unwrap();
        assert_eq!(written(&mut screen), "one\n");
    }

    #[test]
    fn a_line_goes_above_the_block() {
        let mut screen = Screen::new(Vec::new());
        screen.show(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(written(&mut screen), "\x1b[?7la\nb\n\x1b[?7h");
        screen.line(b"one\n").unwrap();
        assert_eq!(written(&mut screen), "\x1b[2F\x1b[Jone\n\x1b[?7la\nb\n\x1b[?7h");
        screen.show(Vec::new());
        assert_eq!(written(&mut screen), "\x1b[2F\x1b[J");
        screen.line(b"two\n").unwrap();
        assert_eq!(written(&mut screen), "two\n");
    }
}
