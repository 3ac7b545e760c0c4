//! What a change in the folder means: plugins are loaded, definitions claim their connectors.

use std::path::Path;
use std::sync::Arc;

use sandbar_abi::status::CloseReason;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::connector::Connector;
use super::supervisor::{Event, Supervisor};
use crate::config::Definition;
use crate::discovery::{Change, FileKind, FoundFile, ReadError};
use crate::plugins::{LoadError, Plugin};
use crate::sandbox::Origin;
use crate::trust::Signer;

impl Supervisor {
    pub(super) fn changed(&mut self, changes: Vec<Change>) {
        self.scanned = true;
        for change in changes {
            match change {
                Change::Appeared(file) | Change::Modified(file) => match file.kind {
                    FileKind::Plugin => self.load(file),
                    FileKind::Definition => self.define(&file),
                },
                Change::Removed { path, kind: FileKind::Plugin } => self.forget_plugin(&path),
                Change::Removed { path, kind: FileKind::Definition } => self.undefine(&path),
                Change::Problem { path, problem, kind } => {
                    warn!(file = %path.display(), "cannot be used: {problem}; what it held before stays in force");
                    if kind == FileKind::Plugin {
                        self.refused.insert(path, problem.to_string());
                    }
                }
                Change::FolderLost(problem) => error!("{problem}; what runs keeps running"),
                Change::FolderFound => info!("the plugin folder can be read again"),
            }
        }
        self.reconcile_all();
    }

    pub(super) fn load(&mut self, file: FoundFile) {
        self.counter += 1;
        let load = self.counter;
        self.loads.insert(file.path.clone(), load);
        self.loading += 1;
        let (loader, events) = (Arc::clone(&self.loader), self.events.clone());
        let started = Instant::now();
        self.work.spawn(async move {
            let path = file.path.clone();
            let result = loader.load(file).await;
            // The supervisor is gone only when the host stops.
            let _ = events.send(Event::Loaded { file: path, load, started, result });
        });
    }

    pub(super) fn loaded(&mut self, file: &Path, load: u64, started: Instant, result: Result<Arc<Plugin>, LoadError>) {
        self.loading -= 1;
        if self.loads.get(file) != Some(&load) {
            return;
        }
        let shown = file.display();
        let plugin = match result {
            Ok(plugin) => plugin,
            Err(error) if error.is_outdated() => {
                debug!(file = %shown, "plugin has changed while it was loaded, it is looked at again");
                self.outdated.push(file.to_owned());
                return;
            }
            Err(error) => {
                let kept = if self.registry.iter().any(|(held, _)| held == file) {
                    "; the version loaded before stays in use"
                } else {
                    ""
                };
                warn!(file = %shown, "plugin refused: {error}{kept}");
                self.refused.insert(file.to_owned(), format!("{error}{kept}"));
                self.registry.forget_refused(file);
                return;
            }
        };
        self.refused.remove(file);
        let manifest = plugin.manifest();
        let (name, version) = (manifest.name.clone(), manifest.version.to_string());
        let from_cache = plugin.compiled.origin == Origin::Cache;
        let (signed_by, comment) = match &plugin.trust.signer {
            Signer::Unsigned => (None, None),
            Signer::Unverified { key } => (Some(format!("{key}, not verified")), None),
            Signer::Verified { key, comment } => (Some(key.to_string()), Some(comment.clone())),
        };
        match self.registry.insert(file, plugin) {
            Ok(old) => {
                let replaces = old.map(|old| format!("{} {}", old.manifest().name, old.manifest().version));
                info!(file = %shown, plugin = %name, %version, replaces, signed_by, comment, from_cache, took = ?started.elapsed(), "plugin loaded");
            }
            Err(duplicate) => {
                warn!(file = %shown, "plugin refused: {duplicate}");
                self.refused.insert(file.to_owned(), duplicate.to_string());
            }
        }
        self.admit_plugins();
    }

    pub(super) fn forget_plugin(&mut self, file: &Path) {
        self.loads.remove(file);
        self.refused.remove(file);
        if let Some(plugin) = self.registry.remove(file) {
            let manifest = plugin.manifest();
            info!(file = %file.display(), plugin = %manifest.name, version = %manifest.version, "plugin file removed; connectors that run it keep running");
        }
        self.admit_plugins();
    }

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
                    self.release(path, &before.name);
                }
                self.claim(path, &name);
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
            self.release(file, &definition.name);
        }
    }

    /// Makes a file the definition of a connector, unless another file is.
    pub(super) fn claim(&mut self, file: &Path, name: &str) {
        let Some(definition) = self.definitions.get(file).cloned() else { return };
        match self.connectors.get_mut(name) {
            Some(connector) if connector.file == file || connector.leaving => {
                connector.file = file.to_owned();
                if connector.definition.initial_state != definition.initial_state {
                    // Of what an operator said and what the file says, the later counts.
                    connector.target = None;
                    self.targets.forget(name);
                }
                connector.definition = definition;
                connector.leaving = false;
                info!(connector = %name, file = %file.display(), "definition changed");
            }
            Some(connector) => {
                warn!(connector = %name, file = %file.display(), "definition ignored: {} defines this connector already; give one of the two another name", connector.file.display());
            }
            None => {
                info!(connector = %name, file = %file.display(), "definition found");
                let mut connector = Connector::new(definition, file.to_owned());
                if let Some(target) = self.targets.of(name) {
                    info!(connector = %name, "an operator wanted it to be {} when the host ran last", target.name());
                }
                connector.target = self.targets.of(name);
                connector.versions = self.kept.of(name);
                self.connectors.insert(name.to_owned(), connector);
            }
        }
    }

    /// Ends a connector whose file does not define it any more, unless another file does.
    pub(super) fn release(&mut self, file: &Path, name: &str) {
        let Some(connector) = self.connectors.get_mut(name).filter(|c| c.file == file) else { return };
        connector.leaving = true;
        // Whoever claims it before its tasks have ended plans anew.
        (connector.current, connector.next, connector.planning, connector.replan_at) = (None, None, 0, None);
        connector.drain(CloseReason::Stop, Instant::now());
        let heir = self.definitions.iter().find(|(_, d)| d.name == name).map(|(file, _)| file.clone());
        match heir {
            Some(heir) => self.claim(&heir, name),
            None => {
                // Whether it is back before its tasks have ended or after, it begins as its definition says.
                connector.target = None;
                self.targets.forget(name);
            }
        }
        self.settle(name);
    }

    /// Takes in plugins that were duplicates of what is gone by now.
    pub(super) fn admit_plugins(&mut self) {
        for (file, plugin) in self.registry.admit() {
            self.refused.remove(&file);
            let (name, version) = (&plugin.manifest().name, &plugin.manifest().version);
            info!(file = %file.display(), plugin = %name, %version, "plugin loaded, it is no duplicate any more");
        }
    }
}
