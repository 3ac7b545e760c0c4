//! What the host knows of versions of plugins, kept over its restarts: those in quarantine, because what failed must not run
//! again when a machine was rebooted; and the plugins that ran well before, because their own files may be gone by then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::warn;

use super::kept;
use super::planner::Plugins;
use super::versions::{Quarantined, Versions};
use crate::digest::Digest;
use crate::discovery::{FileKind, FoundFile};
use crate::plugins::{LoadError, Plugin, Source};
use crate::whole_file;

/// The file in the worker's data folder.
const FILE: &str = "versions.json";
/// The folder beside it that holds the plugins themselves.
const FOLDER: &str = "versions";

/// See the module. The default is kept nowhere.
#[derive(Default)]
pub struct KeptVersions {
    data: Option<PathBuf>,
    connectors: BTreeMap<String, Known>,
    /// Those of the plugins that can be run.
    plugins: BTreeMap<Digest, Arc<Plugin>>,
    /// Whether the folder says something older.
    changed: bool,
}

/// What is known of versions for one connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    #[serde(default)]
    quarantined: Vec<Quarantined>,
    /// The plugins that ran well, its own before those of its transforms.
    #[serde(default)]
    before: Vec<Before>,
}

/// A plugin that ran well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    plugin: String,
    version: String,
    sha256: Digest,
}

impl Before {
    fn of(plugin: &Plugin) -> Self {
        let manifest = plugin.manifest();
        Self { plugin: manifest.name.clone(), version: manifest.version.to_string(), sha256: plugin.inspection.sha256 }
    }
}

impl KeptVersions {
    /// Reads what is kept in a data folder. A file that cannot be read or understood is an error that names it: to run what
    /// failed would be worse than not to start. A plugin that cannot be loaded any more is told and left out. Blocks.
    pub fn open(data: &Path, load: impl Fn(&FoundFile) -> Result<Plugin, LoadError>) -> io::Result<Self> {
        let connectors: BTreeMap<String, Known> = kept::read(&data.join(FILE))?;
        let mut plugins = BTreeMap::new();
        for before in connectors.values().flat_map(|known| &known.before) {
            if plugins.contains_key(&before.sha256) {
                continue;
            }
            match restore(data, before, &load) {
                Ok(plugin) => drop(plugins.insert(before.sha256, Arc::new(plugin))),
                Err(error) => {
                    let (plugin, version) = (&before.plugin, &before.version);
                    warn!(%plugin, %version, "a version that ran well was kept, and cannot be used any more: {error}");
                }
            }
        }
        Ok(Self { data: Some(data.to_owned()), connectors, plugins, changed: false })
    }

    /// What a connector that begins knows of versions.
    pub(super) fn of(&self, connector: &str) -> Versions {
        let Some(known) = self.connectors.get(connector) else { return Versions::default() };
        let before: Option<Vec<_>> = known.before.iter().map(|one| self.plugins.get(&one.sha256).cloned()).collect();
        let mut before = before.unwrap_or_default().into_iter();
        let fallback = before.next().map(|own| Plugins { own, transforms: before.collect() });
        Versions::with(&known.quarantined, fallback)
    }

    /// Takes note of what is known for a connector by now, until [`KeptVersions::keep`] only here. What ran well and cannot
    /// be loaded at the moment is kept for as long as something is in quarantine: it may be all there is, and what is wrong
    /// with it may be mended.
    pub(super) fn note(&mut self, connector: &str, versions: &Versions) {
        let none = Known::default();
        let known = self.connectors.get(connector).unwrap_or(&none);
        let plugins: Vec<_> = versions.fallback().into_iter().flat_map(Plugins::iter).collect();
        let waits = plugins.is_empty()
            && versions.quarantined().next().is_some()
            && known.before.iter().any(|before| !self.plugins.contains_key(&before.sha256));
        let now = Known {
            quarantined: versions.quarantined().cloned().collect(),
            before: if waits {
                known.before.clone()
            } else {
                plugins.iter().map(|plugin| Before::of(plugin)).collect()
            },
        };
        if *known == now {
            return;
        }
        self.changed = true;
        self.plugins.extend(plugins.into_iter().map(|plugin| (plugin.inspection.sha256, Arc::clone(plugin))));
        let known = now;
        if known == none {
            self.connectors.remove(connector);
        } else {
            self.connectors.insert(connector.to_owned(), known);
        }
    }

    /// Brings the folder up to date, where it is not.
    pub(super) async fn keep(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let named: BTreeSet<Digest> = self.connectors.values().flat_map(|k| &k.before).map(|b| b.sha256).collect();
        self.plugins.retain(|sha256, _| named.contains(sha256));
        if let Some(data) = &self.data {
            let folder = data.join(FOLDER);
            let sources: Vec<_> = self.plugins.iter().map(|(sha256, p)| (*sha256, p.source.clone())).collect();
            let at = folder.clone();
            let stored = spawn_blocking(move || {
                // Each as far as there is room.
                let each = sources.iter().map(|(sha256, source)| store(&at, sha256, source));
                each.fold(Ok(()), io::Result::and)
            });
            let stored = stored.await.map_err(io::Error::other)?;
            // What must not run again is not forgotten where there is no room for what may run in its stead.
            kept::write(data.join(FILE), &self.connectors).await?;
            // Only now nothing names it any more, whatever ends the process.
            let at = folder.clone();
            let swept = spawn_blocking(move || sweep(&at, &named)).await.map_err(io::Error::other)?;
            stored.and(swept).map_err(|error| {
                io::Error::new(error.kind(), format!("{} cannot be written: {error}", folder.display()))
            })?;
        }
        self.changed = false;
        Ok(())
    }
}

fn plugin_file(folder: &Path, sha256: &Digest) -> PathBuf {
    folder.join(format!("{sha256}.wasm"))
}

/// Loads what is kept as any other plugin: whether it may still run is decided anew.
fn restore(
    data: &Path,
    before: &Before,
    load: impl Fn(&FoundFile) -> Result<Plugin, LoadError>,
) -> Result<Plugin, String> {
    let path = plugin_file(&data.join(FOLDER), &before.sha256);
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let wasm = read(&path)?;
    let signature = FileKind::Plugin.signature(&path).filter(|beside| beside.exists());
    let signature = signature.map(|beside| read(&beside)).transpose()?.map(Arc::from);
    let file = FoundFile::in_memory(path.clone(), FileKind::Plugin, wasm.into(), signature);
    if file.sha256 != before.sha256 {
        return Err(format!("{} is not what was kept: its sha256 is {}", path.display(), file.sha256));
    }
    load(&file).map_err(|error| error.to_string())
}

fn store(folder: &Path, sha256: &Digest, source: &Source) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = plugin_file(folder, sha256);
    if let (Some(signature), Some(beside)) = (&source.signature, FileKind::Plugin.signature(&path)) {
        whole_file::replace(&beside, signature)?;
    }
    if path.exists() { Ok(()) } else { whole_file::replace(&path, &source.wasm) }
}

/// Removes what nothing names any more, and what was left of a write that was cut off.
fn sweep(folder: &Path, named: &BTreeSet<Digest>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let sha256 = name.split('.').next().and_then(|digits| digits.parse::<Digest>().ok());
        if sha256.map_or(whole_file::is_part(name), |sha256| !named.contains(&sha256)) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "kept_versions_tests.rs"]
mod tests;
