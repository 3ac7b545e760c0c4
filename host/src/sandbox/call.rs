//! One call into a guest: its budget, its input, its output, and what each ending means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbar_abi::status::Returned;
use sandbar_abi::{ErrorClass, names};
use wasmtime::{Trap, TypedFunc, WasmBacktrace, WasmParams};

use super::engine::{MAX_TABLE_ELEMENTS, TICK};
use super::error::{CallError, CallErrorKind, NO_MESSAGE};
use super::fuel;
use super::host_state::HostState;
use super::instance::Instance;
use super::trace;
use super::turn;
use super::usage::Usage;
use super::violation::Violation;
use crate::batch::Batch;
use crate::broker::StatePlace;
use crate::text::cut;

/// How long past its deadline a call may stay in a host call before it is cut off there. A guest that runs is stopped at
/// the deadline itself, with its stack.
const HOST_CALL_GRACE: Duration = Duration::from_millis(100);
/// The longest answer in JSON, in bytes: read, it takes many times its size in memory.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The longest delay a guest may ask for.
const MAX_THROTTLE: Duration = Duration::from_secs(3600);

impl Instance {
    /// Copies bytes into the guest's input buffer, asking for a larger one first where it is too small.
    pub(super) async fn pass(&mut self, call: &'static str, bytes: &[u8]) -> Result<(u32, u32), CallError> {
        self.alive()?;
        let len = clamp(bytes.len());
        let (mut ptr, capacity) = self.input;
        if bytes.len() > capacity {
            ptr = self.reserve(len).await?;
            if ptr == 0 {
                let kind = CallErrorKind::OutOfMemory { wanted: bytes.len(), limit: self.limits.memory_max_bytes };
                return Err(self.error("reserve", kind));
            }
        }
        let end = (ptr as usize).checked_add(bytes.len());
        let place = end.and_then(|end| self.memory.data_mut(&mut self.store).get_mut(ptr as usize..end));
        match place {
            Some(place) => {
                place.copy_from_slice(bytes);
                Ok((ptr, len))
            }
            None => Err(self.violation(call, Violation::NoBuffer { ptr, len }.into())),
        }
    }

    /// Asks for an input buffer; 0: there is no memory for it. The one before it is given up.
    pub(super) async fn reserve(&mut self, len: u32) -> Result<u32, CallError> {
        self.begin(StatePlace::Task)?;
        self.input = (0, 0);
        let function = self.exports.reserve.clone();
        let ptr = self.run("reserve", &function, len).await?;
        if !(ptr as usize).is_multiple_of(names::ALIGN) {
            return Err(self.violation("reserve", Violation::Misaligned(ptr).into()));
        }
        if ptr != 0 {
            self.input = (ptr, len as usize);
        }
        Ok(ptr)
    }

    /// Makes a call and copies its output out, if it leaves any.
    pub(super) async fn call<P: WasmParams + Sync>(
        &mut self,
        call: &'static str,
        function: &TypedFunc<P, i64>,
        args: P,
        place: StatePlace,
    ) -> Result<Option<Vec<u8>>, CallError> {
        self.begin(place)?;
        let raw = self.run(call, function, args).await?;
        self.returned = Some(raw);
        match Returned::unpack(raw) {
            Returned::Done => Ok(None),
            Returned::Frame { ptr, len } => self.copy_out(call, ptr, len).map(Some),
            Returned::Error(class) => {
                let kind = self.guest_error(class);
                Err(self.violation(call, kind))
            }
            Returned::Unknown(raw) => Err(self.violation(call, Violation::NoClass { call, raw }.into())),
        }
    }

    fn alive(&self) -> Result<(), CallError> {
        if self.is_dead {
            let message = "an earlier call broke the instance, it is not called again".to_owned();
            return Err(self.error("start", CallErrorKind::Start(message)));
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, place: StatePlace) -> Result<(), CallError> {
        self.alive()?;
        self.returned = None;
        let deadline = Instant::now() + self.limits.call_timeout;
        let state = self.store.data_mut();
        state.ledger.begin_call(place);
        state.last_error = None;
        state.memory.begin_call();
        state.answer = None;
        state.put_offset_refused = false;
        state.waited = Duration::ZERO;
        state.deadline = deadline;
        (state.owed, state.host_calls) = (0, 0);
        let metered = state.metered;
        self.store.set_epoch_deadline(1);
        if metered {
            self.store
                .set_fuel(self.limits.fuel_per_call)
                .map_err(|e| self.error("start", CallErrorKind::Start(format!("{e:#}"))))?;
        }
        Ok(())
    }

    /// Runs an export within its budget.
    pub(super) async fn run<P: WasmParams + Sync, R: wasmtime::WasmResults + Sync>(
        &mut self,
        call: &'static str,
        function: &TypedFunc<P, R>,
        args: P,
    ) -> Result<R, CallError> {
        let limit = self.limits.call_timeout + HOST_CALL_GRACE;
        let started = Instant::now();
        let called = tokio::time::timeout(limit, function.call_async(&mut self.store, args));
        let (ran, busy) = self.turn.time(called).await;
        // A call that ends owing more fuel than it has left did not keep to its budget, however it ended.
        let ran = ran.map(|ran| ran.and_then(|result| fuel::settle(&mut self.store).map(|()| result)));
        self.count(started, busy);
        // An answer that the guest had no room for may be megabytes.
        self.data().answer = None;
        if !self.alone {
            turn::pass_on(TICK).await;
        }
        match ran {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                let (kind, trace) = self.trap(&error);
                self.data().ledger.drop_call();
                self.is_dead = true;
                Err(CallError { identity: Arc::clone(&self.identity), call, kind, trace })
            }
            Err(_) => Err(self.violation(call, CallErrorKind::TimedOut(self.limits.call_timeout))),
        }
    }

    /// Adds what a call used to what its stage used.
    fn count(&self, started: Instant, busy: Duration) {
        let state = self.store.data();
        let left = if state.metered { self.store.get_fuel().unwrap_or(0) } else { self.limits.fuel_per_call };
        self.meter.add(&Usage {
            calls: 1,
            fuel: self.limits.fuel_per_call.saturating_sub(left),
            time: started.elapsed(),
            busy,
            host_calls: state.host_calls,
            memory_peak: state.memory.peak as u64,
        });
    }

    /// What a trap means.
    pub(super) fn trap(&mut self, error: &wasmtime::Error) -> (CallErrorKind, Option<String>) {
        let trace = error.downcast_ref::<WasmBacktrace>().map(trace::text);
        if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            return (CallErrorKind::Exit(exit.0), trace);
        }
        let state = self.store.data();
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => CallErrorKind::OutOfFuel(self.limits.fuel_per_call),
            Some(Trap::Interrupt) => CallErrorKind::TimedOut(self.limits.call_timeout),
            _ => match (state.memory.refused, state.memory.elements_refused, &state.last_error) {
                (Some(wanted), _, _) => CallErrorKind::OutOfMemory { wanted, limit: state.memory.max },
                (None, Some(wanted), _) => CallErrorKind::OutOfTable { wanted, limit: MAX_TABLE_ELEMENTS },
                (None, None, Some((_, message))) if !message.is_empty() => CallErrorKind::Trap(message.clone()),
                (None, None, _) => CallErrorKind::Trap(error.root_cause().to_string()),
            },
        };
        (kind, trace)
    }

    /// What an error class means, with the message the guest left.
    pub(super) fn guest_error(&mut self, class: ErrorClass) -> CallErrorKind {
        let said = self.store.data_mut().last_error.take();
        let message = said.map_or_else(|| NO_MESSAGE.to_owned(), |(_, message)| message);
        match class {
            ErrorClass::Retryable => CallErrorKind::Retryable(message),
            ErrorClass::Fatal => CallErrorKind::Fatal(message),
            ErrorClass::Contract => CallErrorKind::Contract(message),
            ErrorClass::Throttled => {
                let (delay, message) = message.split_once('\n').unwrap_or(("", &message));
                let delay = delay.parse().map_or(Duration::from_secs(1), Duration::from_millis);
                CallErrorKind::Throttled { delay: delay.min(MAX_THROTTLE), message: message.to_owned() }
            }
        }
    }

    pub(super) fn copy_out(&mut self, call: &'static str, ptr: u32, len: u32) -> Result<Vec<u8>, CallError> {
        let (at, len) = (ptr as usize, len as usize);
        if len > names::MAX_FRAME_BYTES {
            return Err(self.violation(call, Violation::OutputTooLong(len).into()));
        }
        let memory = self.memory.data(&self.store);
        match at.checked_add(len).and_then(|end| memory.get(at..end)) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => {
                let size = memory.len();
                Err(self.violation(call, Violation::NoOutput { at, len, size }.into()))
            }
        }
    }

    pub(super) fn batch(&mut self, call: &'static str, bytes: Vec<u8>) -> Result<Batch, CallError> {
        Batch::new(bytes).map_err(|error| self.violation(call, error.into()))
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &mut self,
        call: &'static str,
        bytes: &[u8],
    ) -> Result<T, CallError> {
        if bytes.len() > MAX_ANSWER_BYTES {
            let too_long = Violation::AnswerTooLong { len: bytes.len(), max: MAX_ANSWER_BYTES };
            return Err(self.violation(call, too_long.into()));
        }
        // What is wrong may be quoted, and be all of it.
        serde_json::from_slice(bytes)
            .map_err(|e| self.violation(call, Violation::Json(cut(&e.to_string()).to_owned()).into()))
    }

    pub(super) fn export<T>(&self, call: &'static str, function: Option<T>) -> Result<T, CallError> {
        function.ok_or_else(|| self.error(call, CallErrorKind::Start(format!("it does not export sandbar_{call}"))))
    }

    /// An error of a call that leaves nothing.
    pub(super) fn violation(&mut self, call: &'static str, kind: CallErrorKind) -> CallError {
        self.data().ledger.drop_call();
        self.is_dead |= !kind.spares_instance();
        self.error(call, kind)
    }

    pub(super) fn error(&self, call: &'static str, kind: CallErrorKind) -> CallError {
        CallError { identity: Arc::clone(&self.identity), call, kind, trace: None }
    }

    pub(super) fn data(&mut self) -> &mut HostState {
        self.store.data_mut()
    }
}

/// A number as the ABI passes it: 31 bits.
pub(super) fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX).min(i32::MAX.cast_unsigned())
}
