//! The plugins that are there, and what the worker group agrees on: what it takes to judge a configuration from outside.

use std::sync::Arc;

use sandbar_abi::Manifest;
use semver::VersionReq;

use crate::config::ManifestLookup;
use crate::plugins::{Plugin, Registry};
use crate::storage::Configs;

/// See the module.
#[derive(Clone, Default)]
pub struct World {
    /// The plugins.
    pub registry: Registry,
    /// What the worker group agrees on.
    pub configs: Configs,
}

impl World {
    /// The plugin that would run: the newest version that will do; where any will, the one that was promoted.
    #[must_use]
    pub fn find(&self, name: &str, version: Option<&VersionReq>) -> Option<&Arc<Plugin>> {
        let (registry, configs) = (&self.registry, &self.configs);
        promoted(registry, configs, name, version, |_| true).or_else(|| registry.find(name, version, |_| true))
    }
}

/// The version that was promoted, where any will do and it is there and free to be used.
pub(super) fn promoted<'r>(
    registry: &'r Registry,
    configs: &Configs,
    name: &str,
    version: Option<&VersionReq>,
    is_free: impl Fn(&Plugin) -> bool,
) -> Option<&'r Arc<Plugin>> {
    let promoted = configs.promoted(name).filter(|_| version.is_none())?;
    registry.find(name, None, |plugin| is_free(plugin) && plugin.manifest().version == *promoted)
}

impl ManifestLookup for World {
    fn manifest(&self, class: &str) -> Option<&Manifest> {
        self.find(class, None).map(|plugin| plugin.manifest())
    }

    fn manifest_matching(&self, class: &str, version: &VersionReq) -> Option<&Manifest> {
        self.find(class, Some(version)).map(|plugin| plugin.manifest())
    }
}
