//! The engine all plugins share: which wasm it takes, how it interrupts, where memory comes from.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::{Config, InstanceAllocationStrategy, Linker, OptLevel, PoolingAllocationConfig, WasmFeatures};

use super::host_state::HostState;
use super::imports;
use crate::digest::Digest;

/// How often a running guest is made to let others run, and its deadline looked at.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// Instances that can live at once: three for each of 1,000 connectors, and some that are being replaced.
const MAX_INSTANCES: u32 = 4_000;
/// The most linear memory any connector may be granted. Address space is reserved, not memory.
const MAX_MEMORY: usize = 1 << 30;
/// The stack of a guest; deeper recursion is a trap.
const MAX_WASM_STACK: usize = 512 << 10;
/// The stack of a guest's fibre: the guest's own, and room for host functions below it.
const ASYNC_STACK: usize = 1 << 20;
/// Elements of all tables of an instance: a large Rust program has some thousand indirect functions.
pub(super) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// The engine cannot start on this machine.
#[derive(Debug, Error)]
#[error("the sandbox engine cannot start: {0}")]
pub struct EngineError(String);

/// The engine, and the clock that interrupts guests. Cloning it is cheap.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: wasmtime::Engine,
    pub(super) linker: Arc<Linker<HostState>>,
    /// Tells engines apart that would not take each other's machine code.
    pub(super) id: Digest,
    /// Whether it counts fuel.
    pub(super) metered: bool,
    /// Whether its guests have their thread to themselves.
    pub(super) alone: bool,
    _ticker: Arc<Ticker>,
}

impl Engine {
    /// Starts the engine.
    pub fn new() -> Result<Self, EngineError> {
        Self::with(true, true)
    }

    /// An engine whose guests have their thread to themselves: nothing interrupts them, they never stand back, and their
    /// files are read and written where they ask for it. For simulations, which run on one thread and have to take the same
    /// course each time. A guest that loops ends when its fuel does.
    pub fn for_simulation() -> Result<Self, EngineError> {
        Ok(Self { alone: true, ..Self::with(true, false)? })
    }

    /// An engine that counts fuel or not, and interrupts guests or not: for benchmarks, which measure what these cost, and
    /// for nothing else. Without both a guest that loops never ends.
    pub fn for_measuring(fuel: bool, epochs: bool) -> Result<Self, EngineError> {
        Self::with(fuel, epochs)
    }

    fn with(fuel: bool, epochs: bool) -> Result<Self, EngineError> {
        let fail = |error: wasmtime::Error| EngineError(format!("{error:#}"));
        let inner = wasmtime::Engine::new(config().consume_fuel(fuel).epoch_interruption(epochs)).map_err(fail)?;
        let linker = imports::linker(&inner).map_err(fail)?;
        let ticker = Ticker::start(inner.clone()).map_err(|e| EngineError(format!("clock thread: {e}")))?;
        let mut id = Sha256Hasher(Sha256::new());
        inner.precompile_compatibility_hash().hash(&mut id);
        let id = Digest::of_hasher(id.0);
        Ok(Self { inner, linker: Arc::new(linker), id, metered: fuel, alone: false, _ticker: Arc::new(ticker) })
    }
}

/// Hashes what wasmtime offers to be hashed: its version, the target, and every setting that machine code depends on.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first bytes; nobody asks for them.
    fn finish(&self) -> u64 {
        let hash: [u8; 32] = self.0.clone().finalize().into();
        hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

/// What plugins may use. Everything they do not need is off: what is off cannot be wrong.
fn config() -> Config {
    let mut config = Config::new();
    config.max_wasm_stack(MAX_WASM_STACK);
    config.async_stack_size(ASYNC_STACK);
    config.cranelift_opt_level(OptLevel::Speed);
    for off in [
        WasmFeatures::THREADS,
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        WasmFeatures::MEMORY64,
        WasmFeatures::MULTI_MEMORY,
        WasmFeatures::TAIL_CALL,
        WasmFeatures::EXTENDED_CONST,
        WasmFeatures::FUNCTION_REFERENCES,
        WasmFeatures::GC,
        WasmFeatures::EXCEPTIONS,
        WasmFeatures::RELAXED_SIMD,
        WasmFeatures::CUSTOM_PAGE_SIZES,
        WasmFeatures::WIDE_ARITHMETIC,
        WasmFeatures::STACK_SWITCHING,
    ] {
        config.wasm_features(off, false);
    }
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .total_tables(MAX_INSTANCES)
        .total_stacks(MAX_INSTANCES)
        .max_memory_size(MAX_MEMORY)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_unused_warm_slots(16);
    config.memory_reservation(MAX_MEMORY as u64);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Advances the engine's epoch until it is dropped.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread runs nothing that can panic; a failed join has nothing to tell.
            let _ = thread.join();
        }
    }
}
