//! A log line now and then for each connector that got on: what takes the status block's place where nobody watches.

use std::collections::BTreeMap;

use tracing::info;

use super::status::reason;
use crate::control::{ConnectorStatus, Status};
use crate::task::Snapshot;

/// Remembers what was told.
#[derive(Default)]
pub(super) struct ProgressLog {
    told: BTreeMap<String, Counters>,
}

/// The counters that show that a connector gets on; empty polls do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    records_in: u64,
    records_out: u64,
    dead_letters: u64,
    dropped: u64,
}

impl Counters {
    fn of(totals: &Snapshot) -> Self {
        let &Snapshot { records_in, records_out, dead_letters, dropped, .. } = totals;
        Self { records_in, records_out, dead_letters, dropped }
    }
}

impl ProgressLog {
    /// Logs a line for each connector whose counters have changed since the last call.
    pub fn tell(&mut self, status: &Status) {
        for (connector, totals) in self.changed(status) {
            let why = reason(connector, totals.waiting);
            info!(
                connector = connector.name,
                state = %connector.state,
                records_in = totals.records_in,
                records_out = totals.records_out,
                dead_letters = totals.dead_letters,
                dropped = totals.dropped,
                instances = totals.instances,
                fuel = totals.usage.fuel,
                busy_ms = totals.usage.busy.as_millis(),
                host_calls = totals.usage.host_calls,
                memory_peak = totals.usage.memory_peak,
                reason = why,
                "progress"
            );
        }
    }

    fn changed<'a>(&mut self, status: &'a Status) -> Vec<(&'a ConnectorStatus, Snapshot)> {
        let last = std::mem::take(&mut self.told);
        let mut changed = Vec::new();
        for connector in &status.connectors {
            let totals = connector.totals();
            let counters = Counters::of(&totals);
            if last.get(&connector.name).copied().unwrap_or_default() != counters {
                changed.push((connector, totals));
            }
            self.told.insert(connector.name.clone(), counters);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    //! Only what changed is told.

    use std::sync::Arc;

    use super::*;
    use crate::config::Definition;

    fn status(name: &str) -> Status {
        let definition = Definition::from_config(name, &BTreeMap::new(), "test").unwrap();
        let connector = ConnectorStatus::new(Arc::new(definition));
        Status { ready: true, connectors: vec![connector], ..Status::default() }
    }

    #[test]
    fn an_idle_connector_is_not_told_of() {
        let mut log = ProgressLog::default();
        assert!(log.changed(&status("a")).is_empty());
        log.told.insert("a".to_owned(), Counters { records_in: 1, ..Counters::default() });
        assert_eq!(log.changed(&status("a")).len(), 1);
        assert!(log.changed(&status("a")).is_empty());
        log.changed(&status("b"));
        assert_eq!(log.told.len(), 1, "a connector that is gone is forgotten");
    }
}
