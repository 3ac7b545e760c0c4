//! What an operator may tell a worker group: pause, resume, stop and restart connectors, restart tasks. All of it goes
//! through the topic that every worker of the group follows, so that it does not matter which of them is told.

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::forgotten::Forgotten;
use super::machine::{TaskEvent, TaskState};
use super::status::{ConnectorState, Status};
use super::supervisor::Supervisor;
use crate::config::InitialState;
use crate::storage::{ConfigStorage, Entry, Restart, StorageError};

/// What shall be done about a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// It finishes what it has taken up, and waits until it is resumed. Kept over restarts of the host.
    Pause,
    /// It runs again.
    Resume,
    /// It finishes what it has taken up, and ends until it is resumed. Kept over restarts of the host.
    Stop,
    /// Something of it begins anew at the last commit. Versions in quarantine are tried again, unless one task, or only
    /// those that failed, are asked for; or the connector, if it failed, and it has not.
    Restart(Restart),
}

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum CommandError {
    /// There is no such connector.
    #[error("Unknown connector {0}")]
    UnknownConnector(String),
    /// It has no such task.
    #[error("Unknown task: {connector}-{task}")]
    UnknownTask {
        /// The connector.
        connector: String,
        /// The task's number.
        task: u32,
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
    NotKept(#[from] StorageError),
    /// The host is about to end.
    #[error("the host is stopping")]
    Stopping,
}

/// A running host, for whoever watches it or tells it what to do.
#[derive(Clone)]
pub struct Handle {
    storage: ConfigStorage,
    status: watch::Receiver<Status>,
    forgotten: Forgotten,
}

impl Handle {
    pub(super) fn new(storage: ConfigStorage, status: watch::Receiver<Status>, forgotten: Forgotten) -> Self {
        Self { storage, status, forgotten }
    }

    /// What runs, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// What the worker group agrees on.
    #[must_use]
    pub fn storage(&self) -> &ConfigStorage {
        &self.storage
    }

    /// Gives a command, and waits until this worker has taken it in. What it leads to shows in the status.
    pub async fn tell(&self, connector: &str, command: Command) -> Result<(), CommandError> {
        self.check(connector, command)?;
        let name = connector.to_owned();
        let entry = match command {
            Command::Pause => Entry::Target { name, state: Some(InitialState::Paused) },
            Command::Resume => Entry::Target { name, state: Some(InitialState::Running) },
            Command::Stop => Entry::Target { name, state: Some(InitialState::Stopped) },
            Command::Restart(what) => Entry::Restart { name, what },
        };
        if matches!(entry, Entry::Target { .. }) {
            self.forgotten.remove(connector);
        }
        self.storage.change(|_| (vec![entry.clone()], ())).await?;
        info!(%connector, ?command, "told by an operator");
        Ok(())
    }

    /// Whether a command would be carried out, as far as it is known before it is given.
    fn check(&self, name: &str, command: Command) -> Result<(), CommandError> {
        if self.status.has_changed().is_err() {
            return Err(CommandError::Stopping);
        }
        let status = self.status.borrow();
        let found = status.defined().find(|connector| connector.name == name);
        let connector = found.ok_or_else(|| CommandError::UnknownConnector(name.to_owned()))?;
        let Command::Restart(what) = command else { return Ok(()) };
        if let Restart::Task(task) = what
            && !connector.tasks.iter().any(|known| known.id == task)
            && connector.target == InitialState::Running
        {
            return Err(CommandError::UnknownTask { connector: name.to_owned(), task });
        }
        if connector.target != InitialState::Running {
            return Err(CommandError::NotRunning { connector: name.to_owned(), state: connector.target.name() });
        }
        Ok(())
    }
}

impl Supervisor {
    /// Begins a connector, or a part of it, anew. What other workers run of it they see to.
    pub(super) fn restart(&mut self, name: &str, what: Restart) {
        let found = self.connectors.get_mut(name).filter(|connector| !connector.leaving);
        let Some(connector) = found.filter(|connector| connector.target() == InitialState::Running) else { return };
        let failed = |state: &TaskState| matches!(state, TaskState::Failed { .. });
        let chosen: Vec<_> = connector
            .tasks
            .iter()
            .enumerate()
            // What is about to be replaced begins anew anyway.
            .filter(|(_, task)| task.ours && connector.next.is_none())
            .filter(|(_, task)| match what {
                Restart::Connector { .. } => false,
                Restart::Tasks { only_failed } => !only_failed || failed(task.machine.state()),
                Restart::Task(number) => task.plan.task == number,
            })
            .map(|(index, _)| index)
            .collect();
        let is_whole = match what {
            Restart::Connector { only_failed } => !only_failed || connector.own_state().0 == ConnectorState::Failed,
            Restart::Tasks { .. } => true,
            Restart::Task(_) => false,
        };
        if is_whole {
            if what != (Restart::Tasks { only_failed: true }) {
                connector.versions.pardon();
            }
            // A connector that could not be started is tried again at once.
            connector.replan_at = connector.replan_at.map(|_| Instant::now());
        }
        for index in chosen {
            self.act(name, index, TaskEvent::Restart);
        }
        if is_whole {
            self.reconcile(name);
        }
    }
}
