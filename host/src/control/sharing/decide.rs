//! What has to be done so that a worker's folder and its group hold the same plugins: a three-way merge, of what the folder
//! holds, what the group says, and what both agreed on last.
//!
//! Where only one of the two has changed, the other follows it. Where both did, or nothing was agreed on yet, the newer
//! one counts; a file that came while the host runs is newer than anything. A folder that holds no plugin at all is a new one:
//! it takes nothing away, unless somebody said so.

use std::collections::{BTreeMap, BTreeSet};

use crate::storage::{Content, PluginEntry, PluginKey};

/// A plugin in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Local {
    /// What it consists of.
    pub content: Content,
    /// When its file was last changed, in milliseconds since 1970.
    pub changed_at: i64,
}

/// What is to be done about a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Tell the group of the folder's.
    Publish,
    /// Tell the group that it was taken away.
    Withdraw,
    /// Put the group's into the folder.
    Fetch,
    /// Take it out of the folder.
    Remove,
}

/// What folder and group agreed on last, by plugin; `None`: that it is not there.
pub(super) type Agreed = BTreeMap<PluginKey, Option<Content>>;

/// Decides, and notes what both agree on. `taken_away`: what somebody took out of the folder by a command. `is_whole`:
/// whether the group has all the bytes of what it says is there. `started`: when this worker did, in milliseconds since 1970.
pub(super) fn decide(
    agreed: &mut Agreed,
    local: &BTreeMap<PluginKey, Local>,
    group: &BTreeMap<PluginKey, PluginEntry>,
    taken_away: &BTreeSet<PluginKey>,
    is_whole: impl Fn(&PluginEntry) -> bool,
    started: i64,
) -> Vec<(PluginKey, Act)> {
    if local.is_empty() {
        // It is more likely that the folder is new, or was not there, than that the group shall be without plugins.
        agreed.retain(|key, _| taken_away.contains(key));
    }
    let keys: BTreeSet<PluginKey> = agreed.keys().chain(local.keys()).chain(group.keys()).cloned().collect();
    let mut acts = Vec::new();
    for key in keys {
        let (here, entry) = (local.get(&key), group.get(&key));
        let there = entry.filter(|entry| entry.place.is_some());
        let (ours, theirs) = (here.map(|local| &local.content), there.map(|entry| &entry.content));
        if ours == theirs {
            if there.is_some_and(|entry| !is_whole(entry)) {
                acts.push((key.clone(), Act::Publish));
            }
            match (ours, entry) {
                (None, None) => drop(agreed.remove(&key)),
                _ => drop(agreed.insert(key, ours.cloned())),
            }
            continue;
        }
        let base = agreed.get(&key).map(Option::as_ref);
        let follows_folder = if base == Some(theirs) || (ours.is_none() && taken_away.contains(&key)) {
            true
        } else if base == Some(ours) {
            false
        } else {
            here.is_some_and(|local| {
                local.changed_at >= started || entry.is_none_or(|entry| local.changed_at > entry.at)
            })
        };
        let act = match (follows_folder, ours.is_some(), theirs.is_some()) {
            (true, true, _) => Act::Publish,
            (true, false, _) => Act::Withdraw,
            (false, _, true) => Act::Fetch,
            (false, _, false) => Act::Remove,
        };
        acts.push((key, act));
    }
    // One file may hold a new version in the place of an old one: who takes it in shall not be without.
    acts.sort_by_key(|(_, act)| matches!(act, Act::Withdraw | Act::Remove));
    acts
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;
    use crate::digest::Digest;
    use crate::storage::PluginPlace;

    const STARTED: i64 = 100;

    fn key() -> PluginKey {
        PluginKey { name: "p".to_owned(), version: Version::new(1, 0, 0) }
    }

    fn content(text: &str) -> Content {
        Content { sha256: Digest::of(text.as_bytes()), signature: None }
    }

    fn here(text: &str, changed_at: i64) -> Option<Local> {
        Some(Local { content: content(text), changed_at })
    }

    fn there(text: &str, at: i64) -> Option<PluginEntry> {
        let place = PluginPlace { bytes: 1, chunks: 1, file: "p.wasm".to_owned() };
        Some(PluginEntry { content: content(text), place: Some(place), at, worker: "w".to_owned() })
    }

    fn taken_away(text: &str, at: i64) -> Option<PluginEntry> {
        there(text, at).map(|entry| PluginEntry { place: None, ..entry })
    }

    /// What is done about one plugin, `agreed` on before or not, beside another one that all agree on.
    fn act(base: Option<Option<&str>>, here: Option<Local>, there: Option<PluginEntry>) -> Option<Act> {
        let other = PluginKey { name: "other".to_owned(), ..key() };
        let mut agreed = Agreed::from([(other.clone(), Some(content("other")))]);
        agreed.extend(base.map(|base| (key(), base.map(content))));
        let mut local = BTreeMap::from([(other.clone(), Local { content: content("other"), changed_at: 1 })]);
        local.extend(here.map(|local| (key(), local)));
        let mut group: BTreeMap<_, _> = self::there("other", 1).map(|entry| (other, entry)).into_iter().collect();
        group.extend(there.map(|entry| (key(), entry)));
        let acts = decide(&mut agreed, &local, &group, &BTreeSet::new(), |_| true, STARTED);
        acts.first().map(|(_, act)| *act)
    }

    #[test]
    fn who_changed_is_followed() {
        assert_eq!(act(Some(Some("a")), here("a", 1), there("a", 2)), None);
        assert_eq!(act(Some(Some("a")), here("b", 1), there("a", 2)), Some(Act::Publish));
        assert_eq!(act(Some(Some("a")), None, there("a", 2)), Some(Act::Withdraw));
        assert_eq!(act(Some(Some("a")), here("a", 1), there("b", 2)), Some(Act::Fetch));
        assert_eq!(act(Some(Some("a")), here("a", 200), taken_away("a", 2)), Some(Act::Remove), "it was there before");
        assert_eq!(act(Some(None), here("a", 1), None), Some(Act::Publish));
        assert_eq!(act(Some(None), None, there("a", 1)), Some(Act::Fetch));
        assert_eq!(act(Some(Some("a")), None, taken_away("a", 2)), None);
    }

    #[test]
    fn of_two_that_never_agreed_the_newer_counts() {
        assert_eq!(act(None, here("a", 1), None), Some(Act::Publish));
        assert_eq!(act(None, None, there("a", 1)), Some(Act::Fetch));
        assert_eq!(act(None, here("a", 3), there("b", 2)), Some(Act::Publish));
        assert_eq!(act(None, here("a", 2), there("b", 3)), Some(Act::Fetch));
        assert_eq!(act(None, here("a", 2), taken_away("a", 3)), Some(Act::Remove));
        assert_eq!(act(None, here("a", 3), taken_away("a", 2)), Some(Act::Publish));
        assert_eq!(act(None, here("a", 2), taken_away("b", 3)), Some(Act::Remove), "what came after it is gone, too");
        assert_eq!(act(None, None, taken_away("a", 3)), None);
        assert_eq!(act(None, here("a", STARTED), there("b", 2 * STARTED)), Some(Act::Publish), "a clock may be ahead");
        assert_eq!(act(Some(Some("x")), here("a", 3), there("b", 2)), Some(Act::Publish), "both changed");
        assert_eq!(act(Some(Some("x")), here("a", 2), there("b", 3)), Some(Act::Fetch), "both changed");
    }

    #[test]
    fn what_was_taken_away_by_a_command_goes_be_it_the_last_one() {
        let group = there("a", 1).map(|entry| (key(), entry)).into_iter().collect();
        let (asked, mut agreed) = (BTreeSet::from([key()]), Agreed::from([(key(), Some(content("a")))]));
        let act = |agreed: &mut Agreed, asked| decide(agreed, &BTreeMap::new(), &group, asked, |_| true, STARTED);
        assert_eq!(act(&mut agreed, &asked), [(key(), Act::Withdraw)]);
        assert_eq!(act(&mut Agreed::new(), &asked), [(key(), Act::Withdraw)], "also where nothing was agreed on yet");
        assert_eq!(act(&mut agreed, &BTreeSet::new()), [(key(), Act::Fetch)]);
    }

    #[test]
    fn pieces_that_are_missing_are_written_again() {
        let local = here("a", 1).map(|local| (key(), local)).into_iter().collect();
        let group = there("a", 1).map(|entry| (key(), entry)).into_iter().collect();
        let acts = decide(&mut Agreed::new(), &local, &group, &BTreeSet::new(), |_| false, STARTED);
        assert_eq!(acts, [(key(), Act::Publish)]);
    }

    #[test]
    fn an_empty_folder_takes_nothing_away() {
        let other = PluginKey { name: "q".to_owned(), ..key() };
        let mut agreed: Agreed = [(key(), Some(content("a"))), (other.clone(), Some(content("a")))].into();
        let group = [key(), other.clone()].into_iter().filter_map(|key| Some((key, there("a", 1)?))).collect();
        let acts = decide(&mut agreed.clone(), &BTreeMap::new(), &group, &BTreeSet::new(), |_| true, STARTED);
        assert_eq!(acts, [(key(), Act::Fetch), (other.clone(), Act::Fetch)]);
        let one = here("a", 1).map(|local| (other, local)).into_iter().collect();
        assert_eq!(decide(&mut agreed, &one, &group, &BTreeSet::new(), |_| true, STARTED), [(key(), Act::Withdraw)]);
    }
}
