//! What a plugin implements.

use sandbar_abi::message::AssignedPartition;
use sandbar_abi::status::CloseReason;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Records, Result, SinkResults, SourceBatch, TransformBatch};

/// Which part of which connector this instance is.
#[derive(Clone, Debug)]
pub struct Task {
    /// The connector's name.
    pub connector: String,
    /// The task's number, from 0.
    pub number: u32,
    /// How many tasks the connector has.
    pub count: u32,
}

/// For plugins without configuration.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct NoConfig {}

/// How much one poll shall return at the most.
#[derive(Clone, Copy, Debug)]
pub struct PollLimits {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values. One larger record may be returned alone.
    pub bytes: usize,
    /// How long the call may take before it stands in the way of shutting down. Not a time to sleep.
    pub timeout: std::time::Duration,
}

/// Reads another system and returns records for topics.
///
/// Memory is lost with the instance: where the source stands goes to [`crate::host::offsets`], which is committed
/// together with the records, and read again in [`Source::open`].
pub trait Source: Sized {
    /// The configuration; errors name the key.
    type Config: DeserializeOwned;

    /// Starts from the committed offsets.
    fn open(config: Self::Config, task: &Task) -> Result<Self>;

    /// Appends what is new. Nothing new is no error and no reason to wait: return, the host paces the calls.
    fn poll(&mut self, limits: &PollLimits, out: &mut SourceBatch) -> Result<()>;

    /// All batches up to this one, counted from 1 since open, are durable: acknowledge them upstream.
    fn committed(&mut self, _batch: u64) -> Result<()> {
        Ok(())
    }

    /// How the work splits over at most `max` tasks: one configuration a task. `None`: it does not split.
    fn task_configs(&mut self, _max: u32) -> Result<Option<Vec<serde_json::Value>>> {
        Ok(None)
    }

    /// Whether the other system can be reached.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// The streams or tables on offer, as JSON.
    fn discover(&mut self) -> Result<Option<serde_json::Value>> {
        Ok(None)
    }

    /// The last call; it does not come after a crash.
    fn close(&mut self, _reason: CloseReason) -> Result<()> {
        Ok(())
    }
}

/// Takes records from topics and writes them to another system.
pub trait Sink: Sized {
    /// The configuration; errors name the key.
    type Config: DeserializeOwned;

    /// Connects.
    fn open(config: Self::Config, task: &Task) -> Result<Self>;

    /// Writes records, or takes them into a buffer. What is not said in `results` went well. An error is about the call
    /// as a whole: the host may make it again with the same records.
    fn write(&mut self, records: Records<'_>, results: &mut SinkResults) -> Result<()>;

    /// A barrier: when it returns, everything written is durable, and the host commits the consumed offsets.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// These partitions are now this task's. A sink that keeps offsets beside its data answers where to start: that makes
    /// it exactly once.
    fn assigned(&mut self, _partitions: &[AssignedPartition]) -> Result<Vec<AssignedPartition>> {
        Ok(Vec::new())
    }

    /// These partitions are no longer this task's.
    fn revoked(&mut self, _partitions: &[AssignedPartition]) -> Result<()> {
        Ok(())
    }

    /// Whether the other system can be reached.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// The last call; it does not come after a crash.
    fn close(&mut self, _reason: CloseReason) -> Result<()> {
        Ok(())
    }
}

/// Takes records and returns records.
///
/// A call carries records of one input partition. [`crate::host::state`] belongs to that partition, moves with it, and is
/// committed together with the output.
pub trait Transform: Sized {
    /// The configuration; errors name the key.
    type Config: DeserializeOwned;

    /// Starts.
    fn open(config: Self::Config, task: &Task) -> Result<Self>;

    /// Emits what comes of the records. A record of which nothing is emitted is filtered.
    fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> Result<()>;

    /// Whether the other system, if there is one, can be reached.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// The last call; it does not come after a crash.
    fn close(&mut self, _reason: CloseReason) -> Result<()> {
        Ok(())
    }
}

/// Stands for "this plugin is no source" in [`crate::export!`].
#[derive(Debug)]
pub enum NoSource {}
/// Stands for "this plugin is no sink" in [`crate::export!`].
#[derive(Debug)]
pub enum NoSink {}
/// Stands for "this plugin is no transform" in [`crate::export!`].
#[derive(Debug)]
pub enum NoTransform {}

impl Source for NoSource {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Task) -> Result<Self> {
        Err(Error::contract("this plugin is no source"))
    }

    fn poll(&mut self, _: &PollLimits, _: &mut SourceBatch) -> Result<()> {
        match *self {}
    }
}

impl Sink for NoSink {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Task) -> Result<Self> {
        Err(Error::contract("this plugin is no sink"))
    }

    fn write(&mut self, _: Records<'_>, _: &mut SinkResults) -> Result<()> {
        match *self {}
    }
}

impl Transform for NoTransform {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Task) -> Result<Self> {
        Err(Error::contract("this plugin is no transform"))
    }

    fn transform(&mut self, _: Records<'_>, _: &mut TransformBatch) -> Result<()> {
        match *self {}
    }
}
