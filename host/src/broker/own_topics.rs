//! The topics that worker groups keep for themselves. What a plugin wrote there would be taken for what an operator said, or
//! for another plugin's state: no plugin may, whatever topic it names.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The topic whose partitions are the slots of worker groups.
pub const SLOTS_TOPIC: &str = "sandbar-slots";
/// How the names of topics begin that hold the state of connectors.
pub const STATE_TOPIC_PREFIX: &str = "sandbar-state-";
/// How the names begin that groups give their topics by default: those of other groups of the cluster are theirs, too.
const PREFIXES: [&str; 4] = ["sandbar-configs-", "sandbar-status-", "sandbar-plugins-", STATE_TOPIC_PREFIX];

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct OwnTopics(Arc<BTreeSet<String>>);

impl OwnTopics {
    /// Those that a worker names, besides those that are known by their names.
    pub fn new<'n>(named: impl IntoIterator<Item = &'n str>) -> Self {
        Self(Arc::new(named.into_iter().map(str::to_owned).collect()))
    }

    /// Whether a topic is one of them.
    #[must_use]
    pub fn hold(&self, topic: &str) -> bool {
        topic == SLOTS_TOPIC || self.0.contains(topic) || PREFIXES.iter().any(|prefix| topic.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_other_groups_are_known_by_their_names() {
        let own = OwnTopics::new(["what-we-agree-on", "connect-offsets"]);
        for topic in
            ["what-we-agree-on", "connect-offsets", "sandbar-configs-other", "sandbar-state-g-c", "sandbar-slots"]
        {
            assert!(own.hold(topic), "{topic}");
        }
        for topic in ["orders", "sandbar", "sandbar-stats", "what-we-agree-on-2", "sandbar-slots-2", ""] {
            assert!(!own.hold(topic), "{topic}");
        }
    }
}
