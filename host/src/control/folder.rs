//! What a change in the folder means: plugins are loaded, definitions are read.

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::supervisor::{Event, Supervisor};
use crate::discovery::{Change, FileKind, FoundFile};
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

    /// Takes in plugins that were duplicates of what is gone by now.
    pub(super) fn admit_plugins(&mut self) {
        self.world = None;
        for (file, plugin) in self.registry.admit() {
            self.refused.remove(&file);
            let (name, version) = (&plugin.manifest().name, &plugin.manifest().version);
            info!(file = %file.display(), plugin = %name, %version, "plugin loaded, it is no duplicate any more");
        }
    }
}
