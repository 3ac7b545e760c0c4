//! The host as the test sees it: a process to be watched, told when to die, and killed.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::host::{COMMITTED, DIE, HOST_VARIABLE, STOP};
use crate::faults::Moment;
use crate::scenario::Home;
use crate::wait::{self, Seen};
use crate::worker::Log;

/// The signal that nothing survives.
const SIGKILL: i32 = 9;
/// How long it may take to end after it was told to: its own limit, and some more.
const STOPS_WITHIN: Duration = Duration::from_secs(45);

/// A host in a process of its own. It is killed when it is dropped.
pub struct Victim {
    child: Child,
    orders: ChildStdin,
    committed: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// How a wait for a victim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was killed, by itself or by the test.
    Killed,
    /// It ended in good order.
    Stopped,
}

impl Victim {
    /// Starts one on the folders of a scenario. `entry` is the ignored test of this program that calls
    /// [`run_host`](super::run_host); `brokers` are the addresses it uses.
    pub fn start(home: &Home, entry: &str, brokers: &str) -> Result<Self> {
        Self::start_under(home, entry, Some(brokers), &[])
    }

    /// Starts another worker of the same group, with a data folder of its own.
    pub fn start_beside(home: &Home, entry: &str, brokers: &str, worker: &str) -> Result<Self> {
        Self::start_with(entry, &home.write_config_of(worker, brokers)?, &home.log_of(worker), &[])
    }

    /// The same, on the embedded broker where there are no `brokers`, with a command line in front of the program.
    pub fn start_under(home: &Home, entry: &str, brokers: Option<&str>, under: &[String]) -> Result<Self> {
        Self::start_with(entry, &home.write_config(brokers)?, &home.log(), under)
    }

    fn start_with(entry: &str, config: &Path, log: &Log, under: &[String]) -> Result<Self> {
        let log = log.append()?;
        let program = env::current_exe()?;
        let mut command = match under.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        let mut child = command
            .args([entry, "--exact", "--ignored", "--nocapture"])
            .env(HOST_VARIABLE, config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("start the host")?;
        let orders = child.stdin.take().context("it has no standard input")?;
        let told = BufReader::new(child.stdout.take().context("it has no standard output")?);
        let committed = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&committed);
        thread::spawn(move || {
            for line in told.lines().map_while(Result::ok) {
                if let [COMMITTED, connector, records] = line.split(' ').collect::<Vec<_>>()[..] {
                    let records: u64 = records.parse().unwrap_or_default();
                    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                    *counted.entry(connector.to_owned()).or_default() += records;
                }
            }
        });
        Ok(Self { child, orders, committed })
    }

    /// How many records of its own making a connector has committed since the start.
    #[must_use]
    pub fn committed(&self, connector: &str) -> u64 {
        let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        committed.get(connector).copied().unwrap_or_default()
    }

    /// Tells it to die when a moment comes for the given time from now on.
    pub fn die_at(&mut self, moment: Moment, times: u64) -> Result<()> {
        self.tell(&format!("{DIE} {moment} {times}"))
    }

    /// Tells it to stop in good order.
    pub fn stop(&mut self) -> Result<()> {
        self.tell(STOP)
    }

    fn tell(&mut self, order: &str) -> Result<()> {
        match writeln!(self.orders, "{order}") {
            // It may have died already, as it was told before.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// How it has ended, if it has. An end that nobody asked for is an error.
    pub fn ended(&mut self) -> Result<Option<Ended>> {
        self.child.try_wait()?.map(ended).transpose()
    }

    /// Lets its process stand still, or go on.
    pub fn freeze(&self, still: bool) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(id, if still { Signal::STOP } else { Signal::CONT })?)
    }

    /// Kills it, if it lives yet.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        let ended = ended(self.child.wait()?)?;
        ensure!(ended == Ended::Killed, "the host ended before it was killed");
        Ok(())
    }

    /// Waits until it has ended.
    pub async fn until_ended(&mut self) -> Result<Ended> {
        wait::until("the host has ended", STOPS_WITHIN, async || {
            Ok(self.ended()?.map_or_else(|| Seen::NotYet("it runs".to_owned()), Seen::Done))
        })
        .await
    }
}

fn ended(status: ExitStatus) -> Result<Ended> {
    match (status.signal(), status.success()) {
        (Some(SIGKILL), _) => Ok(Ended::Killed),
        (None, true) => Ok(Ended::Stopped),
        _ => bail!("the host ended by itself: {status}"),
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
