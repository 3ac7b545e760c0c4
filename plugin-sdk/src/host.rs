//! What a plugin may ask of its host: offsets, state, log lines, metrics, raw configuration.

pub use sandbar_abi::names::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

use crate::{Error, Result};

/// Where a source stands in the system it reads. Committed together with the records of the call that put it.
pub mod offsets {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::{Result, put_result};
    use crate::sys;

    /// The offset of a source partition: of the last commit, or put since.
    ///
    /// Partition and offset are JSON objects, as Kafka Connect keeps them: `{"file": "a.log"}`, `{"position": 42}`.
    pub fn get<O: DeserializeOwned>(partition: &impl Serialize) -> Result<Option<O>> {
        let key = canonical(partition)?;
        match sys::offset_get(&key) {
            Some(value) => Ok(Some(serde_json::from_slice(&value)?)),
            None => Ok(None),
        }
    }

    /// Puts the offset of a source partition. It counts once the call has succeeded.
    pub fn put(partition: &impl Serialize, offset: &impl Serialize) -> Result<()> {
        let (partition, offset) = (canonical(partition)?, canonical(offset)?);
        put_result("offset_put", partition.len(), offset.len(), sys::offset_put(&partition, &offset))
    }

    /// How many bytes a source partition takes as a key; more than [`super::MAX_KEY_BYTES`] cannot be put.
    pub fn partition_bytes(partition: &impl Serialize) -> Result<usize> {
        Ok(canonical(partition)?.len())
    }

    /// JSON with sorted keys: look-ups go by bytes.
    fn canonical(value: &impl Serialize) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
    }
}

/// Durable keys and values. A transform's belong to the input partition of the call, others' to the task.
pub mod state {
    use super::{Result, put_result};
    use crate::sys;

    /// The value of a key: of the last commit, or put since.
    #[must_use]
    pub fn get(key: &[u8]) -> Option<Vec<u8>> {
        sys::state_get(key)
    }

    /// Puts a value. It counts once the call has succeeded.
    pub fn put(key: &[u8], value: &[u8]) -> Result<()> {
        put_result("state_put", key.len(), value.len(), sys::state_put(key, value))
    }

    /// Deletes a key. It counts once the call has succeeded.
    pub fn delete(key: &[u8]) -> Result<()> {
        put_result("state_delete", key.len(), 0, sys::state_delete(key))
    }
}

/// Lines in the connector's log. Short, lower case, no secret.
pub mod log {
    use crate::sys;

    /// Something broke.
    pub fn error(text: impl AsRef<str>) {
        sys::log(1, text.as_ref());
    }

    /// Something is odd.
    pub fn warn(text: impl AsRef<str>) {
        sys::log(2, text.as_ref());
    }

    /// Something worth knowing happened.
    pub fn info(text: impl AsRef<str>) {
        sys::log(3, text.as_ref());
    }

    /// For whoever looks for a fault.
    pub fn debug(text: impl AsRef<str>) {
        sys::log(4, text.as_ref());
    }
}

/// Numbers about the plugin's work. Names are `snake_case` with their unit.
pub mod metric {
    use crate::sys::{self, MetricKind};

    /// Adds to a running total.
    pub fn counter(name: &str, add: f64) {
        sys::metric(MetricKind::Counter, name, add);
    }

    /// Sets the present value.
    pub fn gauge(name: &str, value: f64) {
        sys::metric(MetricKind::Gauge, name, value);
    }

    /// Notes one observation of a distribution.
    pub fn histogram(name: &str, value: f64) {
        sys::metric(MetricKind::Histogram, name, value);
    }
}

/// The value of one configuration key as text: strings as they are, anything else as JSON.
#[must_use]
pub fn config(key: &str) -> Option<String> {
    String::from_utf8(crate::sys::config_get(key.as_bytes())?).ok()
}

/// What a put returns when key or value are longer than they may be.
const BAD_ARGUMENT: i32 = -1;
/// What a put returns when the state would outgrow its bound: no fault of either side.
const FULL: i32 = -2;

fn put_result(call: &str, key: usize, value: usize, code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        FULL => Err(Error::fatal(format!("{call}: the state is full; sandbox.state.max.bytes bounds it"))),
        BAD_ARGUMENT => Err(Error::contract(format!(
            "{call} was refused by the host: the key has {key} bytes of at most {MAX_KEY_BYTES}, the value {value} of \
             at most {MAX_VALUE_BYTES}"
        ))),
        code => Err(Error::contract(format!("{call} was refused by the host with code {code}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_put_that_is_too_long_says_how_long_it_may_be() {
        let long = "x".repeat(MAX_KEY_BYTES);
        let partition = json!({ "url": long });
        assert_eq!(offsets::partition_bytes(&partition).unwrap(), MAX_KEY_BYTES + r#"{"url":""}"#.len());
        let error = offsets::put(&partition, &json!({})).unwrap_err();
        assert!(error.message().contains("the key has 1034 bytes of at most 1024, the value 2"), "{error}");
        let error = state::put(long.as_bytes(), &vec![0; MAX_VALUE_BYTES + 1]).unwrap_err();
        let expected = "the key has 1024 bytes of at most 1024, the value 1048577 of at most 1048576";
        assert!(error.message().ends_with(expected), "{error}");
        state::put(long.as_bytes(), &vec![0; MAX_VALUE_BYTES]).unwrap();
    }
}
