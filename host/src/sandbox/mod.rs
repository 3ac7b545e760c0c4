//! Runs one plugin instance apart from everything else: the only module that names wasmtime.
//!
//! One [`Instance`] is one store: its memory, its budget of fuel and time, its grants. Nothing outside knows that a plugin
//! is a core WebAssembly module. An instance that trapped, ran out of a budget or broke the ABI is never called again;
//! what its earlier calls put is in the [`Ledger`], which outlives it.

mod cache;
mod call;
mod compile;
mod engine;
mod error;
mod exports;
mod fuel;
mod host_state;
mod imports;
mod instance;
mod ledger;
mod log;
mod memory;
mod probe;
mod reply;
mod stdio;
mod trace;
mod turn;
mod usage;
mod violation;
mod wasi;

pub use cache::{Cache, CacheError, CacheFault};
pub use compile::{CompileError, Compiled, Origin};
pub use engine::{Engine, EngineError};
pub use error::{CallError, CallErrorKind, Identity, NO_MESSAGE};
pub use instance::{Instance, OpenSpec};
pub use ledger::{ENTRY_BYTES, Ledger, Staged};
pub use log::{LogQuota, Taken};
pub use probe::LastCall;
pub use reply::{Outcome, Outcomes, PollReply, TransformReply};
pub use turn::taking_turns;
pub use usage::{Meter, Usage};
pub use violation::Violation;
pub use wasi::Grants;

use std::time::Duration;

/// The budget of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel per call; about one unit an instruction.
    pub fuel_per_call: u64,
    /// Wall-clock time per call, host calls included.
    pub call_timeout: Duration,
    /// Linear memory, in bytes.
    pub memory_max_bytes: usize,
    /// Bytes of state and source offsets the ledger may hold; each entry counts its key, its value, and 128 bytes.
    pub state_max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_per_call: 10_000_000_000,
            call_timeout: Duration::from_secs(10),
            memory_max_bytes: 256 << 20,
            state_max_bytes: 64 << 20,
        }
    }
}
