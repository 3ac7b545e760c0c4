//! What it means that the worker group deals its slots out anew: tasks start here, or end here to start elsewhere.

use tracing::info;

use super::machine::{TaskEvent, TaskState};
use super::placement::{Dealt, Placement, SLOTS, slot};
use super::status::WorkerShare;
use super::supervisor::Supervisor;

impl Supervisor {
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
                let ours = self.slots.holds(name, task.plan.task);
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
        let connectors = &self.connectors;
        let tasks = || connectors.iter().flat_map(|(name, connector)| connector.tasks.iter().map(move |t| (name, t)));
        self.slots.let_go(|slots| {
            tasks().any(|(name, task)| !task.machine.is_idle() && slots.contains(&slot(name, task.plan.task)))
        });
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
            (None, _) => format!("another worker of group {group} runs it"),
        }
    }
}
