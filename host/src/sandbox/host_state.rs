//! What the host keeps for one instance while it runs: its grants, its ledger, its budgets, its last words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbar_abi::ErrorClass;
use sandbar_abi::manifest::Kind;
use wasmtime::ResourceLimiter;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::engine::MAX_TABLE_ELEMENTS;
use super::fuel;
use super::ledger::Ledger;
use super::log::GuestLog;
use super::turn::Turn;
use crate::http;

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
    /// It has put an offset or state.
    pub(super) has_put: bool,
    /// A get found an offset or state before anything was put: one of an instance before it.
    pub(super) read_kept: bool,
    pub(super) deadline: Instant,
    pub(super) turn: Arc<Turn>,
    /// Whether the engine counts fuel; only a benchmark has one that does not.
    pub(super) metered: bool,
    /// Fuel that host calls cost and that was not taken yet.
    pub(super) owed: u64,
    /// Calls of host functions in the call in progress.
    pub(super) host_calls: u64,
    pub(super) http: Option<Arc<http::Client>>,
    /// How long the call in progress has waited for answers to its requests.
    pub(super) waited: Duration,
    /// The answer to a request, until the guest has room for it or the call ends.
    pub(super) answer: Option<Vec<u8>>,
}

impl HostState {
    /// Counts a call of a host function.
    pub(super) fn host_call(&mut self) -> &mut Self {
        self.host_calls += 1;
        self.owed = self.owed.saturating_add(fuel::PER_CALL);
        self
    }

    /// Charges for the bytes a host function works on.
    pub(super) fn owe(&mut self, bytes: usize, per_byte: u64) {
        self.owed = self.owed.saturating_add((bytes as u64).saturating_mul(per_byte));
    }

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
    /// Elements of all tables together.
    elements: usize,
    /// How many of them the growth in progress adds.
    growth: usize,
    pub(super) elements_refused: Option<usize>,
}

impl MemoryLimit {
    pub(super) fn new(max: usize) -> Self {
        Self { max, refused: None, peak: 0, elements: 0, growth: 0, elements_refused: None }
    }

    /// Forgets what was refused: a guest that lives with it is not to be blamed for it later.
    pub(super) fn begin_call(&mut self) {
        self.refused = None;
        self.elements_refused = None;
    }
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

    fn table_growing(&mut self, now: usize, wanted: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let growth = wanted.saturating_sub(now);
        let all = self.elements.saturating_add(growth);
        if all > MAX_TABLE_ELEMENTS {
            self.elements_refused = Some(all);
            return Ok(false);
        }
        (self.elements, self.growth) = (all, growth);
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // A growth that this limit refused has changed nothing, and is told as a failure all the same.
        if self.elements_refused.is_none() {
            self.elements -= std::mem::take(&mut self.growth);
        }
        Ok(())
    }
}
