//! The host functions, raw: imports where there is a host, a stand-in where the plugin runs natively.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum MetricKind {
    /// Added to a running total.
    Counter = 0,
    /// Replaces the last value.
    Gauge = 1,
    /// One observation of a distribution.
    Histogram = 2,
}

#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::*;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::standin::*;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::MetricKind;

    mod raw {
        #[link(wasm_import_module = "sandbar_v1")]
        unsafe extern "C" {
            pub fn log(level: i32, ptr: *const u8, len: usize);
            pub fn set_error(class: i32, ptr: *const u8, len: usize);
            pub fn metric(kind: i32, ptr: *const u8, len: usize, value: f64);
            pub fn config_get(kp: *const u8, kl: usize, op: *mut u8, cap: usize) -> i64;
            pub fn offset_get(kp: *const u8, kl: usize, op: *mut u8, cap: usize) -> i64;
            pub fn offset_put(kp: *const u8, kl: usize, vp: *const u8, vl: usize) -> i32;
            pub fn state_get(kp: *const u8, kl: usize, op: *mut u8, cap: usize) -> i64;
            pub fn state_put(kp: *const u8, kl: usize, vp: *const u8, vl: usize) -> i32;
            pub fn state_delete(kp: *const u8, kl: usize) -> i32;
            pub fn http_send(rp: *const u8, rl: usize, op: *mut u8, cap: usize) -> i64;
        }
    }

    // Every call below passes pointers and lengths of live slices, which the host reads or writes within their bounds
    // before it returns; that is all the safety there is to show.

    pub(crate) fn log(level: i32, text: &str) {
        unsafe { raw::log(level, text.as_ptr(), text.len()) }
    }

    pub(crate) fn set_error(class: i32, text: &str) {
        unsafe { raw::set_error(class, text.as_ptr(), text.len()) }
    }

    pub(crate) fn metric(kind: MetricKind, name: &str, value: f64) {
        unsafe { raw::metric(kind as i32, name.as_ptr(), name.len(), value) }
    }

    type Get = unsafe extern "C" fn(*const u8, usize, *mut u8, usize) -> i64;

    /// Asks once with a buffer that fits most values, and again with one that fits this value.
    fn get(function: Get, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = vec![0; 256];
        loop {
            let len = unsafe { function(key.as_ptr(), key.len(), value.as_mut_ptr(), value.len()) };
            let len = usize::try_from(len).ok()?;
            let fits = len <= value.len();
            value.resize(len, 0);
            if fits {
                return Some(value);
            }
        }
    }

    pub(crate) fn config_get(key: &[u8]) -> Option<Vec<u8>> {
        get(raw::config_get, key)
    }

    pub(crate) fn offset_get(key: &[u8]) -> Option<Vec<u8>> {
        get(raw::offset_get, key)
    }

    pub(crate) fn offset_put(key: &[u8], value: &[u8]) -> i32 {
        unsafe { raw::offset_put(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
    }

    pub(crate) fn state_get(key: &[u8]) -> Option<Vec<u8>> {
        get(raw::state_get, key)
    }

    pub(crate) fn state_put(key: &[u8], value: &[u8]) -> i32 {
        unsafe { raw::state_put(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
    }

    pub(crate) fn state_delete(key: &[u8]) -> i32 {
        unsafe { raw::state_delete(key.as_ptr(), key.len()) }
    }

    /// Room for most answers: a longer one costs a second call.
    const FIRST_ANSWER_BYTES: usize = 64 << 10;

    /// Sends a request. The host keeps an answer that does not fit at first, until it is fetched with enough room.
    pub(crate) fn http_send(message: &[u8]) -> Option<Vec<u8>> {
        let mut answer = vec![0; FIRST_ANSWER_BYTES];
        let sent = unsafe { raw::http_send(message.as_ptr(), message.len(), answer.as_mut_ptr(), answer.len()) };
        let len = usize::try_from(sent).ok()?;
        let fitted = len <= answer.len();
        answer.resize(len, 0);
        if fitted {
            return Some(answer);
        }
        let fetched = unsafe { raw::http_send(std::ptr::null(), 0, answer.as_mut_ptr(), answer.len()) };
        (fetched == sent).then_some(answer)
    }
}
