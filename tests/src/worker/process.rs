//! A worker as a process of its own: started as an operator starts it, ended as the world ends it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Log;
use crate::built;
use crate::scenario::{Home, On};
use crate::wait::{self, Seen};

/// The signal that nothing survives.
const SIGKILL: i32 = 9;

/// How long a worker may take to end after SIGTERM: its own limit, and some more.
const STOPS_WITHIN: Duration = Duration::from_secs(45);

/// A worker. It is killed when it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts one on the folders of a scenario.
    pub(crate) fn start(home: &Home) -> Result<Self> {
        let brokers = match home.on() {
            On::Embedded => None,
            On::Kafka(brokers) => Some(brokers.as_str()),
        };
        Self::start_with(&home.write_config(brokers)?, &home.log())
    }

    /// Starts another worker of the same group on Kafka, with a data folder of its own and a REST interface on any port.
    pub(crate) fn start_beside(home: &Home, worker: &str) -> Result<Self> {
        let On::Kafka(brokers) = home.on() else { bail!("on its embedded broker a worker is alone") };
        Self::start_with(&home.write_config_that_answers(worker, brokers)?, &home.log_of(worker))
    }

    fn start_with(config: &Path, log: &Log) -> Result<Self> {
        let binary = built::sandbar()?;
        let mut command = Command::new(&binary);
        command.arg("run").arg("--config").arg(config).args(["--log-format", "json"]);
        let log = log.append()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self(command.spawn().with_context(|| format!("start {}", binary.display()))?))
    }

    /// An error if it has ended, which it should not by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the worker ended by itself: {status}"),
        }
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(mut self) -> Result<()> {
        self.check()?;
        self.0.kill()?;
        let status = self.0.wait()?;
        ensure!(status.signal() == Some(SIGKILL), "the worker ended before it was killed: {status}");
        Ok(())
    }

    /// Asks it to end, as an operator does, and waits for it.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        self.check()?;
        let killed = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status()?;
        ensure!(killed.success(), "kill -TERM: {killed}");
        wait::until("the worker has ended after SIGTERM", STOPS_WITHIN, async || {
            Ok(match self.0.try_wait()? {
                Some(status) => Seen::Done(status),
                None => Seen::NotYet("it runs".to_owned()),
            })
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
