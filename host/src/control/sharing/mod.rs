//! Keeps the plugins of a worker's folder and those of its group the same: a file that is dropped at one worker comes to all,
//! and one that is taken away goes everywhere.
//!
//! What comes from the group is put into the folder, and from there on is a file like any other: it is trusted or not, judged
//! and loaded as if somebody had dropped it here. `decide` has the rules, `folder` the files.

mod decide;
pub(crate) mod folder;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use self::decide::{Act, Agreed, Local, decide};
use super::status::{RefusedPlugin, Status};
use super::world::World;
use crate::discovery::snapshot::Fingerprint;
use crate::plugins::Plugin;
use crate::storage::{Content, PluginEntry, PluginKey, PluginTopic, SharedPlugins};
use crate::task::Backoff;
use crate::wall_clock::now_ms;

/// The first and the longest pause before what failed is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long what was written may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// How long a worker that starts waits for the plugins of its group before it takes tasks.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);
/// How long the group remembers that a plugin was taken away, in milliseconds: a worker that was down for longer brings it
/// back, if it has it still.
const REMEMBERED_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// Does so until it is dropped. `caught_up` is told once the folder has what the group has, and it is loaded or refused;
/// after a while in any case, for the tasks of a worker must not wait for plugins that they do not need.
pub async fn share(
    topic: PluginTopic,
    folder: PathBuf,
    mut status: watch::Receiver<Status>,
    caught_up: watch::Sender<bool>,
) -> Infallible {
    let started = now_ms();
    let (tell, told) = watch::channel(None);
    let keep = async {
        // Until the folder was seen whole, nothing is missing from it.
        if status.wait_for(|status| status.ready).await.is_err() {
            return std::future::pending().await;
        }
        let (agreed, delivered) = (Agreed::new(), BTreeMap::new());
        let sharing = Sharing { topic: topic.clone(), folder, started, agreed, delivered };
        tokio::select! {
            never = sharing.keep(status, told, &caught_up) => never,
            never = patience(&caught_up) => never,
        }
    };
    tokio::select! {
        never = topic.follow(tell) => never,
        never = keep => never,
    }
}

/// Waits no longer than it is worth.
async fn patience(caught_up: &watch::Sender<bool>) -> Infallible {
    tokio::time::sleep(CAUGHT_UP_WITHIN).await;
    if !caught_up.send_replace(true) {
        warn!("the plugins of the worker group are not all here, this worker takes tasks all the same");
    }
    std::future::pending().await
}

struct Sharing {
    topic: PluginTopic,
    folder: PathBuf,
    started: i64,
    agreed: Agreed,
    delivered: BTreeMap<PluginKey, Delivered>,
}

/// A plugin that was put into the folder and is not loaded yet, or never will be because this worker refuses it.
struct Delivered {
    file: PathBuf,
    content: Content,
    /// When the file was put there.
    changed_at: i64,
    /// What was loaded of it by then.
    before: Option<Content>,
}

/// Why something could not be done; it is tried again.
struct Failed(String);

impl<E: fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The plugins of the registry.
type Loaded = BTreeMap<PluginKey, (PathBuf, Arc<Plugin>)>;

impl Sharing {
    async fn keep(
        mut self,
        mut status: watch::Receiver<Status>,
        mut told: watch::Receiver<Option<Arc<SharedPlugins>>>,
        caught_up: &watch::Sender<bool>,
    ) -> Infallible {
        let mut again = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            let (world, refused) = {
                let now = status.borrow_and_update();
                (Arc::clone(&now.world), now.refused.clone())
            };
            let known = told.borrow_and_update().clone();
            let mut failed = false;
            if let Some(known) = &known {
                let loaded = loaded(&world);
                let local = self.local(&loaded).await;
                if local.is_empty() && self.agreed.values().any(Option::is_some) {
                    let folder = self.folder.display();
                    warn!(%folder, "holds no plugin any more: it gets those of the worker group again; `sandbar plugins delete` takes one away");
                }
                let acts = decide(
                    &mut self.agreed,
                    &local,
                    known.all(),
                    |entry| entry.place.as_ref().is_none_or(|place| known.is_whole(entry.content.sha256, place)),
                    self.started,
                );
                for (key, act) in &acts {
                    if let Err(Failed(why)) = self.act(key, *act, &loaded, known, &mut told, &acts).await {
                        failed = true;
                        if again.tries() == 0 {
                            warn!(plugin = %key.name, version = %key.version, "{} failed, this is tried again: {why}", act.name());
                        }
                    }
                }
                if acts.is_empty() && self.is_judged(&refused) {
                    caught_up.send_if_modified(|caught_up| !std::mem::replace(caught_up, true));
                }
                self.forget(known).await;
            }
            if !failed {
                again.reset();
            }
            let pause = async {
                if failed { tokio::time::sleep(again.next_delay()).await } else { std::future::pending().await }
            };
            let moved = async {
                // The status changes all the time, the plugins seldom.
                let has_changed = |status: &Status| !Arc::ptr_eq(&status.world, &world) || status.refused != refused;
                status.wait_for(has_changed).await.is_err()
            };
            let is_over = tokio::select! {
                () = pause => false,
                is_over = moved => is_over,
                changed = told.changed() => changed.is_err(),
            };
            if is_over {
                // The host ends.
                return std::future::pending().await;
            }
        }
    }

    /// What the folder holds, as far as that can be used or came from the group.
    async fn local(&mut self, loaded: &Loaded) -> BTreeMap<PluginKey, Local> {
        let files = loaded.values().map(|(file, _)| file).chain(self.delivered.values().map(|one| &one.file));
        let files: Vec<PathBuf> = files.cloned().collect();
        let changed =
            spawn_blocking(move || files.into_iter().map(|file| (changed_at(&file), file)).collect::<Vec<_>>());
        let changed = changed.await.unwrap_or_default();
        let changed: BTreeMap<_, _> = changed.into_iter().filter_map(|(at, file)| Some((file, at?))).collect();
        let mut local = BTreeMap::new();
        for (key, (file, plugin)) in loaded {
            let changed_at = changed.get(file).copied().unwrap_or_default();
            local.insert(key.clone(), Local { content: content(plugin), changed_at });
        }
        self.delivered.retain(|key, delivered| {
            let loaded = local.get(key).map(|local| &local.content);
            let waits = loaded == delivered.before.as_ref() && loaded != Some(&delivered.content);
            waits && changed.get(&delivered.file) == Some(&delivered.changed_at)
        });
        for (key, Delivered { content, changed_at, .. }) in &self.delivered {
            local.insert(key.clone(), Local { content: content.clone(), changed_at: *changed_at });
        }
        local
    }

    /// Whether all that was put into the folder is loaded by now, or will not be.
    fn is_judged(&self, refused: &[RefusedPlugin]) -> bool {
        self.delivered.values().all(|delivered| refused.iter().any(|refused| refused.file == delivered.file))
    }

    async fn act(
        &mut self,
        key: &PluginKey,
        act: Act,
        loaded: &Loaded,
        known: &SharedPlugins,
        told: &mut watch::Receiver<Option<Arc<SharedPlugins>>>,
        acts: &[(PluginKey, Act)],
    ) -> Result<(), Failed> {
        let said = match act {
            Act::Publish => {
                // What this worker refuses it does not hand on.
                let Some((file, plugin)) = loaded.get(key) else { return Ok(()) };
                let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let said = self.topic.publish(key, &plugin.source.wasm, content(plugin), name, known).await?;
                info!(plugin = %key.name, version = %key.version, file = %file.display(), "the worker group has this plugin now");
                said
            }
            Act::Withdraw => {
                let Some(entry) = known.get(key) else { return Ok(()) };
                let said = self.topic.withdraw(key, entry.content.clone(), known).await?;
                info!(plugin = %key.name, version = %key.version, "taken away from the worker group");
                said
            }
            Act::Fetch => return self.fetch(key, loaded, known, acts).await,
            Act::Remove => {
                let file = loaded.get(key).map(|(file, _)| file).or(self.delivered.get(key).map(|one| &one.file));
                let (Some(file), Some(entry)) = (file.cloned(), known.get(key)) else { return Ok(()) };
                let (content, shown) = (entry.content.clone(), file.display().to_string());
                info!(plugin = %key.name, version = %key.version, file = shown, by = entry.worker, "another worker took this plugin away");
                spawn_blocking(move || folder::remove(&file, &content))
                    .await?
                    .map_err(|error| named(&shown, &error))?;
                return Ok(());
            }
        };
        let is_back = |known: &Option<Arc<SharedPlugins>>| {
            known.as_ref().is_some_and(|known| known.get(key).is_some_and(|entry| *entry == said || entry.at > said.at))
        };
        let back = tokio::time::timeout(BACK_WITHIN, told.wait_for(is_back)).await;
        back.map(drop).map_err(|_| Failed("what was written did not come back".to_owned()))
    }

    async fn fetch(
        &mut self,
        key: &PluginKey,
        loaded: &Loaded,
        known: &SharedPlugins,
        acts: &[(PluginKey, Act)],
    ) -> Result<(), Failed> {
        let Some(PluginEntry { content, place: Some(place), worker, .. }) = known.get(key) else { return Ok(()) };
        let goes = |held: &PluginKey| acts.iter().any(|(other, act)| other == held && *act == Act::Remove);
        // Files that hold plugins, and whether they keep them.
        let stays = loaded.iter().map(|(held, (file, _))| (file.clone(), held != key && !goes(held)));
        let held: BTreeMap<PathBuf, bool> = stays.collect();
        let (folder, own, key_of, told) = (self.folder.clone(), loaded.get(key), key.clone(), place.file.clone());
        let (own, wanted) = (own.map(|(file, _)| file.clone()), content.clone());
        let found = spawn_blocking(move || {
            let is_free = |file: &Path| match held.get(file) {
                Some(stays) => !stays,
                None => matches!(folder::holds(file), Ok(there) if there.as_ref().is_none_or(|there| *there == wanted)),
            };
            let file = own.or_else(|| folder::place(&folder, &key_of, &told, is_free)).ok_or_else(|| {
                format!("{} is in the way, and so is what would be another name for it", folder.join(&told).display())
            })?;
            let there = folder::holds(&file).map_err(|error| named(&file.display().to_string(), &error))?;
            Ok::<_, String>((there == Some(wanted), file))
        });
        let (is_there, file) = found.await??;
        let shown = file.display().to_string();
        if !is_there {
            let wasm = self.topic.fetch(content.sha256, place, known).await?;
            let (to, signature) = (file.clone(), content.signature.clone());
            let put = spawn_blocking(move || folder::put(&to, &wasm, signature.as_deref())).await?;
            put.map_err(|error| named(&shown, &error))?;
            info!(plugin = %key.name, version = %key.version, file = shown, by = worker, "the worker group has a plugin for this folder");
        }
        let to = file.clone();
        let changed_at =
            spawn_blocking(move || changed_at(&to)).await?.ok_or_else(|| format!("{shown} is gone again"))?;
        let before = loaded.get(key).map(|(_, plugin)| self::content(plugin));
        self.delivered.insert(key.clone(), Delivered { file, content: content.clone(), changed_at, before });
        self.agreed.insert(key.clone(), Some(content.clone()));
        Ok(())
    }

    /// Has the group forget what was taken away long ago.
    async fn forget(&self, known: &SharedPlugins) {
        let long_ago = now_ms() - REMEMBERED_MS;
        for (key, _) in known.all().iter().filter(|(_, entry)| entry.place.is_none() && entry.at < long_ago) {
            if let Err(error) = self.topic.forget(key).await {
                debug!(plugin = %key.name, version = %key.version, "the worker group still remembers that this was taken away: {error}");
                return;
            }
        }
    }
}

impl Act {
    const fn name(self) -> &'static str {
        match self {
            Self::Publish => "sharing it with the worker group",
            Self::Withdraw => "taking it away from the worker group",
            Self::Fetch => "taking it in from the worker group",
            Self::Remove => "removing it from the folder",
        }
    }
}

fn named(file: &str, error: &io::Error) -> String {
    format!("{file}: {error}")
}

fn loaded(world: &World) -> Loaded {
    let key = |plugin: &Plugin| {
        let manifest = plugin.manifest();
        PluginKey { name: manifest.name.clone(), version: manifest.version.clone() }
    };
    world.registry.iter().map(|(file, plugin)| (key(plugin), (file.to_owned(), Arc::clone(plugin)))).collect()
}

fn content(plugin: &Plugin) -> Content {
    let signature = plugin.source.signature.as_ref().map(|signature| signature.to_vec());
    Content { sha256: plugin.inspection.sha256, signature }
}

/// When a file was last changed, in milliseconds since 1970 by this machine's clock; `None`: there is none.
fn changed_at(file: &Path) -> Option<i64> {
    let ctime = Fingerprint::of(&std::fs::metadata(file).ok()?).ctime;
    i64::try_from(ctime / 1_000_000).ok()
}
