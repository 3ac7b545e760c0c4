//! Keeps the plugins of a worker's folder and those of its group the same: a file that is dropped at one worker comes to all,
//! and one that is taken away goes everywhere.
//!
//! What comes from the group is put into the folder, and from there on is a file like any other: it is trusted or not, judged
//! and loaded as if somebody had dropped it here. `decide` has the rules, `here` and
//! `missing` know the folder, `folder` its files.

mod decide;
pub(crate) mod folder;
mod here;
mod missing;
mod take_in;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use self::decide::{Act, Agreed, Local, decide};
use self::here::{Delivered, Loaded, content, loaded};
use self::missing::Missing;
use super::status::{RefusedPlugin, Status};
use super::world::World;
use crate::storage::{PluginEntry, PluginKey, PluginTopic, SharedPlugins};
use crate::task::Backoff;
use crate::wall_clock::now_ms;

/// The first and the longest pause before what failed is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pause after something was done, before it is looked at what that has changed.
const BREATH: Duration = Duration::from_millis(20);
/// How soon it is looked again whether plugins are still being loaded.
const LOADING: Duration = Duration::from_secs(1);
/// How long what was written may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// How long a worker that starts waits for the plugins of its group before it takes tasks.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);
/// How long the group remembers that a plugin was taken away, in milliseconds: a worker that was down for longer brings it
/// back, if it has it still.
const REMEMBERED_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// How long pieces of files may lie about that no plugin has, in milliseconds: somebody may be about to say of which they are.
const UNCLAIMED_MS: i64 = 60 * 60 * 1000;

/// Plugins that an operator took away by a command, until the group knows.
pub type TakenAway = watch::Sender<BTreeSet<PluginKey>>;

/// Does so until it is dropped. `caught_up` is told once the folder has what the group has, and it is loaded or refused;
/// after a while in any case, for the tasks of a worker must not wait for plugins that they do not need.
pub async fn share(
    topic: PluginTopic,
    folder: PathBuf,
    mut status: watch::Receiver<Status>,
    taken_away: TakenAway,
    caught_up: watch::Sender<bool>,
) -> Infallible {
    let started = now_ms();
    let (tell, told) = watch::channel(None);
    let keep = async {
        // Until the folder was seen whole, nothing is missing from it.
        if status.wait_for(|status| status.knows_all).await.is_err() {
            return std::future::pending().await;
        }
        let sharing = Sharing {
            topic: topic.clone(),
            folder,
            started,
            taken_away,
            agreed: Agreed::new(),
            delivered: Delivered::default(),
            missing: Missing::default(),
            failing: BTreeSet::new(),
            said_at: 0,
        };
        sharing.keep(status, told, &caught_up).await
    };
    tokio::select! {
        never = topic.follow(tell) => never,
        never = keep => never,
        never = patience(&caught_up) => never,
    }
}

/// Waits no longer than it is worth.
async fn patience(caught_up: &watch::Sender<bool>) -> Infallible {
    sleep(CAUGHT_UP_WITHIN).await;
    if !caught_up.send_replace(true) {
        warn!("the plugins of the worker group are not all here, this worker takes tasks all the same");
    }
    std::future::pending().await
}

struct Sharing {
    topic: PluginTopic,
    folder: PathBuf,
    started: i64,
    taken_away: TakenAway,
    agreed: Agreed,
    delivered: Delivered,
    missing: Missing,
    /// What could not be done about when it was last tried.
    failing: BTreeSet<PluginKey>,
    /// When this worker said something last; it never says two things at the same time.
    said_at: i64,
}

/// Why something could not be done; it is tried again.
struct Failed(String);

impl<E: fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What the supervisor shows of plugins.
struct Shown {
    world: Arc<World>,
    refused: Vec<RefusedPlugin>,
    knows_all: bool,
}

impl Shown {
    fn of(status: &Status) -> Self {
        Self { world: Arc::clone(&status.world), refused: status.refused.clone(), knows_all: status.knows_all }
    }

    /// When something is to be done that may be done from a time on, and not while plugins are being loaded.
    fn not_before(&self, time: Instant, now: Instant) -> Instant {
        if self.knows_all { time } else { time.max(now + LOADING) }
    }

    /// The status changes all the time, the plugins seldom.
    fn differs(&self, status: &Status) -> bool {
        !Arc::ptr_eq(&status.world, &self.world) || status.refused != self.refused
    }
}

/// What is held against each other at one time.
struct Round<'r> {
    known: &'r SharedPlugins,
    loaded: &'r Loaded,
    local: &'r BTreeMap<PluginKey, Local>,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    /// Something was done.
    acted: bool,
    /// When something is to be done that must not be done yet.
    due: Option<Instant>,
}

impl Sharing {
    async fn keep(
        mut self,
        mut status: watch::Receiver<Status>,
        mut told: watch::Receiver<Option<Arc<SharedPlugins>>>,
        caught_up: &watch::Sender<bool>,
    ) -> Infallible {
        let mut again = Backoff::new(AGAIN.0, AGAIN.1);
        let mut asked = self.taken_away.subscribe();
        loop {
            let shown = Shown::of(&status.borrow_and_update());
            asked.mark_unchanged();
            let known = told.borrow_and_update().clone();
            let mut outcome = Outcome::default();
            if let Some(known) = &known {
                outcome = self.merge(known, &shown, &mut told, caught_up).await;
            }
            if outcome.acted {
                // What was told meanwhile counts, too.
                sleep(BREATH).await;
                continue;
            }
            let mut due = outcome.due;
            if self.failing.is_empty() {
                again.reset();
            } else {
                let next = Instant::now() + again.next_delay();
                due = Some(due.map_or(next, |due| due.min(next)));
            }
            let pause = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let is_over = tokio::select! {
                () = pause => false,
                is_over = async { status.wait_for(|status| shown.differs(status)).await.is_err() } => is_over,
                changed = told.changed() => changed.is_err(),
                changed = asked.changed() => changed.is_err(),
            };
            if is_over {
                // The host ends.
                return std::future::pending().await;
            }
        }
    }

    /// Does what is to be done now.
    async fn merge(
        &mut self,
        known: &SharedPlugins,
        shown: &Shown,
        told: &mut watch::Receiver<Option<Arc<SharedPlugins>>>,
        caught_up: &watch::Sender<bool>,
    ) -> Outcome {
        let loaded = loaded(&shown.world);
        let local = self.delivered.with(&loaded).await;
        let taken_away = self.asked_for(&local, known);
        let now = Instant::now();
        if local.is_empty() && self.agreed.iter().any(|(key, agreed)| agreed.is_some() && !taken_away.contains(key)) {
            let due = shown.not_before(self.missing.all_gone_at(now), now);
            if due > now {
                return Outcome { due: Some(due), ..Outcome::default() };
            }
            let folder = self.folder.display();
            warn!(%folder, "holds no plugin any more: it gets those of the worker group again; `sandbar plugins delete` takes one away");
        }
        let acts = decide(
            &mut self.agreed,
            &local,
            known.all(),
            &taken_away,
            |entry| entry.place.as_ref().is_none_or(|place| known.is_whole(entry.content.sha256, place)),
            self.started,
        );
        let withdrawn = acts.iter().filter(|(_, act)| *act == Act::Withdraw).map(|(key, _)| key).collect();
        self.missing.note(&loaded, &withdrawn, now);
        let round = Round { known, loaded: &loaded, local: &local };
        let (mut outcome, mut failing) = (Outcome::default(), BTreeSet::new());
        for (key, act) in &acts {
            if *act == Act::Withdraw && !taken_away.contains(key) {
                let due = shown.not_before(self.missing.is_gone_at(key, &loaded, now), now);
                if due > now {
                    outcome.due = Some(outcome.due.map_or(due, |first| first.min(due)));
                    continue;
                }
            }
            match self.act(key, *act, &round, told, &acts).await {
                Ok(acted) => outcome.acted |= acted,
                Err(Failed(why)) => {
                    if !self.failing.contains(key) {
                        warn!(plugin = %key.name, version = %key.version, "{} failed, this is tried again: {why}", act.name());
                    }
                    failing.insert(key.clone());
                }
            }
        }
        self.failing = failing;
        let is_behind = acts.iter().any(|(_, act)| matches!(act, Act::Fetch | Act::Remove));
        if !is_behind && self.delivered.is_judged(&shown.refused) {
            caught_up.send_if_modified(|caught_up| !std::mem::replace(caught_up, true));
        }
        self.tidy(known).await;
        outcome
    }

    /// What was taken away by a command, as far as the group does not know yet.
    fn asked_for(&self, local: &BTreeMap<PluginKey, Local>, known: &SharedPlugins) -> BTreeSet<PluginKey> {
        let is_shared = |key: &PluginKey| known.get(key).is_some_and(|entry| entry.place.is_some());
        let mut left = BTreeSet::new();
        self.taken_away.send_if_modified(|keys| {
            keys.retain(|key| !local.contains_key(key) && is_shared(key));
            left.clone_from(keys);
            false
        });
        left
    }

    /// Does one thing; whether there was anything to do.
    async fn act(
        &mut self,
        key: &PluginKey,
        act: Act,
        round: &Round<'_>,
        told: &mut watch::Receiver<Option<Arc<SharedPlugins>>>,
        acts: &[(PluginKey, Act)],
    ) -> Result<bool, Failed> {
        let Round { known, loaded, local } = *round;
        match act {
            Act::Publish => {
                // What this worker refuses it does not hand on.
                let Some((file, plugin)) = loaded.get(key) else { return Ok(false) };
                let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let (content, at) = (content(plugin), self.next_time(known));
                self.topic.publish(key, &plugin.source.wasm, content.clone(), name, at, known).await?;
                is_back(told, at).await?;
                info!(plugin = %key.name, version = %key.version, file = %file.display(), "the worker group has this plugin now");
                self.agreed.insert(key.clone(), Some(content));
            }
            Act::Withdraw => {
                let Some(entry) = known.get(key) else { return Ok(false) };
                let at = self.next_time(known);
                self.topic.withdraw(key, entry.content.clone(), at, known).await?;
                is_back(told, at).await?;
                info!(plugin = %key.name, version = %key.version, "taken away from the worker group");
                self.agreed.insert(key.clone(), None);
            }
            Act::Fetch => {
                let goes = |held: &PluginKey| acts.iter().any(|(other, act)| other == held && *act == Act::Remove);
                return self.take_in(key, round, goes).await;
            }
            Act::Remove => {
                let file = self.delivered.get(key).map(|one| &one.file).or(loaded.get(key).map(|(file, _)| file));
                let (Some(file), Some(local)) = (file.cloned(), local.get(key)) else { return Ok(false) };
                let (content, shown) = (local.content.clone(), file.display().to_string());
                let removed = spawn_blocking(move || folder::remove(&file, &content)).await?;
                if !removed.map_err(|error| named(&shown, &error))? {
                    return Err(Failed(format!("{shown} has changed, and is looked at first")));
                }
                let by = known.get(key).map_or("", |entry| entry.worker.as_str());
                info!(plugin = %key.name, version = %key.version, file = shown, by, "another worker took this plugin away");
                self.agreed.insert(key.clone(), None);
            }
        }
        Ok(true)
    }

    /// The time of what is said next: after all that this worker has said.
    fn next_time(&mut self, known: &SharedPlugins) -> i64 {
        self.said_at = now_ms().max(self.said_at + 1).max(known.heard() + 1);
        self.said_at
    }

    /// Has the group forget what was taken away long ago, and pieces of files that no plugin has.
    async fn tidy(&self, known: &SharedPlugins) {
        let now = now_ms();
        let is_old = |entry: &PluginEntry| entry.place.is_none() && entry.at < now - REMEMBERED_MS;
        for (key, _) in known.all().iter().filter(|(_, entry)| is_old(entry)) {
            if let Err(error) = self.topic.forget(key).await {
                debug!(plugin = %key.name, version = %key.version, "the worker group still remembers that this was taken away: {error}");
                return;
            }
        }
        if let Err(error) = self.topic.drop_unclaimed(known, now - UNCLAIMED_MS).await {
            debug!("pieces of plugins that nobody has lie in the topic still: {error}");
        }
    }
}

/// Waits until what this worker said has been read back, and all that was said before it.
async fn is_back(told: &mut watch::Receiver<Option<Arc<SharedPlugins>>>, at: i64) -> Result<(), Failed> {
    let is_heard = |known: &Option<Arc<SharedPlugins>>| known.as_ref().is_some_and(|known| known.heard() >= at);
    let back = tokio::time::timeout(BACK_WITHIN, told.wait_for(is_heard)).await;
    back.map(drop).map_err(|_| Failed("what was written did not come back".to_owned()))
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
