//! Plugins that are not in the folder any more, and since when: a file that is moved, or put in the place of another, is
//! away for a moment, and the group must not lose it for that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::here::Loaded;
use crate::storage::PluginKey;

/// How long a plugin has to be away before it is taken away from the group.
const AWAY_FOR: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(super) struct Missing {
    since: BTreeMap<PluginKey, Instant>,
    /// Where plugins were when they were last seen.
    files: BTreeMap<PluginKey, PathBuf>,
    /// Since when nothing is there at all.
    all_since: Option<Instant>,
}

impl Missing {
    /// Takes note of what is there, and of what is not.
    pub(super) fn note(&mut self, loaded: &Loaded, missing: &BTreeSet<&PluginKey>, now: Instant) {
        self.all_since = None;
        self.since.retain(|key, _| missing.contains(key));
        self.files.retain(|key, _| missing.contains(key));
        for key in missing {
            self.since.entry((*key).clone()).or_insert(now);
        }
        let there = loaded.iter().filter(|(key, _)| !missing.contains(key));
        self.files.extend(there.map(|(key, (file, _))| (key.clone(), file.clone())));
    }

    /// When the folder counts as empty, which it is now.
    pub(super) fn all_gone_at(&mut self, now: Instant) -> Instant {
        *self.all_since.get_or_insert(now) + AWAY_FOR
    }

    /// When it counts as taken away. One whose file holds another plugin by now does so at once.
    pub(super) fn is_gone_at(&self, key: &PluginKey, loaded: &Loaded, now: Instant) -> Instant {
        let was_in = self.files.get(key);
        let is_replaced = loaded.iter().any(|(held, (file, _))| held != key && Some(file) == was_in);
        if is_replaced { now } else { self.since.get(key).map_or(now, |since| *since + AWAY_FOR) }
    }
}
