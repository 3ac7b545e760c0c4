//! What the host keeps for one instance while it runs: its grants, its ledger, its budgets, its last words.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sandbar_abi::ErrorClass;
use sandbar_abi::manifest::Kind;
use tracing::{debug, error, info, warn};
use wasmtime::ResourceLimiter;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::error::Identity;
use super::ledger::Ledger;

/// Lines a guest may log at once, stdout and stderr included.
const LOG_BURST: u32 = 500;
/// Lines a second a guest may log in the long run.
const LOG_PER_SECOND: u32 = 50;
/// Different metrics a plugin may have.
const MAX_METRICS: usize = 200;

/// The data of a store.
pub(super) struct HostState {
    pub(super) wasi: WasiP1Ctx,
    pub(super) kind: Kind,
    pub(super) config: serde_json::Value,
    pub(super) ledger: Ledger,
    pub(super) memory: MemoryLimit,
    pub(super) log: GuestLog,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) last_error: Option<(Option<ErrorClass>, String)>,
    /// The call in progress tried to put a source offset, and it is no source.
    pub(super) put_offset_refused: bool,
    pub(super) deadline: Instant,
}

impl HostState {
    /// Adds to, or replaces, a metric. What is past the bound is left out.
    pub(super) fn metric(&mut self, kind: i32, name: &str, value: f64) {
        const COUNTER: i32 = 0;
        if !self.metrics.contains_key(name) && self.metrics.len() >= MAX_METRICS {
            return;
        }
        let slot = self.metrics.entry(name.to_owned()).or_insert(0.0);
        *slot = if kind == COUNTER { *slot + value } else { value };
    }
}

/// How much linear memory and how many table elements an instance may have, and whether it asked for more.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    pub(super) max: usize,
    pub(super) refused: Option<usize>,
    pub(super) peak: usize,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _now: usize, wanted: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        if wanted > self.max {
            self.refused = Some(wanted);
            return Ok(false);
        }
        self.peak = self.peak.max(wanted);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused.get_or_insert(self.max);
        Ok(())
    }

    fn table_growing(&mut self, _now: usize, _wanted: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables; growing one within that bound costs the host nothing new.
        Ok(true)
    }
}

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

    /// Passes a line on, if the quota allows. The first line left out says so.
    pub(super) fn line(&self, level: i32, text: &str, now: Instant) {
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

    fn take(&self, now: Instant) -> Taken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

/// A bucket of tokens that refills with time.
#[derive(Clone, Debug)]
struct Quota {
    tokens: u32,
    refilled: Instant,
    dropped: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Yes { dropped: u64 },
    FirstNo,
    No,
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
