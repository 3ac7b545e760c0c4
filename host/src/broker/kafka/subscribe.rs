//! What a group reads: topics by name, or every topic whose name matches. Patterns are matched here and not by
//! librdkafka, whose regular expressions are another dialect, so that one pattern means the same on every broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use super::admin::Admin;
use crate::broker::{BrokerError, Topics, whole_names};

/// How soon a topic that is created later is picked up. All patterns of a worker share one look at the cluster.
pub(super) const PATTERN_REFRESH: Duration = Duration::from_secs(5);

/// A subscription that knows when it changes.
pub(super) enum Subscription {
    /// Fixed names, not yet subscribed to.
    Names(Vec<String>),
    /// Fixed names, subscribed to.
    Done,
    /// Matching names.
    Pattern {
        /// Whole names match.
        pattern: Regex,
        /// Where names come from.
        admin: Arc<Admin>,
        /// What matched last; `None` before the first look.
        current: Option<Vec<String>>,
        /// When to look again.
        due: Instant,
    },
}

impl Subscription {
    /// A subscription to topics.
    pub fn new(topics: &Topics, admin: &Arc<Admin>, now: Instant) -> Result<Self, BrokerError> {
        match topics {
            Topics::Names(names) => Ok(Self::Names(names.clone())),
            Topics::Pattern(pattern) => {
                Ok(Self::Pattern { pattern: whole(pattern)?, admin: Arc::clone(admin), current: None, due: now })
            }
        }
    }

    /// Whether there is anything to subscribe to.
    pub fn has_topics(&self) -> bool {
        match self {
            Self::Names(_) | Self::Done => true,
            Self::Pattern { current, .. } => current.as_ref().is_some_and(|names| !names.is_empty()),
        }
    }

    /// The names to subscribe to, where they are not what they were. May ask the cluster.
    pub fn changed(&mut self, now: Instant) -> Option<Vec<String>> {
        match self {
            Self::Names(names) => {
                let names = std::mem::take(names);
                *self = Self::Done;
                Some(names)
            }
            Self::Done => None,
            Self::Pattern { pattern, admin, current, due } => {
                if now < *due {
                    return None;
                }
                *due = now + PATTERN_REFRESH;
                let all = match admin.topic_names(now) {
                    Ok(all) => all,
                    Err(error) => {
                        tracing::debug!(pattern = pattern.as_str(), %error, "cannot look for matching topics");
                        return None;
                    }
                };
                let names: Vec<String> = all.iter().filter(|name| pattern.is_match(name)).cloned().collect();
                if current.as_ref() == Some(&names) || (current.is_none() && names.is_empty()) {
                    return None;
                }
                *current = Some(names.clone());
                Some(names)
            }
        }
    }
}

/// Names of the topics that match a pattern now. May ask the cluster.
pub(super) fn matching(admin: &Admin, pattern: &str, now: Instant) -> Result<Vec<String>, BrokerError> {
    let pattern = whole(pattern)?;
    Ok(admin.topic_names(now)?.iter().filter(|name| pattern.is_match(name)).cloned().collect())
}

/// A pattern that matches whole names only.
fn whole(pattern: &str) -> Result<Regex, BrokerError> {
    whole_names(pattern).map_err(|error| BrokerError::fatal(format!("read the topic pattern {pattern}"), error))
}
