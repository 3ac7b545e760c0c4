//! Checked access to a guest's memory: the one place where a guest's pointers and lengths are believed or not.

use wasmtime::{Caller, Extern, Memory};

use super::host_state::HostState;

/// A pointer or length that does not lie in the guest's memory; the guest traps with it.
#[derive(Debug, thiserror::Error)]
#[error("{what} at {ptr:#x} with {len} bytes does not lie in the guest's memory of {size} bytes")]
pub(super) struct OutOfBounds {
    what: &'static str,
    ptr: u32,
    len: u32,
    size: usize,
}

/// The memory of the instance that calls.
pub(super) fn of_caller(caller: &mut Caller<'_, HostState>) -> wasmtime::Result<Memory> {
    match caller.get_export(sandbar_abi::names::MEMORY) {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(wasmtime::Error::msg("the plugin exports no memory")),
    }
}

/// The bytes at a pointer.
pub(super) fn slice<'a>(memory: &'a [u8], what: &'static str, ptr: i32, len: i32) -> Result<&'a [u8], OutOfBounds> {
    let (ptr, len) = (ptr.cast_unsigned(), len.cast_unsigned());
    let end = u64::from(ptr) + u64::from(len);
    usize::try_from(end).ok().and_then(|end| memory.get(ptr as usize..end)).ok_or(OutOfBounds {
        what,
        ptr,
        len,
        size: memory.len(),
    })
}

/// The bytes at a pointer, to write to.
pub(super) fn slice_mut<'a>(
    memory: &'a mut [u8],
    what: &'static str,
    ptr: i32,
    len: i32,
) -> Result<&'a mut [u8], OutOfBounds> {
    let (ptr, len) = (ptr.cast_unsigned(), len.cast_unsigned());
    let size = memory.len();
    let end = u64::from(ptr) + u64::from(len);
    usize::try_from(end).ok().and_then(|end| memory.get_mut(ptr as usize..end)).ok_or(OutOfBounds {
        what,
        ptr,
        len,
        size,
    })
}
