//! Compares what connectors shall run with to what they run with, and plans the difference.

use std::sync::Arc;

use sandbar_abi::status::CloseReason;
use tokio::time::Instant;
use tracing::{info, warn};

use super::connector::{Problem, Setup};
use super::planner::{self, Plugins};
use super::supervisor::{Event, Supervisor};
use crate::config::{ConnectorSettings, InitialState, missing_plugins};
use crate::task::Plan;
use crate::text::one_line;

impl Supervisor {
    pub(super) fn reconcile_all(&mut self) {
        let names: Vec<_> = self.connectors.keys().cloned().collect();
        for name in names {
            self.reconcile(&name);
        }
    }

    /// Compares what a connector shall run with to what it runs with, and plans the difference.
    pub(super) fn reconcile(&mut self, name: &str) {
        if self.waits_for_storage(name) {
            return;
        }
        let loading = self.loading > 0;
        let Some(connector) = self.connectors.get_mut(name).filter(|c| !c.leaving) else { return };
        if self.stopping {
            return;
        }
        // Whatever comes of it, a try that was due has been made.
        let is_retry = connector.replan_at.take().is_some();
        // Of a file that could not be loaded nobody knows what it holds.
        if self.scanned && !loading && self.refused.is_empty() && self.outdated.is_empty() {
            connector.versions.prune(&self.registry);
        }
        if connector.target() != InitialState::Running {
            // What is being planned is not wanted any more either.
            (connector.current, connector.next, connector.planning) = (None, None, 0);
            connector.rest(&self.registry, &self.configs, &self.worker);
            connector.drain(CloseReason::Stop, Instant::now());
            self.settle(name);
            return;
        }
        let allowed = connector.versions.allowed(&self.registry, &self.configs);
        let resolved = ConnectorSettings::resolve(&connector.definition, &allowed, &self.worker);
        let (settings, warnings) = match resolved {
            Ok(resolved) => resolved,
            Err(errors) => {
                match missing_plugins(&errors) {
                    // A plugin that is being loaded is no news.
                    Some(_) if loading => {}
                    Some(names) => {
                        let waits = connector.versions.waits_for(name, &names);
                        connector.set_problem(Problem::Waits(waits));
                    }
                    None => {
                        let held = connector.versions.held();
                        connector.set_problem(Problem::Invalid(one_line(&errors) + &held));
                    }
                }
                return;
            }
        };
        let find =
            |plugin: &crate::config::PluginSettings| allowed.find(&plugin.class, plugin.version.as_ref()).cloned();
        let own = find(&settings.plugin);
        let transforms: Option<Vec<_>> = settings.transforms.iter().map(|t| find(&t.plugin)).collect();
        let (Some(own), Some(transforms)) = (own, transforms) else { return };
        let setup = Setup { settings: Arc::new(settings), plugins: Plugins { own, transforms } };
        let same = |current: &Setup| current.settings == setup.settings && current.plugins.same(&setup.plugins);
        if connector.current.as_ref().is_some_and(same) && !is_retry {
            if !matches!(connector.problem, Some(Problem::Start(_))) {
                connector.problem = None;
            }
            return;
        }
        for warning in &warnings {
            warn!(connector = %name, "{warning}");
        }
        self.counter += 1;
        connector.planning = self.counter;
        connector.current = Some(setup.clone());
        let (planning, connector, worker, network, events) =
            (self.counter, name.to_owned(), Arc::clone(&self.worker), self.network.clone(), self.events.clone());
        let tracer = self.tracer.clone();
        self.work.spawn(async move {
            let (settings, plugins) = (Arc::clone(&setup.settings), setup.plugins.clone());
            let result = planner::plan(settings, plugins, worker, network, tracer).await;
            // The supervisor is gone only when the host stops.
            let _ = events.send(Event::Planned { connector, planning, setup: Box::new(setup), result });
        });
    }

    pub(super) fn planned(&mut self, name: &str, planning: u64, setup: Setup, result: Result<Vec<Plan>, String>) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        if connector.planning != planning {
            return;
        }
        connector.planning = 0;
        if connector.leaving || self.stopping || connector.target() != InitialState::Running {
            return;
        }
        match result {
            Ok(plans) => {
                let own = setup.plugins.own.manifest();
                let what = if connector.tasks.is_empty() { "starting" } else { "replacing what runs" };
                info!(connector = %name, plugin = %own.name, version = %own.version, tasks = plans.len(), "{what}");
                connector.problem = None;
                connector.replans.reset();
                connector.take_over(setup.plugins, Instant::now());
                connector.next = Some(plans);
                connector.drain(CloseReason::Replace, Instant::now());
                self.settle(name);
            }
            Err(problem) => {
                connector.set_problem(Problem::Start(problem));
                connector.replan_at = Some(Instant::now() + connector.replans.next_delay());
            }
        }
    }
}
