//! `json-transform`: reshapes, masks and filters values that are JSON objects, without changing anything else of them.
//!
//! What no operation touches leaves as it came, byte for byte: numbers keep their digits, objects the order of their
//! fields. A null value, a tombstone, passes.

mod condition;
mod object;
mod operation;
mod path;

use sandbar_plugin::{Error, InputRecord, Records, Result, Task, Transform, TransformBatch};
use serde::Deserialize;

use object::Object;
use operation::{Operation, Outcome};

/// The configuration; `manifest.json` describes the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// What is done to each value, in order.
    pub operations: Vec<Operation>,
    /// What becomes of a value to which it cannot be done.
    #[serde(default, rename = "on.invalid")]
    pub on_invalid: OnInvalid,
}

/// What becomes of a value that is not as it should be.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInvalid {
    /// It goes to the dead letter queue.
    #[default]
    Fail,
    /// It goes on as it is.
    Pass,
    /// Nothing comes of it.
    Drop,
}

/// The transform.
pub struct JsonTransform {
    config: Config,
    /// The value under construction, kept for its memory.
    text: Vec<u8>,
}

impl Transform for JsonTransform {
    type Config = Config;

    fn open(config: Config, _task: &Task) -> Result<Self> {
        for (i, operation) in config.operations.iter().enumerate() {
            operation.check().map_err(|what| Error::fatal(format!("configuration key \"operations[{i}]\": {what}")))?;
        }
        Ok(Self { config, text: Vec::new() })
    }

    fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> Result<()> {
        for record in records {
            let Some(value) = record.value else {
                out.pass(&record);
                continue;
            };
            match self.apply(value) {
                Ok(Outcome::Keep) => {
                    out.with_value(&record, Some(&self.text));
                }
                Ok(Outcome::Drop) => out.filter(&record),
                Err(what) => self.invalid(&record, what, out),
            }
        }
        Ok(())
    }
}

impl JsonTransform {
    /// Applies the operations to a value; what comes of it stands in `text` then.
    fn apply(&mut self, value: &[u8]) -> Result<Outcome, String> {
        let mut object = Object::parse(value)?;
        for (i, operation) in self.config.operations.iter().enumerate() {
            let outcome = operation.apply(&mut object).map_err(|what| format!("operations[{i}]: {what}"))?;
            if outcome == Outcome::Drop {
                return Ok(Outcome::Drop);
            }
        }
        self.text.clear();
        object.write(&mut self.text);
        Ok(Outcome::Keep)
    }

    fn invalid(&self, record: &InputRecord<'_>, what: String, out: &mut TransformBatch) {
        match self.config.on_invalid {
            OnInvalid::Fail => out.fail(record, what),
            OnInvalid::Pass => out.pass(record),
            OnInvalid::Drop => out.filter(record),
        }
    }
}

sandbar_plugin::export! {
    transform: JsonTransform,
    manifest: include_str!("../manifest.json"),
}
