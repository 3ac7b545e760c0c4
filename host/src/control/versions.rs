//! New versions of plugins on probation, and those that failed it: a connector goes back to the version that ran well by
//! itself, and does not try the other one again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::Manifest;
use semver::VersionReq;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::planner::Plugins;
use super::world;
use crate::config::{ConnectorSettings, ManifestLookup, PluginSettings};
use crate::digest::Digest;
use crate::plugins::{Plugin, Registry};
use crate::storage::Configs;

/// How long a version is on probation at least.
const PROBATION: Duration = Duration::from_secs(60);
/// How many transactions it has to commit before its probation ends.
const PROBATION_COMMITS: u64 = 20;

/// A version of a plugin that a connector will not run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// What it is by its content: another file of the same version is another plugin.
    pub sha256: Digest,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} is in quarantine: {}", self.plugin, self.version, self.reason)
    }
}

/// What a connector knows about versions of its plugins.
#[derive(Clone, Default)]
pub(super) struct Versions {
    /// What took over from what ran before, and may have to hand back.
    probation: Option<Probation>,
    /// The plugins that ran well, where what came after them has not yet, or failed. Their files may be gone.
    fallback: Option<Plugins>,
    /// Whether nothing has run yet in this life of the host: nobody knows then whether it has to go back to those.
    fresh: bool,
    /// By the hash of their content.
    quarantined: BTreeMap<Digest, Quarantined>,
}

/// Plugins that have to show that they work.
#[derive(Clone)]
struct Probation {
    plugins: Plugins,
    since: Instant,
}

impl Versions {
    /// What a connector knows that begins with versions in quarantine, and with plugins that ran well in an earlier life of
    /// the host.
    pub(super) fn with(quarantined: &[Quarantined], fallback: Option<Plugins>) -> Self {
        let quarantined = quarantined.iter().map(|one| (one.sha256, one.clone())).collect();
        Self { probation: None, fallback, fresh: true, quarantined }
    }

    /// Plugins are the first to run in this life of the host. Others may have run well in an earlier one.
    pub(super) fn begin(&mut self, plugins: &Plugins, now: Instant) {
        self.fresh = false;
        let others = self.fallback.as_ref().filter(|fallback| !fallback.same(plugins));
        self.probation = others.map(|_| Probation { plugins: plugins.clone(), since: now });
        self.drop_fallback();
    }

    /// Plugins take over from those `before`, which ran well or did not.
    pub(super) fn take_over(&mut self, after: &Plugins, before: Plugins, ran_well: bool, now: Instant) {
        if self.fallback.as_ref().is_some_and(|fallback| fallback.same(after)) {
            // They have shown what they can.
            self.probation = None;
            return;
        }
        // Of two versions on probation after each other the one before both is the one that is known to work.
        if self.probation.is_none() && ran_well {
            self.fallback = Some(before);
        }
        let probation = Probation { plugins: after.clone(), since: now };
        self.probation = self.fallback.is_some().then_some(probation);
    }

    /// Whether plugins that committed so many transactions by now are still on probation. Those that are not any more
    /// are the ones that work.
    pub(super) fn on_probation(&mut self, commits: u64, now: Instant) -> bool {
        match self.probation.take_if(|probation| is_over(probation.since, commits, now)) {
            Some(over) => {
                self.fallback = Some(over.plugins);
                self.drop_fallback();
                false
            }
            None => self.probation.is_some(),
        }
    }

    /// Lets go of the plugins that ran well, where nobody could have to go back to them. While something is in quarantine
    /// they may be all that the connector can run: their own file may be gone, or be the very one that failed.
    fn drop_fallback(&mut self) {
        if !self.fresh && self.probation.is_none() && self.quarantined.is_empty() {
            self.fallback = None;
        }
    }

    /// The plugins on probation failed: the new ones among them, of which there is a version before that will do, are not
    /// tried again. Returns those; where there are none it is not the versions that changed.
    pub(super) fn fail(&mut self, running: &Plugins, settings: &ConnectorSettings, reason: &str) -> Vec<Quarantined> {
        self.probation = None;
        let Some(fallback) = &self.fallback else { return Vec::new() };
        let asked = || std::iter::once(&settings.plugin).chain(settings.transforms.iter().map(|t| &t.plugin));
        let will_do = |old: &Manifest| {
            let of_it = |asked: &&PluginSettings| asked.class == old.name;
            asked().filter(of_it).all(|asked| asked.version.as_ref().is_none_or(|req| req.matches(&old.version)))
        };
        let replaces = |plugin: &Plugin| {
            let before = |old: &&Arc<Plugin>| old.manifest().name == plugin.manifest().name && will_do(old.manifest());
            let same = fallback.iter().any(|old| old.inspection.sha256 == plugin.inspection.sha256);
            !same && fallback.iter().any(|old| before(&old))
        };
        let mut failed = Vec::new();
        for plugin in running.iter().filter(|plugin| replaces(plugin)) {
            let quarantined = Quarantined {
                plugin: plugin.manifest().name.clone(),
                version: plugin.manifest().version.to_string(),
                sha256: plugin.inspection.sha256,
                reason: reason.to_owned(),
            };
            self.quarantined.insert(quarantined.sha256, quarantined.clone());
            failed.push(quarantined);
        }
        self.drop_fallback();
        failed
    }

    /// The same, for a connector that cannot go back.
    pub(super) fn without_probation(self) -> Self {
        Self { probation: None, ..self }
    }

    /// The plugins that ran well before, where the connector may have to go back to them.
    pub(super) fn fallback(&self) -> Option<&Plugins> {
        self.fallback.as_ref()
    }

    /// What is in quarantine.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = &Quarantined> + Clone {
        self.quarantined.values()
    }

    /// What a connector waits for that lacks these plugins: where versions of them are there and in quarantine, what can
    /// be done about it.
    pub(super) fn waits_for(&self, connector: &str, plugins: &[&str]) -> String {
        let mut text = format!("plugin {}", plugins.join(", "));
        let mut held = false;
        for one in self.quarantined().filter(|one| plugins.contains(&one.plugin.as_str())) {
            held = true;
            text.push_str(&format!("; {one}"));
        }
        if held {
            text.push_str(&format!(
                "; put another version into the folder, or let it be tried again: sandbar restart {connector}"
            ));
        }
        text
    }

    /// What is in quarantine, to be said after something else.
    pub(super) fn held(&self) -> String {
        self.quarantined().fold(String::new(), |text, one| format!("{text}; {one}"))
    }

    /// Lets everything out of quarantine: somebody wants it tried again.
    pub(super) fn pardon(&mut self) {
        self.quarantined.clear();
    }

    /// Forgets what no file holds any more.
    pub(super) fn prune(&mut self, registry: &Registry) {
        let before = self.quarantined.len();
        self.quarantined.retain(|sha256, _| registry.iter().any(|(_, plugin)| plugin.inspection.sha256 == *sha256));
        // Those that were pardoned are about to take over, and may have to hand back once more.
        if self.quarantined.len() < before {
            self.drop_fallback();
        }
    }

    /// The plugins a connector may run.
    pub(super) fn allowed<'a>(&'a self, registry: &'a Registry, configs: &'a Configs) -> Allowed<'a> {
        Allowed { registry, configs, versions: self }
    }
}

/// Whether a probation that began then has been long enough.
fn is_over(since: Instant, commits: u64, now: Instant) -> bool {
    commits >= PROBATION_COMMITS && now.saturating_duration_since(since) >= PROBATION
}

/// The plugins of the folder without those in quarantine, and those that ran well before these.
pub(super) struct Allowed<'a> {
    registry: &'a Registry,
    configs: &'a Configs,
    versions: &'a Versions,
}

impl Allowed<'_> {
    /// The newest version of a plugin that will do; where any will, the one that was promoted.
    pub(super) fn find(&self, name: &str, version: Option<&VersionReq>) -> Option<&Arc<Plugin>> {
        let free = |plugin: &Plugin| !self.versions.quarantined.contains_key(&plugin.inspection.sha256);
        let fits = |plugin: &&Arc<Plugin>| {
            plugin.manifest().name == name && version.is_none_or(|req| req.matches(&plugin.manifest().version))
        };
        if let Some(promoted) = world::promoted(self.registry, self.configs, name, version, free) {
            return Some(promoted);
        }
        let newest = self.registry.find(name, version, free);
        let kept = self.versions.fallback.as_ref().filter(|_| !self.versions.quarantined.is_empty());
        let kept = kept.and_then(|fallback| fallback.iter().find(fits));
        // What ran is better than what is older, even where its file is gone; of the same version the file counts.
        kept.into_iter().chain(newest).max_by(|a, b| a.manifest().version.cmp(&b.manifest().version))
    }
}

impl ManifestLookup for Allowed<'_> {
    fn manifest(&self, class: &str) -> Option<&Manifest> {
        self.find(class, None).map(|plugin| plugin.manifest())
    }

    fn manifest_matching(&self, class: &str, version: &VersionReq) -> Option<&Manifest> {
        self.find(class, Some(version)).map(|plugin| plugin.manifest())
    }
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
