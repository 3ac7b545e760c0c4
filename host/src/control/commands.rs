//! What an operator may tell a running host: pause, resume, stop and restart connectors, restart tasks.

use std::io;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::info;

use super::machine::{TaskEvent, TaskState};
use super::status::Status;
use super::supervisor::Supervisor;
use crate::config::InitialState;

/// What shall be done about a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// It finishes what it has taken up, and waits until it is resumed. Kept over restarts of the host.
    Pause,
    /// It runs again.
    Resume,
    /// It finishes what it has taken up, and ends until it is resumed. Kept over restarts of the host.
    Stop,
    /// Its tasks begin anew at the last commit: all of them, or those that failed. Versions in quarantine are tried
    /// again.
    Restart {
        /// Leave alone those that run.
        only_failed: bool,
    },
    /// One task begins anew at the last commit.
    RestartTask(u32),
}

/// Why a command was not carried out. Nothing has changed then.
#[derive(Debug, Error)]
pub enum CommandError {
    /// There is no such connector.
    #[error("connector {0} not found")]
    UnknownConnector(String),
    /// It has no such task.
    #[error("connector {connector} has no task {task}")]
    UnknownTask {
        /// The connector.
        connector: String,
        /// The task's number.
        task: u32,
    },
    /// Another worker of the group runs it.
    #[error("{what}: {elsewhere}")]
    Elsewhere {
        /// The connector, or its task.
        what: String,
        /// Who does.
        elsewhere: String,
    },
    /// It does not run, so that there is nothing to restart.
    #[error("connector {connector} is {state}; resume it first")]
    NotRunning {
        /// The connector.
        connector: String,
        /// What it was told to be.
        state: &'static str,
    },
    /// What was said could not be kept.
    #[error("{0}")]
    NotKept(#[from] io::Error),
    /// The host is about to end.
    #[error("the host is stopping")]
    Stopping,
}

/// A command on its way.
pub(super) struct Request {
    connector: String,
    command: Command,
    done: oneshot::Sender<Result<(), CommandError>>,
}

/// A running host, for whoever watches it or tells it what to do.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
}

impl Handle {
    pub(super) fn new(requests: mpsc::Sender<Request>, status: watch::Receiver<Status>) -> Self {
        Self { requests, status }
    }

    /// What runs, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Gives a command, and waits until it was taken in. What it leads to shows in the status.
    pub async fn tell(&self, connector: &str, command: Command) -> Result<(), CommandError> {
        let (done, taken) = oneshot::channel();
        let request = Request { connector: connector.to_owned(), command, done };
        self.requests.send(request).await.map_err(|_| CommandError::Stopping)?;
        taken.await.unwrap_or(Err(CommandError::Stopping))
    }
}

impl Supervisor {
    pub(super) async fn obey(&mut self, Request { connector, command, done }: Request) {
        let result = self.command(&connector, command).await;
        if result.is_ok() {
            info!(%connector, ?command, "told by an operator");
        }
        // Whoever asked may be gone.
        let _ = done.send(result);
    }

    async fn command(&mut self, name: &str, command: Command) -> Result<(), CommandError> {
        if self.stopping {
            return Err(CommandError::Stopping);
        }
        let found = self.connectors.get_mut(name).filter(|connector| !connector.leaving);
        let connector = found.ok_or_else(|| CommandError::UnknownConnector(name.to_owned()))?;
        match command {
            Command::Pause => self.aim(name, InitialState::Paused).await,
            Command::Resume => self.aim(name, InitialState::Running).await,
            Command::Stop => self.aim(name, InitialState::Stopped).await,
            Command::Restart { .. } | Command::RestartTask(_) if connector.target() != InitialState::Running => {
                Err(CommandError::NotRunning { connector: name.to_owned(), state: connector.target().name() })
            }
            Command::Restart { .. } if !connector.tasks.is_empty() && !connector.tasks.iter().any(|t| t.ours) => {
                Err(CommandError::Elsewhere { what: format!("connector {name}"), elsewhere: self.elsewhere() })
            }
            // Its tasks are about to be replaced by new ones.
            Command::RestartTask(_) if connector.next.is_some() => Ok(()),
            Command::Restart { only_failed } => {
                if !only_failed {
                    connector.versions.pardon();
                }
                // A connector that could not be started is tried again at once.
                connector.replan_at = connector.replan_at.map(|_| Instant::now());
                let failed = |state: &TaskState| matches!(state, TaskState::Failed { .. });
                // What is about to be replaced begins anew anyway.
                let tasks = connector.tasks.iter().enumerate().filter(|_| connector.next.is_none());
                let chosen: Vec<_> =
                    tasks.filter(|(_, t)| !only_failed || failed(t.machine.state())).map(|(index, _)| index).collect();
                for index in chosen {
                    self.act(name, index, TaskEvent::Restart);
                }
                self.reconcile(name);
                Ok(())
            }
            Command::RestartTask(task) => {
                let found = connector.tasks.iter().enumerate().find(|(_, t)| t.plan.task == task);
                let unknown = || CommandError::UnknownTask { connector: name.to_owned(), task };
                let (index, found) = found.ok_or_else(unknown)?;
                if !found.ours {
                    let what = format!("task {task} of connector {name}");
                    return Err(CommandError::Elsewhere { what, elsewhere: self.elsewhere() });
                }
                self.act(name, index, TaskEvent::Restart);
                Ok(())
            }
        }
    }

    /// Notes what a connector shall be from now on, and makes it so.
    async fn aim(&mut self, name: &str, target: InitialState) -> Result<(), CommandError> {
        self.targets.set(name, target).await?;
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.target = Some(target);
            connector.problem = None;
        }
        self.reconcile(name);
        Ok(())
    }
}
