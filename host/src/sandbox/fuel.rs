//! What host calls cost: they are charged to the fuel of the call that makes them, so that the budget bounds the work a
//! guest has the host do for it, and not only its own.

use wasmtime::{AsContextMut, Trap};

use super::host_state::HostState;

// The numbers are measured: what a guest computes in the time of a host call (`bench/src/bin/metering.rs`), rounded up.

/// Fuel a host call costs, whatever it does.
pub(super) const PER_CALL: u64 = 500;
/// Fuel for each byte a host call copies or compares.
pub(super) const PER_BYTE: u64 = 1;
/// Fuel for each byte of JSON that a host call parses.
pub(super) const PER_JSON_BYTE: u64 = 80;

/// Takes what host calls are owed out of the fuel that is left. A call that cannot pay has used up its fuel.
///
/// To be called where the guest's counter is up to date: in a host function, or after the call.
pub(super) fn settle(mut store: impl AsContextMut<Data = HostState>) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    let owed = std::mem::take(&mut store.data_mut().owed);
    if owed == 0 || !store.data().metered {
        return Ok(());
    }
    match store.get_fuel()?.checked_sub(owed) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}
