//! What the topic of configurations says, taken in: connectors that were defined over REST, what operators want, restarts,
//! promoted versions.

use std::path::Path;

use tracing::{info, warn};

use super::connector::{Owner, Problem};
use super::supervisor::Supervisor;
use crate::config::{Definition, InitialState};
use crate::storage::{Configs, Entry, Stored};

impl Supervisor {
    pub(super) fn take_in(&mut self, news: Stored) {
        self.world = None;
        match news {
            Stored::Restored(whole) => {
                self.restored(whole.configs);
                self.waiting.extend(whole.writers);
            }
            Stored::Changed { entries, writers } => {
                for entry in entries {
                    self.take_in_entry(entry);
                }
                self.waiting.extend(writers);
            }
            Stored::Unavailable(why) => {
                if !self.is_restored() {
                    self.without_storage = Some(why);
                    self.reconcile_all();
                }
            }
        }
    }

    /// Whether it is known what operators want: nothing runs before.
    pub(super) fn is_restored(&self) -> bool {
        self.restored
    }

    fn restored(&mut self, configs: Configs) {
        (self.restored, self.without_storage) = (true, None);
        let stored: Vec<_> = configs.connectors().map(|(name, config)| (name.clone(), config.clone())).collect();
        info!(topic = self.storage.topic(), connectors = stored.len(), "what the worker group agrees on is known");
        self.configs = configs;
        for (name, connector) in &mut self.connectors {
            connector.target = self.configs.target(name);
        }
        for (name, config) in stored {
            self.define_stored(&name, &config);
        }
        self.reconcile_all();
    }

    fn take_in_entry(&mut self, entry: Entry) {
        let now = entry.clone();
        match entry {
            Entry::Connector { name, config } => {
                self.configs.apply(now);
                match config {
                    Some(config) => self.define_stored(&name, &config),
                    None => self.undefine_stored(&name),
                }
                self.reconcile(&name);
            }
            Entry::Target { name, state } => {
                self.configs.apply(now);
                self.forgotten.remove(&name);
                self.aim(&name, state);
            }
            Entry::Restart { name, what } => self.restart(&name, what),
            Entry::Promoted { .. } => {
                self.configs.apply(now);
                self.reconcile_all();
            }
            Entry::Logger { .. } => self.configs.apply(now),
        }
    }

    /// Makes a connector what operators want it to be.
    fn aim(&mut self, name: &str, target: Option<InitialState>) {
        if let Some(connector) = self.connectors.get_mut(name).filter(|connector| connector.target != target) {
            connector.target = target;
            connector.problem = None;
            self.reconcile(name);
        }
    }

    fn define_stored(&mut self, name: &str, config: &std::collections::BTreeMap<String, String>) {
        match Definition::from_config(name, config, Path::new(self.storage.topic())) {
            Ok(definition) => {
                self.stored.insert(name.to_owned(), definition);
                self.claim(&Owner::Rest, name);
            }
            Err(errors) => {
                for problem in &errors {
                    warn!(connector = %name, "definition refused: {problem}");
                }
            }
        }
    }

    fn undefine_stored(&mut self, name: &str) {
        if self.stored.remove(name).is_some() {
            info!(connector = %name, "definition deleted");
            self.release(&Owner::Rest, name);
        }
    }

    /// Whether what operators want of a connector is not known; says so of the connector.
    pub(super) fn waits_for_storage(&mut self, name: &str) -> bool {
        if self.is_restored() {
            return false;
        }
        let what = self.without_storage.clone().unwrap_or_else(|| format!("topic {}", self.storage.topic()));
        if let (Some(connector), true) = (self.connectors.get_mut(name), self.without_storage.is_some()) {
            connector.set_problem(Problem::Waits(format!("what operators want of it, which is not known yet: {what}")));
        }
        true
    }
}
