//! What the benchmarks share: medians, plugins built for the occasion, a host in this process.

pub mod guest;
pub mod load;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use sandbar::config::WorkerConfig;
use sandbar::control::Status;
use sandbar::wiring::{self, Process, Running};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The middle of what was measured.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Prints a row of the results: what, the median, the least and the most.
pub fn row(what: &str, unit: &str, values: &[f64]) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    println!("| {what} | {:.1} | {least:.1} | {most:.1} | {unit} | {} |", median(values.to_vec()), values.len());
}

/// Prints the head of a table of results.
pub fn table(title: &str) {
    println!("\n### {title}\n\n| what | median | least | most | unit | runs |\n|---|---|---|---|---|---|");
}

/// Builds an example plugin and returns its file.
pub fn plugin(package: &str) -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--target", "wasm32-wasip1", "-p", package])
        .current_dir(&root)
        .status()
        .context("cargo cannot be run")?;
    ensure!(built.success(), "plugin {package} does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("wasm32-wasip1/release").join(format!("{}.wasm", package.replace('-', "_"))))
}

/// A host in this process, on a folder of its own.
pub struct Host {
    /// The folder of plugins and definitions.
    pub plugins: PathBuf,
    /// What runs.
    pub status: watch::Receiver<Status>,
    /// Where its REST interface answers, where it was told to.
    pub address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    running: JoinHandle<anyhow::Result<bool>>,
}

impl Host {
    /// Starts a host on a folder that holds, or will hold, `plugins` and `data`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_in(&folder.join("plugins"), &folder.join("data")).await
    }

    /// Starts a host on these folders.
    pub async fn start_in(plugins: &Path, data: &Path) -> anyhow::Result<Self> {
        let mut worker = WorkerConfig {
            plugins: plugins.to_owned(),
            data: data.to_owned(),
            cache: data.join("cache"),
            ..WorkerConfig::default()
        };
        worker.rest.listen = None;
        Self::start_with(worker).await
    }

    /// Starts a host with this configuration.
    pub async fn start_with(worker: WorkerConfig) -> anyhow::Result<Self> {
        let plugins = worker.plugins.clone();
        let (stop, stopped) = watch::channel(false);
        let (told, status) = oneshot::channel();
        let running = tokio::spawn(wiring::run(Arc::new(worker), Process::default(), stopped, |running| {
            drop(told.send(running))
        }));
        match status.await {
            Ok(Running { handle, address }) => Ok(Self { plugins, status: handle.status(), address, stop, running }),
            Err(_) => Err(running.await?.err().context("the host ended before it began")?),
        }
    }

    /// Waits for a condition, looking every half millisecond, and returns how long it took.
    pub async fn wait(&mut self, what: &str, mut holds: impl FnMut(&Status) -> bool) -> anyhow::Result<Duration> {
        const LIMIT: Duration = Duration::from_secs(60);
        let started = Instant::now();
        while !holds(&self.status.borrow()) {
            if started.elapsed() > LIMIT {
                bail!("{what}: not within {LIMIT:?}; {:#?}", *self.status.borrow());
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        Ok(started.elapsed())
    }

    /// Stops the host.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        ensure!(self.running.await??, "tasks did not end in time");
        Ok(())
    }
}

/// How often a connector has committed, over all its tasks.
#[must_use]
pub fn commits(status: &Status, connector: &str) -> u64 {
    status.connectors.iter().filter(|c| c.name == connector).map(|c| c.totals().commits).sum()
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

/// How long this thread has run on a processor: what others do on the machine does not count.
#[must_use]
pub fn thread_time() -> Duration {
    processor_time(ClockId::ThreadCPUTime)
}

/// How long all threads of this process have run on processors.
#[must_use]
pub fn process_time() -> Duration {
    processor_time(ClockId::ProcessCPUTime)
}

fn processor_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // A time that was spent is not negative.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
