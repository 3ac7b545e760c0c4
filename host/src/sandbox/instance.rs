//! One instance of a plugin: starts it, passes frames in and out, and decides what each ending means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbar_abi::message::{AssignedPartition, Open, Partitions};
use sandbar_abi::status::CloseReason;
use sandbar_abi::{Frame, names};
use wasmtime::{Memory, Store, Trap, TypedFunc, UpdateDeadline};

use super::call::clamp;
use super::compile::Compiled;
use super::engine::MAX_TABLE_ELEMENTS;
use super::error::{CallError, CallErrorKind, Identity};
use super::exports::Exports;
use super::host_state::{HostState, MemoryLimit};
use super::ledger::Ledger;
use super::log::{GuestLog, LogQuota};
use super::reply::{self, PollReply, TransformReply};
use super::turn::Turn;
use super::usage::Meter;
use super::violation::Violation;
use super::wasi::{self, Grants};
use super::{Limits, Outcomes};
use crate::batch::Batch;
use crate::broker::StatePlace;

/// The most bytes one call of WASI may have the host copy: no plugin writes more at once than a frame holds.
const MAX_WASI_BYTES: usize = names::MAX_FRAME_BYTES;

/// What an instance is started with.
#[derive(Clone, Debug)]
pub struct OpenSpec {
    /// Whose instance it is.
    pub identity: Arc<Identity>,
    /// What the guest is told.
    pub open: Open,
    /// Its budget.
    pub limits: Limits,
    /// Its grants.
    pub grants: Grants,
    /// How much it may log; instances that follow each other share it.
    pub log: LogQuota,
    /// Counts what it uses; instances that follow each other share it too.
    pub meter: Arc<Meter>,
}

/// A running plugin.
pub struct Instance {
    pub(super) store: Store<HostState>,
    pub(super) memory: Memory,
    pub(super) exports: Exports,
    pub(super) identity: Arc<Identity>,
    pub(super) limits: Limits,
    pub(super) meter: Arc<Meter>,
    pub(super) turn: Arc<Turn>,
    /// The guest's input buffer, and how much it holds.
    pub(super) input: (u32, usize),
    /// What the last call returned, if it did.
    pub(super) returned: Option<i64>,
    /// A call ended in a way after which its memory means nothing: it is never called again.
    pub(super) is_dead: bool,
    /// Whether nobody else wants its thread.
    pub(super) alone: bool,
}

impl Instance {
    /// Starts an instance and opens it. Where that fails, the ledger comes back with the error.
    pub async fn open(compiled: &Compiled, spec: &OpenSpec, ledger: Ledger) -> Result<Self, (CallError, Ledger)> {
        let start_error = |message: String| CallError {
            identity: Arc::clone(&spec.identity),
            call: "start",
            kind: CallErrorKind::Start(message),
            trace: None,
        };
        let log = GuestLog::new(Arc::clone(&spec.identity), spec.log.clone());
        let wasi = match wasi::context(&spec.grants, &log, compiled.engine.alone) {
            Ok(wasi) => wasi,
            Err(message) => return Err((start_error(message), ledger)),
        };
        let state = HostState {
            wasi,
            kind: spec.open.kind,
            config: spec.open.config.clone(),
            ledger,
            memory: MemoryLimit::new(spec.limits.memory_max_bytes),
            log,
            metrics: std::collections::BTreeMap::new(),
            last_error: None,
            put_offset_refused: false,
            has_put: false,
            read_kept: false,
            deadline: Instant::now() + spec.limits.call_timeout,
            turn: Arc::new(Turn::new(Instant::now())),
            metered: compiled.engine.metered,
            owed: 0,
            host_calls: 0,
            http: spec.grants.http.clone(),
            waited: Duration::ZERO,
            answer: None,
        };
        let mut store = Store::new(&compiled.engine.inner, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(MAX_WASI_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let (state, now) = (store.data(), Instant::now());
            if now >= state.deadline {
                return Ok(UpdateDeadline::Interrupt);
            }
            // WASI's functions cannot take fuel themselves. The guest's counter is not up to date here, but never behind.
            if state.metered && state.owed > store.get_fuel()? {
                return Err(Trap::OutOfFuel.into());
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(state.turn.stand_back(now))))
        });
        let mut instance = match Self::start(compiled, store, spec).await {
            Ok(instance) => instance,
            Err((message, store)) => return Err((start_error(message), store.into_data().ledger)),
        };
        match instance.initialize(&spec.open).await {
            Ok(()) => Ok(instance),
            Err(error) => Err((error, instance.into_ledger())),
        }
    }

    async fn start(
        compiled: &Compiled,
        mut store: Store<HostState>,
        spec: &OpenSpec,
    ) -> Result<Self, (String, Store<HostState>)> {
        // Instantiating runs no guest code: a start function is refused when the module is validated. Laying out data that
        // does not fit takes fuel all the same.
        if store.data().metered
            && let Err(error) = store.set_fuel(spec.limits.fuel_per_call)
        {
            return Err((format!("{error:#}"), store));
        }
        let instance = match compiled.pre.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => return Err((why_not(&store.data().memory, &error), store)),
        };
        let Some(memory) = instance.get_memory(&mut store, names::MEMORY) else {
            return Err((format!("it exports no memory named {:?}", names::MEMORY), store));
        };
        match Exports::find(&instance, &mut store) {
            Ok(exports) => Ok(Self {
                turn: Arc::clone(&store.data().turn),
                store,
                memory,
                exports,
                identity: Arc::clone(&spec.identity),
                limits: spec.limits.clone(),
                meter: Arc::clone(&spec.meter),
                input: (0, 0),
                returned: None,
                is_dead: false,
                alone: compiled.engine.alone,
            }),
            Err(message) => Err((message, store)),
        }
    }

    async fn initialize(&mut self, open: &Open) -> Result<(), CallError> {
        if let Some(initialize) = self.exports.initialize.clone() {
            self.begin(StatePlace::Task)?;
            self.run("_initialize", &initialize, ()).await?;
        }
        let message = serde_json::to_vec(open).map_err(|e| self.error("open", CallErrorKind::Start(e.to_string())))?;
        let function = self.exports.open.clone();
        let args = self.pass("open", &message).await?;
        self.call("open", &function, args, StatePlace::Task).await?;
        self.data().ledger.merge_call();
        Ok(())
    }

    /// Asks a source for records.
    pub async fn poll(&mut self, records: usize, bytes_max: usize, timeout: Duration) -> Result<PollReply, CallError> {
        let function = self.export("poll", self.exports.poll.clone())?;
        let args =
            (clamp(records), clamp(bytes_max), clamp(usize::try_from(timeout.as_millis()).unwrap_or(usize::MAX)));
        let output = self.call("poll", &function, args, StatePlace::Task).await?;
        let reply = match output {
            None => PollReply { output: None, end_of_data: false },
            Some(bytes) => {
                let batch = self.batch("poll", bytes)?;
                reply::check_poll(&batch.frame(), records, bytes_max)
                    .map_err(|broken| self.violation("poll", broken.into()))?;
                let end_of_data = batch.frame().end_of_data();
                PollReply { output: Some(batch).filter(|b| !b.is_empty()), end_of_data }
            }
        };
        self.data().ledger.merge_call();
        Ok(reply)
    }

    /// Passes records of one partition to a sink.
    pub async fn write(&mut self, input: &Batch) -> Result<Outcomes, CallError> {
        let function = self.export("write", self.exports.write.clone())?;
        let args = self.pass("write", input.bytes()).await?;
        let output = self.call("write", &function, args, StatePlace::Task).await?;
        let outcomes = match output {
            None => Outcomes::AllOk,
            Some(bytes) => {
                let frame = Frame::parse(&bytes).map_err(|e| self.violation("write", e.into()))?;
                if !frame.is_empty() {
                    return Err(self.violation("write", Violation::SinkRecords.into()));
                }
                reply::outcomes(&frame, input.len()).map_err(|broken| self.violation("write", broken.into()))?
            }
        };
        self.data().ledger.merge_call();
        Ok(outcomes)
    }

    /// Passes records of one partition to a transform, which sees the state of `place`.
    pub async fn transform(&mut self, input: &Batch, place: StatePlace) -> Result<TransformReply, CallError> {
        let function = self.export("transform", self.exports.transform.clone())?;
        let args = self.pass("transform", input.bytes()).await?;
        let output = self.call("transform", &function, args, place).await?;
        let reply = match output {
            None => TransformReply { output: None, outcomes: Outcomes::AllOk },
            Some(bytes) => {
                let batch = self.batch("transform", bytes)?;
                let frame = batch.frame();
                let outcomes = reply::outcomes(&frame, input.len())
                    .and_then(|o| reply::check_output(&frame, &o, input.len()).map(|()| o))
                    .map_err(|broken| self.violation("transform", broken.into()))?;
                TransformReply { output: Some(batch).filter(|b| !b.is_empty()), outcomes }
            }
        };
        self.data().ledger.merge_call();
        Ok(reply)
    }

    /// Asks a sink to make durable what it was given.
    pub async fn flush(&mut self) -> Result<(), CallError> {
        let function = self.export("flush", self.exports.flush.clone())?;
        self.call("flush", &function, (), StatePlace::Task).await?;
        self.data().ledger.merge_call();
        Ok(())
    }

    /// Tells a source that all batches up to this one are durable.
    pub async fn committed(&mut self, batch: u64) -> Result<(), CallError> {
        let Some(function) = self.exports.committed.clone() else { return Ok(()) };
        self.call("committed", &function, batch, StatePlace::Task).await?;
        self.data().ledger.merge_call();
        Ok(())
    }

    /// Asks whether the other system can be reached.
    pub async fn check(&mut self) -> Result<(), CallError> {
        let Some(function) = self.exports.check.clone() else { return Ok(()) };
        self.call("check", &function, (), StatePlace::Task).await?;
        Ok(())
    }

    /// Asks a source what there is to read, as JSON of its own; `None`: it does not say.
    pub async fn discover(&mut self) -> Result<Option<serde_json::Value>, CallError> {
        let Some(function) = self.exports.discover.clone() else { return Ok(None) };
        let output = self.call("discover", &function, (), StatePlace::Task).await?;
        output.map(|bytes| self.json("discover", &bytes)).transpose()
    }

    /// Asks a source how its work splits; `None`: it does not.
    pub async fn task_configs(&mut self, max: u32) -> Result<Option<Vec<serde_json::Value>>, CallError> {
        let Some(function) = self.exports.task_configs.clone() else { return Ok(None) };
        let output = self.call("task_configs", &function, max, StatePlace::Task).await?;
        output.map(|bytes| self.json("task_configs", &bytes)).transpose()
    }

    /// Tells a sink its partitions; it answers where to start.
    pub async fn assigned(&mut self, partitions: Vec<AssignedPartition>) -> Result<Vec<AssignedPartition>, CallError> {
        let Some(function) = self.exports.assigned.clone() else { return Ok(Vec::new()) };
        let output = self.tell("assigned", &function, partitions).await?;
        let answer: Option<Partitions> = output.map(|bytes| self.json("assigned", &bytes)).transpose()?;
        self.data().ledger.merge_call();
        Ok(answer.unwrap_or_default().partitions)
    }

    /// Tells a sink which partitions it lost.
    pub async fn revoked(&mut self, partitions: Vec<AssignedPartition>) -> Result<(), CallError> {
        let Some(function) = self.exports.revoked.clone() else { return Ok(()) };
        self.tell("revoked", &function, partitions).await?;
        self.data().ledger.merge_call();
        Ok(())
    }

    /// The last call. A broken instance is not called even for this.
    pub async fn close(&mut self, reason: CloseReason) -> Result<(), CallError> {
        if self.is_dead {
            return Ok(());
        }
        self.close_for(reason as i32).await
    }

    /// What earlier calls put.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.store.data_mut().ledger
    }

    /// Throws the instance away and keeps what its calls that succeeded put.
    pub fn into_ledger(self) -> Ledger {
        let mut ledger = self.store.into_data().ledger;
        ledger.drop_call();
        ledger
    }

    /// The plugin's own metrics, by name.
    #[must_use]
    pub fn metrics(&self) -> &std::collections::BTreeMap<String, f64> {
        &self.store.data().metrics
    }

    async fn tell(
        &mut self,
        call: &'static str,
        function: &TypedFunc<(u32, u32), i64>,
        partitions: Vec<AssignedPartition>,
    ) -> Result<Option<Vec<u8>>, CallError> {
        let message = serde_json::to_vec(&Partitions { partitions })
            .map_err(|e| self.error(call, CallErrorKind::Contract(e.to_string())))?;
        let args = self.pass(call, &message).await?;
        self.call(call, function, args, StatePlace::Task).await
    }
}

/// Why there is no instance. What it needs from its start and may not have is told in our words.
fn why_not(memory: &MemoryLimit, error: &wasmtime::Error) -> String {
    match (memory.refused, memory.elements_refused) {
        (Some(wanted), _) => CallErrorKind::OutOfMemory { wanted, limit: memory.max }.to_string(),
        (None, Some(wanted)) => CallErrorKind::OutOfTable { wanted, limit: MAX_TABLE_ELEMENTS }.to_string(),
        (None, None) => format!("{error:#}"),
    }
}
