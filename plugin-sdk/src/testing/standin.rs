//! Stands in for the host functions where a plugin runs natively: one host a thread, as tests run one a thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sandbar_abi::names;

use crate::sys::MetricKind;

type Pairs = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Offsets or state, in the three stages they go through.
#[derive(Debug, Default)]
pub(super) struct Store {
    committed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// By calls that succeeded since the last commit.
    staged: Pairs,
    /// By the call in progress.
    overlay: Pairs,
}

impl Store {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        for changed in [&self.overlay, &self.staged] {
            if let Some(value) = changed.get(key) {
                return value.clone();
            }
        }
        self.committed.get(key).cloned()
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> i32 {
        if key.len() > names::MAX_KEY_BYTES || value.is_some_and(|v| v.len() > names::MAX_VALUE_BYTES) {
            return -1;
        }
        self.overlay.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        0
    }

    fn end_call(&mut self, succeeded: bool) {
        let overlay = std::mem::take(&mut self.overlay);
        if succeeded {
            self.staged.extend(overlay);
        }
    }

    fn commit(&mut self) {
        for (key, value) in std::mem::take(&mut self.staged) {
            match value {
                Some(value) => self.committed.insert(key, value),
                None => self.committed.remove(&key),
            };
        }
    }

    fn crash(&mut self) {
        self.staged.clear();
        self.overlay.clear();
    }

    pub(super) fn committed(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.committed.clone()
    }
}

#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) config: serde_json::Value,
    pub(super) offsets: Store,
    pub(super) state: Store,
    pub(super) logs: Vec<(i32, String)>,
    pub(super) metrics: Vec<(i32, String, f64)>,
    pub(super) error: String,
}

impl Host {
    pub(super) fn end_call(&mut self, succeeded: bool) {
        self.offsets.end_call(succeeded);
        self.state.end_call(succeeded);
    }

    pub(super) fn commit(&mut self) {
        self.offsets.commit();
        self.state.commit();
    }

    pub(super) fn crash(&mut self) {
        self.offsets.crash();
        self.state.crash();
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

pub(super) fn with<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with(|host| f(&mut host.borrow_mut()))
}

pub(crate) fn log(level: i32, text: &str) {
    with(|host| host.logs.push((level, text.to_owned())));
}

pub(crate) fn set_error(_class: i32, text: &str) {
    with(|host| text.clone_into(&mut host.error));
}

pub(crate) fn metric(kind: MetricKind, name: &str, value: f64) {
    with(|host| host.metrics.push((kind as i32, name.to_owned(), value)));
}

pub(crate) fn config_get(key: &[u8]) -> Option<Vec<u8>> {
    let key = std::str::from_utf8(key).ok()?;
    with(|host| match host.config.get(key)? {
        serde_json::Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    })
}

pub(crate) fn offset_get(key: &[u8]) -> Option<Vec<u8>> {
    with(|host| host.offsets.get(key))
}

pub(crate) fn offset_put(key: &[u8], value: &[u8]) -> i32 {
    with(|host| host.offsets.put(key, Some(value)))
}

pub(crate) fn state_get(key: &[u8]) -> Option<Vec<u8>> {
    with(|host| host.state.get(key))
}

pub(crate) fn state_put(key: &[u8], value: &[u8]) -> i32 {
    with(|host| host.state.put(key, Some(value)))
}

pub(crate) fn state_delete(key: &[u8]) -> i32 {
    with(|host| host.state.put(key, None))
}

pub(crate) fn http_send(message: &[u8]) -> Option<Vec<u8>> {
    super::http::send(message)
}
