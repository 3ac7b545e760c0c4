//! The host functions a guest may call: module `sandbar_v1`, and WASI preview 1 over whatever was granted.

use std::time::Instant;

use sandbar_abi::manifest::Kind;
use sandbar_abi::names::{IMPORT_MODULE, MAX_KEY_BYTES, MAX_METRIC_NAME_BYTES, MAX_TEXT_BYTES, MAX_VALUE_BYTES};
use sandbar_abi::status::ErrorClass;
use wasmtime::{Caller, Engine, Linker};

use super::host_state::HostState;
use super::ledger::PutRefused;
use super::memory;

/// The answer of a `*_get` for a key that is not there.
const ABSENT: i64 = -1;

/// All host functions, ready to link.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |state: &mut HostState| &mut state.wasi)?;
    linker.func_wrap(IMPORT_MODULE, "log", log)?;
    linker.func_wrap(IMPORT_MODULE, "set_error", set_error)?;
    linker.func_wrap(IMPORT_MODULE, "metric", metric)?;
    linker.func_wrap(IMPORT_MODULE, "config_get", config_get)?;
    linker.func_wrap(IMPORT_MODULE, "offset_get", offset_get)?;
    linker.func_wrap(IMPORT_MODULE, "offset_put", offset_put)?;
    linker.func_wrap(IMPORT_MODULE, "state_get", state_get)?;
    linker.func_wrap(IMPORT_MODULE, "state_put", state_put)?;
    linker.func_wrap(IMPORT_MODULE, "state_delete", state_delete)?;
    Ok(linker)
}

type Guest<'a> = Caller<'a, HostState>;

/// Text from a guest: what is too long is cut, what is not UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_BYTES)]).into_owned()
}

fn log(mut guest: Guest<'_>, level: i32, ptr: i32, len: i32) -> wasmtime::Result<()> {
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let text = text(memory::slice(bytes, "log: line", ptr, len)?);
    state.log.line(level, &text, Instant::now());
    Ok(())
}

fn set_error(mut guest: Guest<'_>, class: i32, ptr: i32, len: i32) -> wasmtime::Result<()> {
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let text = text(memory::slice(bytes, "set_error: message", ptr, len)?);
    state.last_error = Some((ErrorClass::from_code(class.into()), text));
    Ok(())
}

fn metric(mut guest: Guest<'_>, kind: i32, ptr: i32, len: i32, value: f64) -> wasmtime::Result<()> {
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let name = memory::slice(bytes, "metric: name", ptr, len)?;
    if let Ok(name) = std::str::from_utf8(name)
        && name.len() <= MAX_METRIC_NAME_BYTES
    {
        state.metric(kind, name, value);
    }
    Ok(())
}

fn config_get(guest: Guest<'_>, kp: i32, kl: i32, op: i32, cap: i32) -> wasmtime::Result<i64> {
    get(guest, "config_get", [kp, kl, op, cap], |state, key| {
        let value = state.config.get(std::str::from_utf8(key).ok()?)?;
        Some(match value {
            serde_json::Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        })
    })
}

fn offset_get(guest: Guest<'_>, kp: i32, kl: i32, op: i32, cap: i32) -> wasmtime::Result<i64> {
    get(guest, "offset_get", [kp, kl, op, cap], |state, key| {
        let partition = super::ledger::canonical(key)?;
        state.ledger.offset(&partition).map(|offset| offset.as_bytes().to_vec())
    })
}

fn state_get(guest: Guest<'_>, kp: i32, kl: i32, op: i32, cap: i32) -> wasmtime::Result<i64> {
    get(guest, "state_get", [kp, kl, op, cap], |state, key| state.ledger.state(key).map(<[u8]>::to_vec))
}

/// Copies a value out if it fits `cap`, and returns its length either way.
fn get(
    mut guest: Guest<'_>,
    what: &'static str,
    [kp, kl, op, cap]: [i32; 4],
    value: impl FnOnce(&HostState, &[u8]) -> Option<Vec<u8>>,
) -> wasmtime::Result<i64> {
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let key = memory::slice(bytes, what, kp, kl)?;
    if key.len() > MAX_KEY_BYTES {
        return Ok(ABSENT);
    }
    let Some(value) = value(state, key) else { return Ok(ABSENT) };
    if value.len() <= cap.cast_unsigned() as usize {
        let len = i32::try_from(value.len())?;
        memory::slice_mut(bytes, what, op, len)?.copy_from_slice(&value);
    }
    Ok(i64::try_from(value.len())?)
}

fn offset_put(mut guest: Guest<'_>, kp: i32, kl: i32, vp: i32, vl: i32) -> wasmtime::Result<i32> {
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let key = memory::slice(bytes, "offset_put: key", kp, kl)?;
    let value = memory::slice(bytes, "offset_put: value", vp, vl)?;
    if state.kind != Kind::Source {
        state.put_offset_refused = true;
        return Ok(code(Err(PutRefused::NotASource)));
    }
    Ok(code(fits(key, value).and_then(|()| state.ledger.put_offset(key, value))))
}

fn state_put(mut guest: Guest<'_>, kp: i32, kl: i32, vp: i32, vl: i32) -> wasmtime::Result<i32> {
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let key = memory::slice(bytes, "state_put: key", kp, kl)?;
    let value = memory::slice(bytes, "state_put: value", vp, vl)?;
    Ok(code(fits(key, value).and_then(|()| state.ledger.put_state(key, value))))
}

fn state_delete(mut guest: Guest<'_>, kp: i32, kl: i32) -> wasmtime::Result<i32> {
    let (bytes, state) = memory::of_caller(&mut guest)?.data_and_store_mut(&mut guest);
    let key = memory::slice(bytes, "state_delete: key", kp, kl)?;
    Ok(code(fits(key, &[]).map(|()| state.ledger.delete_state(key))))
}

fn fits(key: &[u8], value: &[u8]) -> Result<(), PutRefused> {
    if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES { Err(PutRefused::BadArgument) } else { Ok(()) }
}

fn code(put: Result<(), PutRefused>) -> i32 {
    match put {
        Ok(()) => 0,
        Err(refused) => refused as i32,
    }
}
