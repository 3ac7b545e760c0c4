//! What the conformance kit sees of an instance besides the answers to its calls. Tasks need none of it.
//!
//! The kit calls a plugin by the same functions as tasks do. This is for what those keep to themselves: the number that
//! was returned, the fuel that was burnt, the time that requests took, and the input buffer.

use std::time::Duration;

use super::error::CallError;
use super::instance::Instance;
use crate::broker::StatePlace;

/// What can be seen of the last call.
#[derive(Clone, Copy, Debug)]
pub struct LastCall {
    /// The number it returned; nothing where it did not return, or returned another type.
    pub returned: Option<i64>,
    /// The fuel it used.
    pub fuel: u64,
    /// Whether it tried to put a source offset without being a source.
    pub put_offset: bool,
    /// How long it waited for answers to its requests.
    pub waited: Duration,
}

impl Instance {
    /// The last call.
    #[must_use]
    pub fn last_call(&self) -> LastCall {
        let left = self.store.get_fuel().unwrap_or(0);
        LastCall {
            returned: self.returned,
            fuel: self.limits.fuel_per_call.saturating_sub(left),
            put_offset: self.store.data().put_offset_refused,
            waited: self.store.data().waited,
        }
    }

    /// Whether it has read an offset or state that an instance before it left. What it found after it had put something may
    /// be its own, and does not count.
    #[must_use]
    pub fn has_read_kept(&self) -> bool {
        self.store.data().read_kept
    }

    /// Asks for an input buffer of this many bytes, whatever there is already, and returns where it is; 0: there is no
    /// memory for it.
    pub async fn reserve_input(&mut self, len: u32) -> Result<u32, CallError> {
        self.reserve(len).await
    }

    /// Fills the input buffer, if there is one, as any input may: a guest keeps nothing there.
    pub fn fill_input(&mut self, byte: u8) {
        let (ptr, len) = self.input;
        let end = (ptr as usize).checked_add(len);
        let place = end.and_then(|end| self.memory.data_mut(&mut self.store).get_mut(ptr as usize..end));
        if let Some(place) = place {
            place.fill(byte);
        }
    }

    /// Closes it for a reason of any number, one of a later minor among them.
    pub async fn close_for(&mut self, reason: i32) -> Result<(), CallError> {
        let function = self.exports.close.clone();
        self.call("close", &function, reason, StatePlace::Task).await.map(drop)
    }

    /// How much linear memory it has, in bytes. It never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory.data_size(&self.store)
    }
}
