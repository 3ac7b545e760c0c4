//! The host functions a guest may call: module `sandbar_v1`, and WASI preview 1 over whatever was granted.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use sandbar_abi::http::{self, Answer, Failure, FailureKind};
use sandbar_abi::manifest::Kind;
use sandbar_abi::names::{
    HTTP_SEND, IMPORT_MODULE, MAX_HTTP_REQUEST_BYTES, MAX_KEY_BYTES, MAX_METRIC_NAME_BYTES, MAX_TEXT_BYTES,
    MAX_VALUE_BYTES,
};
use sandbar_abi::status::ErrorClass;
use wasmtime::{Caller, Engine, Linker};

use super::fuel::{self, PER_BYTE, PER_JSON_BYTE};
use super::host_state::HostState;
use super::ledger::PutRefused;
use super::{log as guest_log, memory};

/// The answer of a `*_get` for a key that is not there.
const ABSENT: i64 = -1;
/// What a call keeps of its time when a request takes all it can get.
const ANSWER_RESERVE: Duration = Duration::from_millis(100);

/// All host functions, ready to link.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |state: &mut HostState| &mut state.host_call().wasi)?;
    linker.func_wrap(IMPORT_MODULE, "log", log)?;
    linker.func_wrap(IMPORT_MODULE, "set_error", set_error)?;
    linker.func_wrap(IMPORT_MODULE, "metric", metric)?;
    linker.func_wrap(IMPORT_MODULE, "config_get", config_get)?;
    linker.func_wrap(IMPORT_MODULE, "offset_get", offset_get)?;
    linker.func_wrap(IMPORT_MODULE, "offset_put", offset_put)?;
    linker.func_wrap(IMPORT_MODULE, "state_get", state_get)?;
    linker.func_wrap(IMPORT_MODULE, "state_put", state_put)?;
    linker.func_wrap(IMPORT_MODULE, "state_delete", state_delete)?;
    linker.func_wrap_async(IMPORT_MODULE, HTTP_SEND, |guest, args: (i32, i32, i32, i32)| {
        Box::new(http_send(guest, args))
    })?;
    Ok(linker)
}

type Guest<'a> = Caller<'a, HostState>;

/// Begins a host function: the guest's memory, and what the host keeps for it.
fn enter<'g>(guest: &'g mut Guest<'_>) -> wasmtime::Result<(&'g mut [u8], &'g mut HostState)> {
    guest.data_mut().host_call();
    Ok(memory::of_caller(guest)?.data_and_store_mut(guest))
}

/// Ends a host function that worked on so many bytes.
fn pay<T>(guest: Guest<'_>, bytes: usize, per_byte: u64, answer: T) -> wasmtime::Result<T> {
    let mut guest = guest;
    guest.data_mut().owe(bytes, per_byte);
    fuel::settle(guest)?;
    Ok(answer)
}

fn log(mut guest: Guest<'_>, level: i32, ptr: i32, len: i32) -> wasmtime::Result<()> {
    let (bytes, state) = enter(&mut guest)?;
    let line = memory::slice(bytes, "log: line", ptr, len)?;
    state.log.line(level, line, Instant::now());
    let size = line.len().min(MAX_TEXT_BYTES);
    pay(guest, size, PER_BYTE, ())
}

fn set_error(mut guest: Guest<'_>, class: i32, ptr: i32, len: i32) -> wasmtime::Result<()> {
    let (bytes, state) = enter(&mut guest)?;
    let text = guest_log::text(memory::slice(bytes, "set_error: message", ptr, len)?);
    let size = text.len();
    state.last_error = Some((ErrorClass::from_code(class.into()), text.into_owned()));
    pay(guest, size, PER_BYTE, ())
}

fn metric(mut guest: Guest<'_>, kind: i32, ptr: i32, len: i32, value: f64) -> wasmtime::Result<()> {
    let (bytes, state) = enter(&mut guest)?;
    let name = memory::slice(bytes, "metric: name", ptr, len)?;
    let size = name.len().min(MAX_METRIC_NAME_BYTES);
    if size == name.len()
        && let Ok(name) = std::str::from_utf8(name)
    {
        state.metric(kind, name, value);
    }
    pay(guest, size, PER_BYTE, ())
}

fn config_get(guest: Guest<'_>, kp: i32, kl: i32, op: i32, cap: i32) -> wasmtime::Result<i64> {
    get(guest, "config_get", [kp, kl, op, cap], PER_BYTE, |state, key| {
        let value = state.config.get(std::str::from_utf8(key).ok()?)?;
        Some(match value {
            serde_json::Value::String(text) => Cow::Borrowed(text.as_bytes()),
            other => Cow::Owned(other.to_string().into_bytes()),
        })
    })
}

fn offset_get(guest: Guest<'_>, kp: i32, kl: i32, op: i32, cap: i32) -> wasmtime::Result<i64> {
    get(guest, "offset_get", [kp, kl, op, cap], PER_JSON_BYTE, |state, key| {
        let partition = super::ledger::canonical(key)?;
        let offset = state.ledger.offset(&partition)?;
        state.read_kept |= !state.has_put;
        Some(Cow::Borrowed(offset.as_bytes()))
    })
}

fn state_get(guest: Guest<'_>, kp: i32, kl: i32, op: i32, cap: i32) -> wasmtime::Result<i64> {
    get(guest, "state_get", [kp, kl, op, cap], PER_BYTE, |state, key| {
        let value = state.ledger.state(key)?;
        state.read_kept |= !state.has_put;
        Some(Cow::Borrowed(value))
    })
}

/// Copies a value out if it fits `cap`, and returns its length either way.
fn get(
    mut guest: Guest<'_>,
    what: &'static str,
    [kp, kl, op, cap]: [i32; 4],
    per_key_byte: u64,
    value: impl for<'s> FnOnce(&'s mut HostState, &[u8]) -> Option<Cow<'s, [u8]>>,
) -> wasmtime::Result<i64> {
    let (bytes, state) = enter(&mut guest)?;
    let key = memory::slice(bytes, what, kp, kl)?;
    if key.len() > MAX_KEY_BYTES {
        return pay(guest, 0, PER_BYTE, ABSENT);
    }
    let key_len = key.len();
    let value = value(state, key);
    let (answer, size) = match &value {
        None => (ABSENT, 0),
        Some(value) => {
            if value.len() <= cap.cast_unsigned() as usize {
                let len = i32::try_from(value.len())?;
                memory::slice_mut(bytes, what, op, len)?.copy_from_slice(value);
            }
            (i64::try_from(value.len())?, value.len())
        }
    };
    guest.data_mut().owe(key_len, per_key_byte);
    pay(guest, size, PER_BYTE, answer)
}

fn offset_put(mut guest: Guest<'_>, kp: i32, kl: i32, vp: i32, vl: i32) -> wasmtime::Result<i32> {
    let (bytes, state) = enter(&mut guest)?;
    let key = memory::slice(bytes, "offset_put: key", kp, kl)?;
    let value = memory::slice(bytes, "offset_put: value", vp, vl)?;
    state.has_put = true;
    let (fits, size) = fits(key, value);
    let put = match state.kind {
        Kind::Source => fits.and_then(|()| state.ledger.put_offset(key, value)),
        _ => {
            state.put_offset_refused = true;
            Err(PutRefused::NotASource)
        }
    };
    pay(guest, size, PER_JSON_BYTE, code(put))
}

fn state_put(mut guest: Guest<'_>, kp: i32, kl: i32, vp: i32, vl: i32) -> wasmtime::Result<i32> {
    let (bytes, state) = enter(&mut guest)?;
    let key = memory::slice(bytes, "state_put: key", kp, kl)?;
    let value = memory::slice(bytes, "state_put: value", vp, vl)?;
    state.has_put = true;
    let (fits, size) = fits(key, value);
    let put = fits.and_then(|()| state.ledger.put_state(key, value));
    pay(guest, size, PER_BYTE, code(put))
}

fn state_delete(mut guest: Guest<'_>, kp: i32, kl: i32) -> wasmtime::Result<i32> {
    let (bytes, state) = enter(&mut guest)?;
    let key = memory::slice(bytes, "state_delete: key", kp, kl)?;
    let (fits, size) = fits(key, &[]);
    let deleted = fits.map(|()| state.ledger.delete_state(key));
    pay(guest, size, PER_BYTE, code(deleted))
}

/// Whether key and value are as long as they may be, and how many bytes there are to work on.
fn fits(key: &[u8], value: &[u8]) -> (Result<(), PutRefused>, usize) {
    if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
        (Err(PutRefused::BadArgument), 0)
    } else {
        (Ok(()), key.len() + value.len())
    }
}

/// Sends a request and passes its answer, or passes the answer that there was no room for before.
async fn http_send(mut guest: Guest<'_>, (rp, rl, op, cap): (i32, i32, i32, i32)) -> wasmtime::Result<i64> {
    let (bytes, state) = enter(&mut guest)?;
    let request = memory::slice(bytes, "http_send: request", rp, rl)?;
    let sent = request.len().min(MAX_HTTP_REQUEST_BYTES);
    let kept = state.answer.take();
    let answer = if request.is_empty() {
        let Some(kept) = kept else { return pay(guest, 0, PER_BYTE, ABSENT) };
        kept
    } else {
        // The guest's memory may not be borrowed while others run.
        let request = request.get(..MAX_HTTP_REQUEST_BYTES + 1).unwrap_or(request).to_vec();
        drop(kept);
        match state.http.clone() {
            Some(client) => {
                let asked = Instant::now();
                let answer = client.answer(&request, left(state.deadline, asked)).await;
                guest.data_mut().waited += asked.elapsed();
                answer
            }
            None => refused()?,
        }
    };
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let len = answer.len();
    if len <= cap.cast_unsigned() as usize {
        memory::slice_mut(bytes, "http_send: answer", op, i32::try_from(len)?)?.copy_from_slice(&answer);
    } else {
        state.answer = Some(answer);
    }
    pay(guest, sent + len, PER_BYTE, i64::try_from(len)?)
}

/// How long a request may take in a call that ends then: a little less, so that the guest can still say what became of it.
fn left(deadline: Instant, now: Instant) -> Duration {
    let left = deadline.saturating_duration_since(now);
    left - ANSWER_RESERVE.min(left / 2)
}

fn refused() -> Result<Vec<u8>, http::HttpMessageError> {
    let message = "no host is granted".to_owned();
    http::encode(&Answer::Error(Failure { kind: FailureKind::Denied, message }), &[])
}

fn code(put: Result<(), PutRefused>) -> i32 {
    match put {
        Ok(()) => 0,
        Err(refused) => refused as i32,
    }
}
