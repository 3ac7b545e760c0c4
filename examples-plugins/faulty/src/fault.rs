//! The faults themselves.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sandbar_plugin::host::{log, metric, state};
use sandbar_plugin::{Error, Result};
use serde::Deserialize;

/// What is taken at a time by `allocate`, and lost by each call with `leak`.
const PIECE_BYTES: usize = 1 << 20;
/// What `exit` leaves with.
const EXIT_CODE: i32 = 3;

/// The configuration; `manifest.json` describes the keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// What goes wrong.
    pub mode: Mode,
    /// Where.
    pub at: At,
    /// With which record; without it, with all.
    pub poison: Option<String>,
    /// How many times more an error is returned; without it, always.
    pub times: Option<u64>,
    /// How long.
    pub millis: u64,
    /// How many.
    pub count: u64,
    /// What is said.
    pub message: String,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            mode: Mode::None,
            at: At::Call,
            poison: None,
            times: None,
            millis: 1000,
            count: 100_000,
            message: "as configured".to_owned(),
        }
    }
}

/// What goes wrong; `manifest.json` tells what each of them does.
#[allow(missing_docs)] // their names say it, and the manifest more
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    None,
    Panic,
    Trap,
    Abort,
    Exit,
    Loop,
    Recurse,
    Allocate,
    Leak,
    Sleep,
    Spin,
    Retryable,
    Fatal,
    Throttled,
    FailRecord,
    RetryRecord,
    OneRecord,
    LogFlood,
    MetricFlood,
    StdoutFlood,
    StderrFlood,
    StateFlood,
    HugeOutput,
    ManyOutputs,
    StrayTopic,
    Idle,
}

/// Where it goes wrong.
#[allow(missing_docs)] // the names of the calls
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    Call,
    Open,
    Check,
    Assigned,
    Revoked,
    Flush,
    Committed,
    Close,
}

impl Fault {
    /// Whether a record with this value is at fault.
    pub(crate) fn is_about(&self, value: &[u8]) -> bool {
        self.poison.as_ref().is_none_or(|poison| poison.as_bytes() == value)
    }

    /// Whether an error is still to be returned; counts it.
    pub(crate) fn is_due(&mut self) -> bool {
        match &mut self.times {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// Does what is configured for this place. What is about the output or a single record is left to the caller.
    pub(crate) fn strike(&mut self, at: At) -> Result<()> {
        if self.at != at {
            return Ok(());
        }
        let time = Duration::from_millis(self.millis);
        let mode = self.mode;
        match mode {
            #[allow(clippy::panic)] // as asked
            Mode::Panic => panic!("{}", self.message),
            Mode::Trap => trap(),
            Mode::Abort => std::process::abort(),
            Mode::Exit => std::process::exit(EXIT_CODE),
            Mode::Loop => loop {
                black_box(());
            },
            Mode::Recurse => drop(black_box(recurse(0))),
            Mode::Allocate => allocate(),
            Mode::Leak => leak(),
            Mode::Sleep => std::thread::sleep(time),
            Mode::Spin => spin(time),
            Mode::Retryable if self.is_due() => return Err(Error::retryable(&self.message)),
            Mode::Fatal if self.is_due() => return Err(Error::fatal(&self.message)),
            Mode::Throttled if self.is_due() => return Err(Error::throttled(time, &self.message)),
            Mode::LogFlood => (0..self.count).for_each(|n| log::info(format!("{n} {}", self.message))),
            Mode::MetricFlood => (0..self.count).for_each(|n| metric::counter(&format!("flood_{n}_total"), 1.0)),
            Mode::StdoutFlood => (0..self.count).for_each(|n| println!("{n} {}", self.message)),
            Mode::StderrFlood => (0..self.count).for_each(|n| eprintln!("{n} {}", self.message)),
            Mode::StateFlood => (0..self.count).try_for_each(|n| state::put(&n.to_le_bytes(), &[0; 1024]))?,
            _ => {}
        }
        Ok(())
    }
}

fn trap() {
    #[cfg(target_arch = "wasm32")]
    std::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

#[allow(unconditional_recursion)] // as asked
fn recurse(depth: u64) -> u64 {
    // Used after the call, so that the call cannot become a loop.
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + black_box(frame)[0]
}

fn allocate() {
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; PIECE_BYTES]);
        black_box(&all);
    }
}

fn leak() {
    black_box(Box::leak(vec![1_u8; PIECE_BYTES].into_boxed_slice()));
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box((0..1000_u64).sum::<u64>());
    }
}
