//! Takes a plugin of the group in: finds its file's place in the folder, and puts it there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tracing::info;

use super::here::{Delivery, changed_at, content};
use super::{Failed, Round, Sharing, folder, named};
use crate::storage::{Content, PluginEntry, PluginKey};

/// What a file of the folder is known to hold.
struct Held {
    content: Content,
    /// Whether it keeps that.
    stays: bool,
}

impl Sharing {
    /// Puts the group's plugin into the folder. `goes` says which others leave it in the same round.
    pub(super) async fn take_in(
        &mut self,
        key: &PluginKey,
        round: &Round<'_>,
        goes: impl Fn(&PluginKey) -> bool,
    ) -> Result<bool, Failed> {
        let Some(PluginEntry { content: wanted, place: Some(place), worker, .. }) = round.known.get(key) else {
            return Ok(false);
        };
        let mut held = BTreeMap::new();
        for (other, (file, plugin)) in round.loaded {
            held.insert(file.clone(), Held { content: content(plugin), stays: other != key && !goes(other) });
        }
        // One that came before and is refused makes room for what comes after it.
        let own = match (round.loaded.get(key), self.delivered.get(key)) {
            (_, Some(delivery)) => {
                let now = Held { content: delivery.content.clone(), stays: false };
                held.insert(delivery.file.clone(), now);
                Some(delivery.file.clone())
            }
            (Some((file, _)), None) => Some(file.clone()),
            (None, None) => None,
        };
        let (at, key_of, told, expected) = (self.folder.clone(), key.clone(), place.file.clone(), wanted.clone());
        let found = spawn_blocking(move || find(&at, &key_of, &told, own, &held, &expected));
        let (file, is_there) = found.await?.map_err(Failed)?;
        let shown = file.display().to_string();
        if !is_there {
            let wasm = self.topic.fetch(wanted.sha256, place, round.known).await?;
            let (to, signature) = (file.clone(), wanted.signature.clone());
            let put = spawn_blocking(move || folder::put(&to, &wasm, signature.as_deref())).await?;
            put.map_err(|error| named(&shown, &error))?;
            info!(plugin = %key.name, version = %key.version, file = shown, by = worker, "the worker group has a plugin for this folder");
        }
        let to = file.clone();
        let changed_at =
            spawn_blocking(move || changed_at(&to)).await?.ok_or_else(|| format!("{shown} is gone again"))?;
        let before = round.loaded.get(key).map(|(_, plugin)| content(plugin));
        self.delivered.insert(key.clone(), Delivery { file, content: wanted.clone(), changed_at, before });
        self.agreed.insert(key.clone(), Some(wanted.clone()));
        Ok(true)
    }
}

/// The file for a plugin, and whether it holds that already. Only what is known is written over: a file that has changed
/// meanwhile is looked at first. Blocks.
fn find(
    folder: &Path,
    key: &PluginKey,
    told: &str,
    own: Option<PathBuf>,
    held: &BTreeMap<PathBuf, Held>,
    wanted: &Content,
) -> Result<(PathBuf, bool), String> {
    let is_free = |file: &Path| match held.get(file) {
        Some(held) => !held.stays,
        None => matches!(folder::holds(file), Ok(there) if there.as_ref().is_none_or(|there| there == wanted)),
    };
    let in_the_way =
        || format!("{} is in the way, and so is what would be another name for it", folder.join(told).display());
    let file = own.or_else(|| folder::place(folder, key, told, is_free)).ok_or_else(in_the_way)?;
    let there = folder::holds(&file).map_err(|error| named(&file.display().to_string(), &error))?;
    match there {
        Some(there) if there == *wanted => Ok((file, true)),
        Some(there) if held.get(&file).is_none_or(|held| held.content != there) => {
            Err(format!("{} has changed, and is looked at first", file.display()))
        }
        _ => Ok((file, false)),
    }
}
