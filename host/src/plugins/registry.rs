//! The plugins that can be started: every valid version the folder holds, by the file it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbar_abi::Manifest;
use semver::VersionReq;
use thiserror::Error;

use super::Inspection;
use crate::sandbox::Compiled;
use crate::trust::Verdict;

/// One version of a plugin, ready to run.
pub struct Plugin {
    /// Who answers for it.
    pub trust: Verdict,
    /// What was found in it.
    pub inspection: Inspection,
    /// Its code.
    pub compiled: Compiled,
    /// What it was made of, from which it can be made again when its file is gone.
    pub source: Source,
}

/// The bytes of a plugin.
#[derive(Clone, Debug)]
pub struct Source {
    /// The module.
    pub wasm: Arc<[u8]>,
    /// What was beside it, if anything.
    pub signature: Option<Arc<[u8]>>,
}

impl Plugin {
    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.inspection.manifest
    }
}

/// Two files that hold the same version of a plugin with different code: neither is better.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("plugin {name} {version} is already loaded from {}; remove one of the two, or raise the version", holder.display())]
pub struct Duplicate {
    name: String,
    version: String,
    holder: PathBuf,
}

/// See the module.
#[derive(Clone, Default)]
pub struct Registry {
    by_file: BTreeMap<PathBuf, Arc<Plugin>>,
    /// What was refused because another file holds the same version: it gets its turn once that file lets go of it.
    refused: BTreeMap<PathBuf, Arc<Plugin>>,
}

impl Registry {
    /// Takes a plugin in, and returns the one its file held before.
    pub fn insert(&mut self, file: &Path, plugin: Arc<Plugin>) -> Result<Option<Arc<Plugin>>, Duplicate> {
        if let Some(holder) = self.holder(file, &plugin) {
            let (name, version) = (plugin.manifest().name.clone(), plugin.manifest().version.to_string());
            let holder = holder.to_owned();
            self.refused.insert(file.to_owned(), plugin);
            return Err(Duplicate { name, version, holder });
        }
        self.refused.remove(file);
        Ok(self.by_file.insert(file.to_owned(), plugin))
    }

    /// Forgets what a file held. What runs from it keeps running.
    pub fn remove(&mut self, file: &Path) -> Option<Arc<Plugin>> {
        self.refused.remove(file);
        self.by_file.remove(file)
    }

    /// Forgets what was refused of a file: it holds something else by now.
    pub fn forget_refused(&mut self, file: &Path) {
        self.refused.remove(file);
    }

    /// Takes in what was refused and is no duplicate any more, and returns it.
    pub fn admit(&mut self) -> Vec<(PathBuf, Arc<Plugin>)> {
        let mut admitted = Vec::new();
        for (file, plugin) in std::mem::take(&mut self.refused) {
            // What is still a duplicate goes back to where it was.
            if self.insert(&file, Arc::clone(&plugin)).is_ok() {
                admitted.push((file, plugin));
            }
        }
        admitted
    }

    /// The other file that holds the same version of a plugin.
    fn holder(&self, file: &Path, plugin: &Plugin) -> Option<&Path> {
        let new = plugin.manifest();
        let clash = self.by_file.iter().find(|(other, held)| {
            let held = held.manifest();
            other.as_path() != file && held.name == new.name && held.version == new.version
        });
        clash.map(|(holder, _)| holder.as_path())
    }

    /// The newest version of a plugin that will do, of those that are free to be used.
    pub fn find(
        &self,
        name: &str,
        version: Option<&VersionReq>,
        is_free: impl Fn(&Plugin) -> bool,
    ) -> Option<&Arc<Plugin>> {
        let fits = |p: &&Arc<Plugin>| {
            p.manifest().name == name && version.is_none_or(|req| req.matches(&p.manifest().version)) && is_free(p)
        };
        self.by_file.values().filter(fits).max_by(|a, b| a.manifest().version.cmp(&b.manifest().version))
    }

    /// All plugins, with their files.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Arc<Plugin>)> {
        self.by_file.iter().map(|(file, plugin)| (file.as_path(), plugin))
    }
}
