//! What the topic says, its entries taken together.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;

use super::entry::Entry;
use crate::config::InitialState;

/// See the module.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Configs {
    connectors: BTreeMap<String, BTreeMap<String, String>>,
    targets: BTreeMap<String, InitialState>,
    loggers: BTreeMap<String, String>,
    promoted: BTreeMap<String, Version>,
}

impl fmt::Debug for Configs {
    /// Configurations may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connectors, targets, loggers, promoted } = self;
        let names: Vec<_> = connectors.keys().collect();
        f.debug_tuple("Configs").field(&names).field(targets).field(loggers).field(promoted).finish()
    }
}

impl Configs {
    /// Takes an entry in. Restarts leave nothing behind.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Connector { name, config } => put(&mut self.connectors, name, config),
            Entry::Target { name, state } => put(&mut self.targets, name, state),
            Entry::Logger { name, level } => put(&mut self.loggers, name, Some(level)),
            Entry::Promoted { plugin, version } => put(&mut self.promoted, plugin, version),
            Entry::Restart { .. } => {}
        }
    }

    /// A connector's configuration.
    #[must_use]
    pub fn connector(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.connectors.get(name)
    }

    /// All connectors, with their configurations.
    pub fn connectors(&self) -> impl Iterator<Item = (&String, &BTreeMap<String, String>)> {
        self.connectors.iter()
    }

    /// What operators want a connector to be, where one said something.
    #[must_use]
    pub fn target(&self, connector: &str) -> Option<InitialState> {
        self.targets.get(connector).copied()
    }

    /// Loggers that say something else on all workers, and the least severe messages of each.
    pub fn loggers(&self) -> impl Iterator<Item = (&String, &String)> {
        self.loggers.iter()
    }

    /// The version of a plugin that runs where none is asked for; without one the newest.
    #[must_use]
    pub fn promoted(&self, plugin: &str) -> Option<&Version> {
        self.promoted.get(plugin)
    }
}

fn put<T>(map: &mut BTreeMap<String, T>, key: String, value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_of_a_key_counts() {
        let mut configs = Configs::default();
        let config = |value: &str| Some(BTreeMap::from([("k".to_owned(), value.to_owned())]));
        let connector = |config| Entry::Connector { name: "c".to_owned(), config };
        let target = |state| Entry::Target { name: "c".to_owned(), state };
        for entry in [connector(config("1")), target(Some(InitialState::Paused)), connector(config("2"))] {
            configs.apply(entry);
        }
        assert_eq!(configs.connector("c"), config("2").as_ref());
        assert_eq!(configs.target("c"), Some(InitialState::Paused));
        configs.apply(connector(None));
        configs.apply(target(None));
        assert_eq!(configs, Configs::default());
    }
}
