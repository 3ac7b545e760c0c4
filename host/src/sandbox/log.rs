//! Where a guest's lines go, and how many of them: a plugin must not fill the host's log.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sandbar_abi::names::MAX_TEXT_BYTES;
use tracing::{debug, error, info, warn};

use super::error::Identity;
use crate::text::cut;

/// Lines a guest may log at once, stdout and stderr included.
const LOG_BURST: u32 = 500;
/// Lines a second a guest may log in the long run.
const LOG_PER_SECOND: u32 = 50;

/// Where a guest's lines go.
#[derive(Clone, Debug)]
pub(super) struct GuestLog {
    identity: Arc<Identity>,
    quota: LogQuota,
}

impl GuestLog {
    pub(super) fn new(identity: Arc<Identity>, quota: LogQuota) -> Self {
        Self { identity, quota }
    }

    /// Passes a line on, if the quota allows. The first line left out says so. What is too long is cut, what is not
    /// UTF-8 is replaced.
    pub(super) fn line(&self, level: i32, line: &[u8], now: Instant) {
        let id = &*self.identity;
        match self.quota.take(now) {
            Taken::Yes { dropped } => {
                if dropped > 0 {
                    warn!(target: "plugin", connector = %id.connector, task = id.task, plugin = %id.plugin, dropped, "log lines were left out");
                }
            }
            Taken::FirstNo => {
                warn!(target: "plugin", connector = %id.connector, task = id.task, plugin = %id.plugin, "logs too much, lines are left out for now");
                return;
            }
            Taken::No => return,
        }
        let text = text(line);
        match level {
            1 => error!(target: "plugin", connector = %id.connector, task = id.task, plugin = %id.plugin, "{text}"),
            2 => warn!(target: "plugin", connector = %id.connector, task = id.task, plugin = %id.plugin, "{text}"),
            3 => info!(target: "plugin", connector = %id.connector, task = id.task, plugin = %id.plugin, "{text}"),
            _ => debug!(target: "plugin", connector = %id.connector, task = id.task, plugin = %id.plugin, "{text}"),
        }
    }
}

/// How many lines a plugin may log in a task. Clones share it: its streams do, and the instances that follow each other,
/// because a plugin that fails as soon as it is started would else begin anew each time.
#[derive(Clone, Debug)]
pub struct LogQuota(Arc<Mutex<Quota>>);

impl LogQuota {
    /// A quota of which nothing is used.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Quota::new(now))))
    }

    /// Asks to log a line.
    pub fn take(&self, now: Instant) -> Taken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

/// Whether a line may be logged.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It may.
    Yes {
        /// How many lines were left out before it.
        dropped: u64,
    },
    /// It is left out, as the first one: which is worth a line of the host's own.
    FirstNo,
    /// It is left out as those before it.
    No,
}

/// Text from a guest: what is too long is cut, what is not UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_BYTES)]) {
        // What stands for a byte that is no text is three.
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
        text => text,
    }
}

/// A bucket of tokens that refills with time.
#[derive(Clone, Debug)]
struct Quota {
    tokens: u32,
    refilled: Instant,
    dropped: u64,
}

impl Quota {
    const fn new(now: Instant) -> Self {
        Self { tokens: LOG_BURST, refilled: now, dropped: 0 }
    }

    fn take(&mut self, now: Instant) -> Taken {
        let passed = now.saturating_duration_since(self.refilled);
        let fresh = u32::try_from(passed.as_millis() * u128::from(LOG_PER_SECOND) / 1000).unwrap_or(LOG_BURST);
        // By the second, or else each line let through would bring two about lines that were not.
        if fresh >= LOG_PER_SECOND {
            self.tokens = (self.tokens.saturating_add(fresh)).min(LOG_BURST);
            self.refilled += Duration::from_millis(u64::from(fresh) * 1000 / u64::from(LOG_PER_SECOND));
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                Taken::Yes { dropped: std::mem::take(&mut self.dropped) }
            }
            None => {
                self.dropped += 1;
                if self.dropped == 1 { Taken::FirstNo } else { Taken::No }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted_and_a_trickle_passes() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        for _ in 0..LOG_BURST {
            assert_eq!(quota.take(start), Taken::Yes { dropped: 0 });
        }
        assert_eq!(quota.take(start), Taken::FirstNo);
        for n in 0..9 {
            assert_eq!(quota.take(start + Duration::from_millis(n * 100)), Taken::No);
        }
        let later = start + Duration::from_secs(1);
        assert_eq!(quota.take(later), Taken::Yes { dropped: 10 });
        for _ in 1..LOG_PER_SECOND {
            assert_eq!(quota.take(later), Taken::Yes { dropped: 0 });
        }
        assert_eq!(quota.take(later), Taken::FirstNo);
    }
}
