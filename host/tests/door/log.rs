//! What is logged on this thread: each test runs on one of its own. One subscriber serves all of them, since what a
//! place in the code logs to is found out once.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use serde_json::Value;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

static INSTALLED: Once = Once::new();

/// Begins to keep the log.
pub fn keep() {
    INSTALLED.call_once(|| {
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::DEBUG).with_writer(|| Line).init();
    });
}

/// All of it.
pub fn text() -> String {
    LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
}

/// The fields of the audit's events.
pub fn audit() -> Vec<Value> {
    let text = text();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["target"] == "audit").map(|event| event["fields"].clone()).collect()
}

struct Line;

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
