//! `sandbar run`: starts a worker, shows what it does, and ends it in good order when asked to.

use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::console::Console;
use super::failure::{Failure, Outcome};
use super::logging::{self, Format};
use super::progress::ProgressLog;
use super::status::{self, Sampler};
use super::worker::{WorkerArgs, runtime};
use crate::config::{LogFormat, NOWHERE, WorkerConfig, keys};
use crate::control::Status;
use crate::wiring::{self, Process};

/// How often the status block is brought up to date: often enough to look alive.
const REFRESH: Duration = Duration::from_secs(1);
/// How often progress is logged where there is no status block: often enough to follow, rare enough to keep.
const PROGRESS: Duration = Duration::from_secs(10);
/// What a shell reports of a process that a signal ended: this and the signal's number.
const SIGNAL_EXIT: i32 = 128;

/// Run the connectors of a folder
///
/// Watches the folder for plugins (.wasm) and connector definitions (.json, .toml) and keeps the connectors that they
/// define running. Files may come, change and go at any time: nothing has to be restarted.
///
/// On a terminal a status block under the log shows each connector: records in and out, records in per second, and the
/// reason where it does not run. Elsewhere a log line tells every 10 seconds of each connector that got on.
///
/// Ctrl-C or SIGTERM ends it in good order: no new records are taken in, those under way are finished and committed,
/// and the exit code is 0; it is 1 if that took longer than `shutdown.timeout.ms`. A second one ends it at once. Either
/// way nothing is lost: what was not committed is done again at the next start.
///
/// RUST_LOG, where it is set, takes the place of the log level, as in RUST_LOG=info,sandbar::broker=debug.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar run                                             ./sandbar.toml if it is there, else ./plugins and ./data
  sandbar run --plugins connectors --data /var/lib/sandbar
  sandbar run --brokers kafka-1:9092,kafka-2:9092
  sandbar run --log-format json 2>> sandbar.log")]
pub(super) struct RunArgs {
    #[command(flatten)]
    worker: WorkerArgs,
    /// The folder of plugins and connector definitions; overrides the file [default: plugins]
    #[arg(long, value_name = "DIR", help_heading = "Worker")]
    plugins: Option<PathBuf>,
    /// The least severe messages that are logged; overrides the file [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Where the REST interface answers, `none` for nowhere; overrides the file [default: 127.0.0.1:8083]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: Option<String>,
    /// How messages are logged; overrides the file [default: auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogStyle>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogStyle {
    /// Plain with a status block on a terminal, else JSON
    Auto,
    /// Lines for people
    Plain,
    /// One JSON object a line
    Json,
}

impl LogLevel {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl LogStyle {
    fn format(self) -> LogFormat {
        match self {
            Self::Auto => LogFormat::Auto,
            Self::Plain => LogFormat::Plain,
            Self::Json => LogFormat::Json,
        }
    }
}

impl RunArgs {
    fn over(&self, mut worker: WorkerConfig) -> WorkerConfig {
        if let Some(plugins) = &self.plugins {
            worker.plugins.clone_from(plugins);
        }
        if let Some(listen) = &self.listen {
            worker.rest.listen = Some(listen.clone()).filter(|address| address != NOWHERE);
        }
        if let Some(level) = self.log_level {
            worker.log.level = level.name().to_owned();
        }
        if let Some(style) = self.log_format {
            worker.log.format = style.format();
        }
        worker
    }
}

fn address(text: &str) -> Result<String, String> {
    keys::REST_LISTEN.kind.check(text).map(|()| text.to_owned())
}

/// Runs a worker until it is told to stop.
pub(super) fn run(args: &RunArgs) -> Outcome {
    let (worker, warnings) =
        args.worker.load().map_err(|failure| failure.hint("`sandbar validate` checks all files"))?;
    let worker = args.over(worker);
    let console = Console::stderr();
    let format = Format::of(worker.log.format, console.is_terminal(), logging::colour(&console));
    let process = logging::start(&worker.log.level, format, &console)?;
    for warning in warnings {
        warn!("{warning}");
    }
    let timeout = worker.shutdown_timeout;
    let runtime = runtime()?;
    let drained = runtime.block_on(serve(worker, process, format, console));
    // Whatever still runs was given its time.
    runtime.shutdown_background();
    if drained? {
        return Ok(());
    }
    let what = format!("some tasks did not finish within {timeout:?}; what they had not committed is done again");
    Err(Failure::new(what).hint("shutdown.timeout.ms in sandbar.toml gives them longer"))
}

async fn serve(worker: WorkerConfig, process: Process, format: Format, console: Console) -> Outcome<bool> {
    let (stop, stopping) = watch::channel(false);
    let signals = Signals::listen().map_err(|error| Failure::new(format!("signals cannot be handled: {error}")))?;
    let signals = tokio::spawn(signals.obey(stop, console.clone()));
    let mut display = None;
    let drained = wiring::run(Arc::new(worker), process, stopping, |running| {
        display = Some(tokio::spawn(show(running.handle.status(), format.is_watched().then_some(console))));
    });
    let drained = drained.await;
    // The status ends with the supervisor, and the display with the status.
    if let Some(display) = display {
        let _ = display.await;
    }
    if matches!(drained, Ok(true)) {
        info!("stopped");
    }
    signals.abort();
    Ok(drained?)
}

/// Shows the status until there is none any more.
async fn show(mut status: watch::Receiver<Status>, console: Option<Console>) {
    let mut log = ProgressLog::default();
    let mut sampler = Sampler::new(Instant::now());
    let mut ticks = interval(if console.is_some() { REFRESH } else { PROGRESS });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to show yet.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => match &console {
                Some(console) => {
                    let rows = sampler.sample(&status.borrow(), Instant::now());
                    console.show(status::block(&rows, console.size()));
                }
                None => log.tell(&status.borrow().clone()),
            },
            changed = status.changed() => if changed.is_err() { break },
        }
    }
    if let Some(console) = console {
        console.clear();
    }
    // What was done since the last line, or in all.
    log.tell(&status.borrow());
}

/// The signals that ask a worker to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Says stop at the first, ends the process at the second.
    async fn obey(mut self, stop: watch::Sender<bool>, console: Console) {
        let (name, _) = self.next().await;
        info!(signal = name, "no new records are taken in, those under way are finished; a second signal ends at once");
        stop.send_replace(true);
        let (name, kind) = self.next().await;
        console.clear();
        warn!(signal = name, "ended at once; what was not committed is done again at the next start");
        process::exit(SIGNAL_EXIT + kind.as_raw_value());
    }

    async fn next(&mut self) -> (&'static str, SignalKind) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate()),
        }
    }
}
