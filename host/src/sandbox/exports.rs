//! The exports of an instance, typed. Which ones there must be was checked before it was started.

use sandbar_abi::names;
use wasmtime::{Instance, Store, TypedFunc, WasmParams, WasmResults};

use super::host_state::HostState;

/// The exports; `None` where the plugin leaves an optional one out.
pub(super) struct Exports {
    pub(super) initialize: Option<TypedFunc<(), ()>>,
    pub(super) reserve: TypedFunc<u32, u32>,
    pub(super) open: TypedFunc<(u32, u32), i64>,
    pub(super) poll: Option<TypedFunc<(u32, u32, u32), i64>>,
    pub(super) write: Option<TypedFunc<(u32, u32), i64>>,
    pub(super) transform: Option<TypedFunc<(u32, u32), i64>>,
    pub(super) flush: Option<TypedFunc<(), i64>>,
    pub(super) committed: Option<TypedFunc<u64, i64>>,
    pub(super) close: TypedFunc<i32, i64>,
    pub(super) check: Option<TypedFunc<(), i64>>,
    pub(super) discover: Option<TypedFunc<(), i64>>,
    pub(super) task_configs: Option<TypedFunc<u32, i64>>,
    pub(super) assigned: Option<TypedFunc<(u32, u32), i64>>,
    pub(super) revoked: Option<TypedFunc<(u32, u32), i64>>,
}

impl Exports {
    pub(super) fn find(instance: &Instance, store: &mut Store<HostState>) -> Result<Self, String> {
        Ok(Self {
            initialize: optional(instance, store, names::INITIALIZE)?,
            reserve: required(instance, store, names::RESERVE)?,
            open: required(instance, store, names::OPEN)?,
            poll: optional(instance, store, names::POLL)?,
            write: optional(instance, store, names::WRITE)?,
            transform: optional(instance, store, names::TRANSFORM)?,
            flush: optional(instance, store, names::FLUSH)?,
            committed: optional(instance, store, names::COMMITTED)?,
            close: required(instance, store, names::CLOSE)?,
            check: optional(instance, store, names::CHECK)?,
            discover: optional(instance, store, names::DISCOVER)?,
            task_configs: optional(instance, store, names::TASK_CONFIGS)?,
            assigned: optional(instance, store, names::ASSIGNED)?,
            revoked: optional(instance, store, names::REVOKED)?,
        })
    }
}

fn optional<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<HostState>,
    name: &str,
) -> Result<Option<TypedFunc<P, R>>, String> {
    let Some(function) = instance.get_func(&mut *store, name) else { return Ok(None) };
    function.typed(&*store).map(Some).map_err(|e| format!("export {name}: {e:#}"))
}

fn required<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<HostState>,
    name: &str,
) -> Result<TypedFunc<P, R>, String> {
    optional(instance, store, name)?.ok_or_else(|| format!("it does not export {name}"))
}
