//! The host, as a process that a test can have killed in the middle of a step: the test's own program, started again.
//!
//! It is told what to do line by line on its standard input, and tells there what it commits on its standard output.

use std::env;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Signal, getpid, kill_process};
use sandbar::config::WorkerConfig;
use sandbar::wiring;
use tokio::sync::watch;

use crate::faults::{Moment, Observed, Watch};

/// Names the worker's configuration. A program with it is the host, and runs no tests.
pub const HOST_VARIABLE: &str = "SANDBAR_FIRE_HOST";

/// On standard input: dies the given time that the given moment comes, `die commit:after 3`.
pub(super) const DIE: &str = "die";
/// On standard input: stops in good order.
pub(super) const STOP: &str = "stop";
/// On standard output: `committed NAME RECORDS`.
pub(super) const COMMITTED: &str = "committed";

/// Runs the host until it is told to stop or dies. Nothing happens where no test started this process.
pub async fn run_host() -> Result<()> {
    let Some(file) = env::var_os(HOST_VARIABLE).map(PathBuf::from) else { return Ok(()) };
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_writer(io::stderr)
        .try_init()
        .map_err(|error| anyhow!("the log: {error}"))?;
    let text = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let (config, _) = WorkerConfig::parse(&file, &text).map_err(|errors| anyhow!("{errors:?}"))?;

    let (stop, stopped) = watch::channel(false);
    let doom = Arc::new(Doom::default());
    let told = Arc::clone(&doom);
    thread::spawn(move || {
        // Without a test there is nobody to run for.
        let outcome = obey(&told, &stop);
        eprintln!("the host's test is gone: {outcome:?}");
        std::process::exit(1);
    });
    let drained = wiring::run_on(
        Arc::new(config),
        wiring::Process::default(),
        stopped,
        |_| {},
        |broker| Arc::new(Observed::new(broker, doom)),
    );
    if !drained.await? {
        bail!("not all tasks ended by themselves");
    }
    Ok(())
}

/// Does as it is told until nobody tells it anything more.
fn obey(doom: &Doom, stop: &watch::Sender<bool>) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [STOP] => drop(stop.send_replace(true)),
            [DIE, moment, times] => {
                let armed = (moment.parse()?, times.parse()?);
                *doom.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
            }
            _ => bail!("{line:?} is neither `{STOP}` nor `{DIE} MOMENT TIMES`"),
        }
    }
    Ok(())
}

/// Ends the process at a moment.
#[derive(Default)]
struct Doom {
    /// Which moment, and how often it has to come.
    armed: Mutex<Option<(Moment, u32)>>,
}

impl Watch for Doom {
    fn at(&self, _: &str, moment: Moment) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, left)) = &mut *armed
            && *at == moment
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                // As the world does it: no destructor runs, nothing is flushed.
                let killed = kill_process(getpid(), Signal::KILL);
                unreachable!("the process outlived SIGKILL: {killed:?}");
            }
        }
    }

    fn committed(&self, connector: &str, records: u64) {
        let mut out = io::stdout().lock();
        // A test that is gone is noticed elsewhere.
        let _ = writeln!(out, "{COMMITTED} {connector} {records}").and_then(|()| out.flush());
    }
}
