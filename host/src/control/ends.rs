//! What tasks are told, and what becomes of them when an attempt is over.

use std::sync::Arc;

use sandbar_abi::manifest::Kind;
use sandbar_abi::status::CloseReason;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::machine::{Action, Blame, Ending, TaskEvent, TaskState};
use super::supervisor::{Event, Supervisor};
use crate::broker::BrokerErrorKind;
use crate::task::{self, TaskEnd, TaskError};

impl Supervisor {
    /// An attempt of a task is over.
    pub(super) fn ended(&mut self, name: &str, number: u32, run: u64, ending: Ending) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let Some(index) = connector.tasks.iter().position(|t| t.plan.task == number && t.run == run) else { return };
        match &ending {
            Ending::Done | Ending::Reopen => {}
            Ending::Completed => info!(connector = %name, task = number, "completed: the source has come to its end"),
            Ending::Failed { error, .. } if connector.tasks.get(index).is_some_and(|t| !t.machine.is_wanted()) => {
                warn!(connector = %name, task = number, "failed as it ended, what it had not committed is undone: {error}");
            }
            Ending::Failed { .. } => {}
        }
        // A task that others are about to replace, or that was told to end, says nothing about what comes after it.
        let counts = connector.next.is_none() && connector.tasks.get(index).is_some_and(|t| t.machine.is_wanted());
        let failed = match &ending {
            Ending::Failed { error, blame: Blame::Plugin } if counts => Some(error.clone()),
            _ => None,
        };
        self.act(name, index, TaskEvent::Ended(ending));
        let task = self.connectors.get(name).and_then(|c| c.tasks.get(index));
        if let Some(TaskState::Failed { error, until, loops }) = task.map(|t| t.machine.state()) {
            let again_in = until.saturating_duration_since(Instant::now());
            error!(connector = %name, task = number, ?again_in, crash_loop = loops, "failed: {error}");
        }
        if let Some(error) = failed {
            self.roll_back(name, &error);
        }
        self.settle(name);
    }

    /// Passes an event to a task, and does what it asks for.
    pub(super) fn act(&mut self, name: &str, index: usize, event: TaskEvent) {
        let stopping = self.stopping;
        let Some(task) = self.connectors.get_mut(name).and_then(|c| c.tasks.get_mut(index)) else { return };
        let starts = matches!(event, TaskEvent::Start | TaskEvent::Restart | TaskEvent::Tick);
        if starts && (stopping || !task.ours) {
            return;
        }
        match task.machine.on(event, Instant::now()) {
            Action::Nothing => {}
            Action::SignalStop => drop(task.stop.send_replace(Some(CloseReason::Stop))),
            Action::Spawn { careful } => {
                task.run += 1;
                task.told_stalled = false;
                task.progress.begin_run(task.plan.role != Kind::Source);
                task.stop.send_replace(None);
                let ran = task::run(
                    Arc::clone(&task.plan),
                    Arc::clone(&self.broker),
                    task.stop.subscribe(),
                    Arc::clone(&task.progress),
                    careful,
                );
                let (connector, number, run, events) = (name.to_owned(), task.plan.task, task.run, self.events.clone());
                self.work.spawn(async move {
                    // By itself, so that a panic is noticed, and in a set, so that it ends with who waits for it.
                    let mut alone = JoinSet::new();
                    alone.spawn(ran);
                    let ending = match alone.join_next().await {
                        Some(Ok(end)) => ending(end),
                        // A defect of ours, not of the guest: it must not pass for a clean end.
                        Some(Err(panic)) => {
                            Ending::Failed { error: format!("internal error: {panic}"), blame: Blame::Plugin }
                        }
                        None => Ending::Done,
                    };
                    // The supervisor is gone only when the host stops.
                    let _ = events.send(Event::Ended { connector, task: number, run, ending });
                });
            }
        }
    }
}

fn ending(end: TaskEnd) -> Ending {
    match end {
        TaskEnd::Stopped | TaskEnd::Interrupted => Ending::Done,
        TaskEnd::Completed => Ending::Completed,
        TaskEnd::Reopen => Ending::Reopen,
        TaskEnd::Fenced(why) => {
            Ending::Failed { error: format!("fenced, another worker runs this task: {why}"), blame: Blame::Rival }
        }
        TaskEnd::Failed(error) => {
            let blame = match &error {
                TaskError::Broker(error) if error.kind == BrokerErrorKind::Expired => Blame::Silence,
                TaskError::Broker(_) => Blame::Broker,
                _ => Blame::Plugin,
            };
            Ending::Failed { error: error.to_string(), blame }
        }
    }
}
