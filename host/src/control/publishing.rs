//! What the supervisor shows of all that runs, after each event.

use std::sync::Arc;

use sandbar_abi::manifest::Kind;
use tokio::time::Instant;
use tracing::{info, warn};

use super::placement::slot;
use super::status::{ConnectorState, ConnectorStatus, RefusedPlugin, Status};
use super::supervisor::Supervisor;
use super::world::World;

impl Supervisor {
    /// Shows it.
    pub(super) fn publish(&mut self) {
        let now = Instant::now();
        let (knows_all, joined) = (self.knows_all(), self.joined);
        let settled = knows_all && self.connectors.values().all(|c| c.planning == 0);
        let was_ready = self.status.borrow().ready;
        if settled && !was_ready {
            info!(plugins = self.registry.iter().count(), connectors = self.connectors.len(), took = ?self.started.elapsed(), "ready");
        }
        for connector in self.connectors.values_mut() {
            connector.is_on_probation(now);
        }
        self.tell_stalled(now);
        let patience = self.worker.stall_timeout;
        let elsewhere = self.elsewhere();
        let connectors = self.connectors.iter().map(|(name, connector)| {
            let status = connector.status(patience, now, &elsewhere);
            // A source lies where its first task does, others begin there.
            let ours = self.slots.holds(slot(name, 0, status.kind.unwrap_or(Kind::Source)));
            let mut status = ConnectorStatus { ours, ..status };
            for task in status.tasks.iter_mut().filter(|task| task.state == ConnectorState::Paused) {
                task.ours = self.slots.holds(slot(name, task.id, status.kind.unwrap_or(Kind::Source)));
            }
            status
        });
        let connectors = connectors.collect();
        let refused =
            self.refused.iter().map(|(file, reason)| RefusedPlugin { file: file.clone(), reason: reason.clone() });
        let (worker, refused) = (self.share(), refused.collect());
        let shown = || Arc::new(World { registry: self.registry.clone(), configs: self.configs.clone() });
        let world = Arc::clone(self.world.get_or_insert_with(shown));
        let (ready, storage) = (settled || was_ready, self.without_storage.clone());
        self.status.send_replace(Status { ready, knows_all, joined, storage, worker, connectors, refused, world });
    }

    /// Says once of a task that it does not get on, and once that it does again.
    fn tell_stalled(&mut self, now: Instant) {
        let patience = self.worker.stall_timeout;
        for (name, connector) in &mut self.connectors {
            for task in &mut connector.tasks {
                let number = task.plan.task;
                match task.stalled(patience, now) {
                    Some(why) if !task.told_stalled => warn!(connector = %name, task = number, "stalled: {why}"),
                    None if task.told_stalled => info!(connector = %name, task = number, "not stalled any more"),
                    _ => continue,
                }
                task.told_stalled = !task.told_stalled;
            }
        }
    }
}
