//! What a worker's folder holds of plugins: what is loaded, and what was put there and is not loaded yet, or never will be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::decide::Local;
use crate::control::status::RefusedPlugin;
use crate::control::world::World;
use crate::discovery::snapshot::Fingerprint;
use crate::plugins::Plugin;
use crate::storage::{Content, PluginKey};

/// The plugins of the registry.
pub(super) type Loaded = BTreeMap<PluginKey, (PathBuf, Arc<Plugin>)>;

/// Plugins that were put into the folder.
#[derive(Default)]
pub(super) struct Delivered(BTreeMap<PluginKey, Delivery>);

/// One that is not loaded yet, or never will be because this worker refuses it.
pub(super) struct Delivery {
    pub(super) file: PathBuf,
    pub(super) content: Content,
    /// When the file was put there.
    pub(super) changed_at: i64,
    /// What was loaded of it by then.
    pub(super) before: Option<Content>,
}

impl Delivered {
    pub(super) fn get(&self, key: &PluginKey) -> Option<&Delivery> {
        self.0.get(key)
    }

    pub(super) fn insert(&mut self, key: PluginKey, delivery: Delivery) {
        self.0.insert(key, delivery);
    }

    /// Whether all of it is loaded by now, or will not be.
    pub(super) fn is_judged(&self, refused: &[RefusedPlugin]) -> bool {
        self.0.values().all(|delivery| refused.iter().any(|refused| refused.file == delivery.file))
    }

    /// What the folder holds, as far as that can be used or came from the group. What is loaded and has no file any more is
    /// not there, whether that has been noticed or not.
    pub(super) async fn with(&mut self, loaded: &Loaded) -> BTreeMap<PluginKey, Local> {
        let files = loaded.values().map(|(file, _)| file).chain(self.0.values().map(|one| &one.file));
        let files: Vec<PathBuf> = files.cloned().collect();
        let changed =
            spawn_blocking(move || files.into_iter().map(|file| (changed_at(&file), file)).collect::<Vec<_>>());
        let changed = changed.await.unwrap_or_default();
        let changed: BTreeMap<_, _> = changed.into_iter().filter_map(|(at, file)| Some((file, at?))).collect();
        let mut local = BTreeMap::new();
        for (key, (file, plugin)) in loaded {
            if let Some(&changed_at) = changed.get(file) {
                local.insert(key.clone(), Local { content: content(plugin), changed_at });
            }
        }
        self.0.retain(|key, delivery| {
            let loaded = loaded.get(key).map(|(_, plugin)| content(plugin));
            let waits = loaded == delivery.before && loaded.as_ref() != Some(&delivery.content);
            waits && changed.get(&delivery.file) == Some(&delivery.changed_at)
        });
        for (key, Delivery { content, changed_at, .. }) in &self.0 {
            local.insert(key.clone(), Local { content: content.clone(), changed_at: *changed_at });
        }
        local
    }
}

pub(super) fn loaded(world: &World) -> Loaded {
    let key = |plugin: &Plugin| {
        let manifest = plugin.manifest();
        PluginKey { name: manifest.name.clone(), version: manifest.version.clone() }
    };
    world.registry.iter().map(|(file, plugin)| (key(plugin), (file.to_owned(), Arc::clone(plugin)))).collect()
}

pub(super) fn content(plugin: &Plugin) -> Content {
    let signature = plugin.source.signature.as_ref().map(|signature| signature.to_vec());
    Content { sha256: plugin.inspection.sha256, signature }
}

/// When a file was last changed, in milliseconds since 1970 by this machine's clock; `None`: there is none. Blocks.
pub(super) fn changed_at(file: &Path) -> Option<i64> {
    let ctime = Fingerprint::of(&std::fs::metadata(file).ok()?).ctime;
    i64::try_from(ctime / 1_000_000).ok()
}
