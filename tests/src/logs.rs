//! Keeps what the host logs, so that a test can wait for a line and read it. All tests of a program share one log: what a
//! test looks for must name something of its own, such as its folder or its connector.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sandbar::api::Logs;
use sandbar::wiring::Process;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::wait;

/// How often the log is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static INSTALLED: OnceLock<Logs> = OnceLock::new();

/// Begins to keep the log, once a program. Returns what a host is asked for its log by.
pub fn capture() -> Process {
    let logs = INSTALLED.get_or_init(|| {
        let logs = Logs::default();
        let lines = layer().with_ansi(false).with_writer(|| Kept);
        let all = tracing_subscriber::registry().with(EnvFilter::new("info")).with(logs.clone()).with(lines);
        // A program that keeps its log in another way does without.
        let _ = all.try_init();
        logs
    });
    Process { logs: logs.clone(), ..Process::default() }
}

/// The lines so far that hold all of these.
#[must_use]
pub fn lines(needles: &[&str]) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    log.lines().filter(|line| needles.iter().all(|needle| line.contains(needle))).map(str::to_owned).collect()
}

/// Waits for a line that holds all of these.
pub async fn line(needles: &[&str]) -> Result<String> {
    let started = Instant::now();
    loop {
        if let Some(line) = lines(needles).pop() {
            return Ok(line);
        }
        if started.elapsed() > wait::WITHIN {
            let near = lines(&needles[..needles.len().min(1)]);
            bail!("no line with {needles:?} within {:?}; with the first of them: {near:#?}", wait::WITHIN);
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
