//! Who defines which connector: files of the folder, and configurations that came over REST. A file counts more, for it
//! can be read and corrected where the host cannot be asked.

use std::path::Path;
use std::sync::Arc;

use sandbar_abi::status::CloseReason;
use tokio::time::Instant;
use tracing::{info, warn};

use super::connector::{Connector, Owner};
use super::supervisor::Supervisor;
use crate::config::Definition;
use crate::discovery::{FoundFile, ReadError};

impl Supervisor {
    pub(super) fn define(&mut self, file: &FoundFile) {
        let path = &file.path;
        let parsed = match file.read() {
            Ok(bytes) => Definition::parse(path, &bytes),
            Err(ReadError::Changed) => {
                self.outdated.push(path.clone());
                return;
            }
            Err(problem) => {
                warn!(file = %path.display(), "definition cannot be read: {problem}");
                return;
            }
        };
        match parsed {
            Ok(definition) => {
                let before = self.definitions.insert(path.clone(), definition);
                let name = self.definitions.get(path).map(|d| d.name.clone()).unwrap_or_default();
                if let Some(before) = before.filter(|before| before.name != name) {
                    self.release(&Owner::File(path.clone()), &before.name);
                }
                self.claim(&Owner::File(path.clone()), &name);
            }
            Err(errors) => {
                let runs =
                    if self.definitions.contains_key(path) { "; what it defined before stays in force" } else { "" };
                for problem in &errors {
                    warn!("definition refused: {problem}{runs}");
                }
            }
        }
    }

    pub(super) fn undefine(&mut self, file: &Path) {
        if let Some(definition) = self.definitions.remove(file) {
            info!(connector = %definition.name, file = %file.display(), "definition removed");
            self.release(&Owner::File(file.to_owned()), &definition.name);
        }
    }

    fn definition(&self, owner: &Owner, name: &str) -> Option<&Definition> {
        match owner {
            Owner::File(file) => self.definitions.get(file),
            Owner::Rest => self.stored.get(name),
        }
    }

    /// Makes what a file, or the topic, says the definition of a connector, unless another file says something.
    pub(super) fn claim(&mut self, owner: &Owner, name: &str) {
        let Some(definition) = self.definition(owner, name).cloned() else { return };
        match self.connectors.get_mut(name) {
            Some(connector) if connector.owner == *owner || connector.leaving => {
                let says_newer =
                    *owner != Owner::Rest && connector.definition.initial_state != definition.initial_state;
                connector.owner = owner.clone();
                connector.definition = Arc::new(definition);
                connector.leaving = false;
                info!(connector = %name, %owner, "definition changed");
                if says_newer {
                    // Of what an operator said and what the file says, the later counts.
                    connector.target = None;
                    self.forget_target(name);
                }
            }
            Some(connector) if connector.owner == Owner::Rest => {
                warn!(connector = %name, %owner, "this file defines the connector from now on; what was set over REST is kept until the file is gone");
                connector.owner = owner.clone();
                connector.definition = Arc::new(definition);
            }
            Some(connector) if *owner == Owner::Rest => {
                info!(connector = %name, owner = %connector.owner, "what was set over REST has no effect while that file defines the connector");
            }
            Some(connector) => {
                warn!(connector = %name, %owner, "definition ignored: {} defines this connector already; give one of the two another name", connector.owner);
            }
            None => {
                info!(connector = %name, %owner, "definition found");
                let mut connector = Connector::new(definition, owner.clone());
                connector.target = self.configs.target(name);
                if let Some(target) = connector.target {
                    info!(connector = %name, "an operator wanted it to be {}", target.name());
                }
                connector.versions = self.kept.of(name);
                self.connectors.insert(name.to_owned(), connector);
            }
        }
    }

    /// Ends a connector that is not defined any more where it was, unless something else defines it.
    pub(super) fn release(&mut self, owner: &Owner, name: &str) {
        let Some(connector) = self.connectors.get_mut(name).filter(|c| c.owner == *owner) else { return };
        connector.leaving = true;
        // Whoever claims it before its tasks have ended plans anew.
        (connector.current, connector.next, connector.planning, connector.replan_at) = (None, None, 0, None);
        connector.drain(CloseReason::Stop, Instant::now());
        let other = self.definitions.iter().find(|(_, d)| d.name == name).map(|(file, _)| Owner::File(file.clone()));
        let heir = other.or_else(|| self.stored.contains_key(name).then_some(Owner::Rest));
        match heir {
            Some(heir) => self.claim(&heir, name),
            None => {
                // Whether it is back before its tasks have ended or after, it begins as its definition says.
                connector.target = None;
                self.forget_target(name);
            }
        }
        self.settle(name);
    }
}
