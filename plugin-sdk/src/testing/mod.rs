//! Drives a plugin natively, through the same frames the host passes: for the tests of a plugin.
//!
//! ```
//! # use sandbar_plugin::{NoConfig, Records, Result, Task, Transform, TransformBatch};
//! # struct Shout;
//! # impl Transform for Shout {
//! #     type Config = NoConfig;
//! #     fn open(_: NoConfig, _: &Task) -> Result<Self> { Ok(Self) }
//! #     fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> Result<()> {
//! #         for r in records {
//! #             out.emit(&r, r.key, r.value.map(<[u8]>::to_ascii_uppercase).as_deref());
//! #         }
//! #         Ok(())
//! #     }
//! # }
//! use sandbar_plugin::serde_json::json;
//! use sandbar_plugin::testing::{self, TestRecord};
//!
//! let mut shout = testing::transform::<Shout>(json!({})).unwrap();
//! let out = shout.transform(&[TestRecord::value("abc")]).unwrap();
//! assert_eq!(out.records[0].value.as_deref(), Some(&b"ABC"[..]));
//! ```

mod http;
pub(crate) mod standin;

use std::collections::BTreeMap;

use sandbar_abi::manifest::Kind;
use sandbar_abi::message::{AssignedPartition, Open, Partitions};
use sandbar_abi::status::CloseReason;
use sandbar_abi::{Disposition, ErrorClass, Frame, FrameBuilder, Manifest, names};
use serde_json::Value;

use crate::guest::{Guest, Reply};
use crate::http::{Error, Request, Response};
use crate::{NoSink, NoSource, NoTransform, Sink, Source, Transform};

/// A record that owns its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRecord {
    /// The topic; where a plugin left it open, `None`.
    pub topic: Option<String>,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The input record it was made from.
    pub input: Option<u32>,
}

impl TestRecord {
    /// A record with a value and no key.
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record with a key and a value.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    /// The same, as read from a place.
    #[must_use]
    pub fn at(mut self, topic: &str, partition: i32, offset: i64) -> Self {
        self.topic = Some(topic.to_owned());
        self.partition = Some(partition);
        self.offset = Some(offset);
        self
    }

    /// The value as text; empty where there is none.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// What a call gave back.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The records.
    pub records: Vec<TestRecord>,
    /// What became of the input records; empty where all went well.
    pub results: Vec<(u32, Disposition, Option<String>)>,
    /// Whether the source says that it has come to its end.
    pub end_of_data: bool,
}

pub use http::Http;

/// Answers the requests of plugins on this thread, until what it returns is dropped. A response without a `url` or a
/// `method` gets that of the request.
pub fn http(handler: impl FnMut(&Request) -> Result<Response, Error> + 'static) -> Http {
    Http::new(handler)
}

/// A call that failed: its class, and the message as the host gets it.
pub type CallError = (ErrorClass, String);

/// A plugin under test, with a host that remembers.
pub struct Harness<So, Si, Tr> {
    guest: Guest<So, Si, Tr>,
    kind: Kind,
    config: Value,
    /// Its number, and how many there are.
    task: (u32, u32),
}

/// Opens a source on a host without offsets or state.
pub fn source<P: Source>(config: Value) -> Result<Harness<P, NoSink, NoTransform>, CallError> {
    fresh(Kind::Source, config)
}

/// Opens a sink on a host without state.
pub fn sink<P: Sink>(config: Value) -> Result<Harness<NoSource, P, NoTransform>, CallError> {
    fresh(Kind::Sink, config)
}

/// Opens a transform on a host without state.
pub fn transform<P: Transform>(config: Value) -> Result<Harness<NoSource, NoSink, P>, CallError> {
    fresh(Kind::Transform, config)
}

fn fresh<So: Source, Si: Sink, Tr: Transform>(kind: Kind, config: Value) -> Result<Harness<So, Si, Tr>, CallError> {
    standin::with(|host| *host = standin::Host { config: config.clone(), ..Default::default() });
    let mut harness = Harness { guest: Guest::default(), kind, config, task: (0, 1) };
    harness.open()?;
    Ok(harness)
}

impl<So: Source, Si: Sink, Tr: Transform> Harness<So, Si, Tr> {
    fn open(&mut self) -> Result<(), CallError> {
        let open = Open {
            config: self.config.clone(),
            kind: self.kind,
            connector: "test".to_owned(),
            task: self.task.0,
            tasks: self.task.1,
            abi_minor: names::ABI_MINOR,
            features: Vec::new(),
        };
        let message = serde_json::to_vec(&open).map_err(|e| (ErrorClass::Contract, e.to_string()))?;
        let len = self.pass(&message)?;
        let reply = self.guest.open(len);
        self.reply(reply).map(drop)
    }

    /// Commits what the calls so far have put, as the host does every `commit.interval.ms`.
    pub fn commit(&mut self) {
        standin::with(standin::Host::commit);
    }

    /// Loses the instance and all that is not committed, then opens a new one: what a crash does.
    pub fn crash(&mut self) -> Result<(), CallError> {
        standin::with(standin::Host::crash);
        self.guest = Guest::default();
        self.open()
    }

    /// Closes, commits, and opens a new instance with another configuration: what a change of configuration does.
    pub fn reopen(&mut self, config: Value) -> Result<(), CallError> {
        let reply = self.guest.close(CloseReason::Replace as i32);
        self.reply(reply)?;
        self.commit();
        standin::with(|host| host.config = config.clone());
        self.config = config;
        self.guest = Guest::default();
        self.open()
    }

    /// Loses the instance, then opens it as another task of the same connector, on the same host.
    pub fn move_to(&mut self, task: u32, tasks: u32) -> Result<(), CallError> {
        self.task = (task, tasks);
        self.crash()
    }

    /// Closes the instance and leaves it closed.
    pub fn close(&mut self, reason: CloseReason) -> Result<(), CallError> {
        let reply = self.guest.close(reason as i32);
        self.reply(reply).map(drop)
    }

    /// Asks whether the other system can be reached.
    pub fn check(&mut self) -> Result<(), CallError> {
        let reply = self.guest.check();
        self.reply(reply).map(drop)
    }

    /// Polls a source.
    pub fn poll(&mut self, max_records: u32) -> Result<Output, CallError> {
        self.poll_within(max_records, 1 << 20)
    }

    /// Polls a source for no more than so many records and bytes.
    pub fn poll_within(&mut self, max_records: u32, max_bytes: u32) -> Result<Output, CallError> {
        let reply = self.guest.poll(max_records, max_bytes, 1000);
        self.output(reply)
    }

    /// Passes records to a sink.
    pub fn write(&mut self, records: &[TestRecord]) -> Result<Output, CallError> {
        let len = self.pass(&frame(records)?)?;
        let reply = self.guest.write(len);
        self.output(reply)
    }

    /// Passes records to a transform.
    pub fn transform(&mut self, records: &[TestRecord]) -> Result<Output, CallError> {
        let len = self.pass(&frame(records)?)?;
        let reply = self.guest.transform(len);
        self.output(reply)
    }

    /// Flushes a sink.
    pub fn flush(&mut self) -> Result<(), CallError> {
        let reply = self.guest.flush();
        self.reply(reply).map(drop)
    }

    /// Tells a sink its partitions, and returns where it wants to start.
    pub fn assigned(&mut self, partitions: Vec<AssignedPartition>) -> Result<Vec<AssignedPartition>, CallError> {
        let message =
            serde_json::to_vec(&Partitions { partitions }).map_err(|e| (ErrorClass::Contract, e.to_string()))?;
        let len = self.pass(&message)?;
        let reply = self.guest.assigned(len);
        Ok(self.json::<Partitions>(reply)?.unwrap_or_default().partitions)
    }

    /// Tells a sink that partitions are no longer its own.
    pub fn revoked(&mut self, partitions: Vec<AssignedPartition>) -> Result<(), CallError> {
        let message =
            serde_json::to_vec(&Partitions { partitions }).map_err(|e| (ErrorClass::Contract, e.to_string()))?;
        let len = self.pass(&message)?;
        let reply = self.guest.revoked(len);
        self.reply(reply).map(drop)
    }

    /// Asks a source how its work splits.
    pub fn task_configs(&mut self, max: u32) -> Result<Option<Vec<Value>>, CallError> {
        let reply = self.guest.task_configs(max);
        self.json(reply)
    }

    /// The committed source offsets, JSON by JSON.
    pub fn offsets(&self) -> BTreeMap<String, Value> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        standin::with(|host| host.offsets.committed())
            .into_iter()
            .map(|(k, v)| (text(k), serde_json::from_slice(&v).unwrap_or(Value::Null)))
            .collect()
    }

    /// The committed state.
    pub fn state(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        standin::with(|host| host.state.committed())
    }

    /// The log lines so far, without their level.
    pub fn logs(&self) -> Vec<String> {
        standin::with(|host| host.logs.iter().map(|(_, line)| line.clone()).collect())
    }

    /// The last value of a metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        standin::with(|host| host.metrics.iter().rev().find(|(_, n, _)| n == name).map(|(_, _, v)| *v))
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<usize, CallError> {
        let buffer = self.guest.reserve(bytes.len()).ok_or((ErrorClass::Contract, "out of memory".to_owned()))?;
        buffer.copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn reply(&self, reply: Reply) -> Result<Option<&[u8]>, CallError> {
        standin::with(|host| host.end_call(!matches!(reply, Reply::Error(_))));
        match reply {
            Reply::Done => Ok(None),
            Reply::Output => Ok(Some(self.guest.output())),
            Reply::Error(class) => Err((class, standin::with(|host| host.error.clone()))),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, reply: Reply) -> Result<Option<T>, CallError> {
        let Some(bytes) = self.reply(reply)? else { return Ok(None) };
        serde_json::from_slice(bytes).map(Some).map_err(|e| (ErrorClass::Contract, e.to_string()))
    }

    fn output(&self, reply: Reply) -> Result<Output, CallError> {
        let Some(bytes) = self.reply(reply)? else { return Ok(Output::default()) };
        let frame = Frame::parse(bytes).map_err(|e| (ErrorClass::Contract, e.to_string()))?;
        Ok(Output {
            records: frame.records().map(|r| owned(&r)).collect(),
            results: frame.results().map(|r| (r.input, r.disposition, r.message.map(str::to_owned))).collect(),
            end_of_data: frame.end_of_data(),
        })
    }
}

fn owned(record: &sandbar_abi::Record<'_>) -> TestRecord {
    TestRecord {
        topic: record.topic_partition.and_then(|tp| tp.topic).map(str::to_owned),
        partition: record.topic_partition.and_then(|tp| tp.partition),
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record.headers.map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect(),
        input: record.input,
    }
}

fn frame(records: &[TestRecord]) -> Result<Vec<u8>, CallError> {
    let mut frame = FrameBuilder::new();
    for r in records {
        let place = (r.topic.is_some() || r.partition.is_some())
            .then(|| frame.topic_partition(r.topic.as_deref(), r.partition));
        let mut record = frame.record(r.key.as_deref(), r.value.as_deref());
        if let Some(place) = place {
            record.topic_partition(place);
        }
        if let Some(offset) = r.offset {
            record.offset(offset);
        }
        if let Some(timestamp) = r.timestamp {
            record.timestamp(timestamp);
        }
        for (name, value) in &r.headers {
            record.header(name, value.as_deref());
        }
    }
    frame.finish().map_err(|e| (ErrorClass::Contract, e.to_string()))
}

/// Checks what [`crate::export!`] was given as a manifest, and returns it read.
pub fn manifest(json: &str) -> Result<Manifest, String> {
    Manifest::from_json(json.as_bytes()).map_err(|e| e.to_string())
}
