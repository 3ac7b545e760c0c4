//! What it means that the worker group deals its slots out anew: tasks start here, or end here to start elsewhere.

use std::sync::Arc;

use tracing::info;

use super::machine::{TaskEvent, TaskState};
use super::member::Member;
use super::placement::{Dealt, Placement, SLOTS};
use super::status::WorkerShare;
use super::supervisor::Supervisor;

impl Supervisor {
    /// Becomes a member of the worker group, where there is one, once it can run what it is dealt. Earlier its tasks would
    /// wait for plugins to be compiled, which others run meanwhile.
    pub(super) fn join(&mut self) {
        if self.joined || self.stopping || !self.knows_all() || !self.has_plugins {
            return;
        }
        self.joined = true;
        if let Placement::Shared { worker } = &self.placement {
            let member = Member {
                broker: Arc::clone(&self.broker),
                group: self.worker.group_id.clone(),
                worker: worker.clone(),
                patience: self.worker.shutdown_timeout,
                replication_factor: self.worker.topic_defaults.replication_factor,
                events: self.events.clone(),
            };
            self.work.spawn(member.run());
        }
    }

    pub(super) fn dealt(&mut self, dealt: Dealt) {
        let before = self.slots.count();
        self.slots.deal(dealt);
        if before != self.slots.count() {
            info!(group = %self.worker.group_id, slots = self.slots.count(), "the worker group dealt its slots out");
        }
        let mut moved = Vec::new();
        for (name, connector) in &mut self.connectors {
            let runs = connector.next.is_none() && !connector.leaving;
            for (index, task) in connector.tasks.iter_mut().enumerate() {
                let ours = self.slots.holds(task.slot);
                if std::mem::replace(&mut task.ours, ours) == ours {
                    continue;
                }
                match (ours, task.machine.state()) {
                    (false, _) => moved.push((name.clone(), index, TaskEvent::Stop)),
                    (true, TaskState::Completed) => {}
                    (true, _) if runs => moved.push((name.clone(), index, TaskEvent::Start)),
                    (true, _) => {}
                }
            }
        }
        for (name, index, event) in moved {
            self.act(&name, index, event);
            self.settle(&name);
        }
    }

    /// Lets slots go whose tasks have ended.
    pub(super) fn let_slots_go(&mut self) {
        let tasks = || self.connectors.values().flat_map(|connector| &connector.tasks);
        self.slots.let_go(|slots| tasks().any(|task| !task.machine.is_idle() && slots.contains(&task.slot)));
    }

    /// The worker's place in its group, where there is one.
    pub(super) fn share(&self) -> Option<WorkerShare> {
        let (Placement::Shared { worker }, Some(slots)) = (&self.placement, self.slots.count()) else { return None };
        Some(WorkerShare {
            group: self.worker.group_id.clone(),
            id: worker.clone(),
            slots,
            of: SLOTS.unsigned_abs() as usize,
            reason: self.slots.trouble().map(str::to_owned),
        })
    }

    /// Who runs what this worker does not, for people.
    pub(super) fn elsewhere(&self) -> String {
        let group = &self.worker.group_id;
        match (self.slots.trouble(), self.slots.count()) {
            (Some(why), _) => format!("waiting for worker group {group}: {why}"),
            (None, Some(0)) => format!("waiting for worker group {group} to deal out its tasks"),
            (None, _) => format!("it is another worker's of group {group}, or nobody's yet"),
        }
    }
}
