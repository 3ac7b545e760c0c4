//! The guest's side of every call: takes the input frame, drives the plugin, leaves the output frame. [`crate::export!`]
//! wires it to the exports; [`crate::testing`] drives the same code natively.

use std::time::Duration;

use sandbar_abi::manifest::Kind;
use sandbar_abi::message::{Open, Partitions};
use sandbar_abi::status::CloseReason;
use sandbar_abi::{ErrorClass, Frame, FrameBuilder, FrameError, names};
use serde::de::DeserializeOwned;

use crate::{
    Error, PollLimits, Records, Result, Sink, SinkResults, Source, SourceBatch, Task, Transform, TransformBatch, sys,
};

/// What a call leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, nothing to read.
    Done,
    /// There is output to read.
    Output,
    /// An error, whose message the host has been told.
    Error(ErrorClass),
}

/// A plugin instance with its buffers.
pub struct Guest<So, Si, Tr> {
    input: Vec<u8>,
    output: Vec<u8>,
    instance: Instance<So, Si, Tr>,
    source_batch: SourceBatch,
    sink_results: SinkResults,
    transform_batch: TransformBatch,
}

enum Instance<So, Si, Tr> {
    Closed,
    Source(So),
    Sink(Si),
    Transform(Tr),
}

impl<So: Source, Si: Sink, Tr: Transform> Default for Guest<So, Si, Tr> {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            instance: Instance::Closed,
            source_batch: SourceBatch::default(),
            sink_results: SinkResults::default(),
            transform_batch: TransformBatch::default(),
        }
    }
}

impl<So: Source, Si: Sink, Tr: Transform> Guest<So, Si, Tr> {
    /// The input buffer, grown to hold `len` bytes from an aligned start; `None` where the length is past every limit.
    pub fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > names::MAX_FRAME_BYTES {
            return None;
        }
        let need = len + names::ALIGN;
        if self.input.len() < need {
            self.input.try_reserve_exact(need - self.input.len()).ok()?;
            self.input.resize(need, 0);
        }
        let start = self.input.as_ptr().align_offset(names::ALIGN);
        self.input.get_mut(start..start + len)
    }

    /// The output of the last call that replied [`Reply::Output`].
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// `sandbar_open`
    pub fn open(&mut self, len: usize) -> Reply {
        let opened = self.input(len).and_then(open_instance);
        match opened {
            Ok(instance) => {
                self.instance = instance;
                Reply::Done
            }
            Err(error) => fail(&error),
        }
    }

    /// `sandbar_poll`
    pub fn poll(&mut self, max_records: u32, max_bytes: u32, timeout_ms: u32) -> Reply {
        let Instance::Source(source) = &mut self.instance else { return closed("poll") };
        let limits = PollLimits {
            records: max_records as usize,
            bytes: max_bytes as usize,
            timeout: Duration::from_millis(timeout_ms.into()),
        };
        self.source_batch.begin(limits);
        if let Err(error) = source.poll(&limits, &mut self.source_batch) {
            return fail(&error);
        }
        if !self.source_batch.has_news() {
            return Reply::Done;
        }
        lay_out(&self.source_batch.frame, &mut self.output)
    }

    /// `sandbar_write`
    pub fn write(&mut self, len: usize) -> Reply {
        let Instance::Sink(sink) = &mut self.instance else { return closed("write") };
        let frame = match parse(&self.input, len) {
            Ok(frame) => frame,
            Err(error) => return fail(&error),
        };
        self.sink_results.begin();
        if let Err(error) = sink.write(Records::new(frame), &mut self.sink_results) {
            return fail(&error);
        }
        if !self.sink_results.has_news() {
            return Reply::Done;
        }
        self.sink_results.finish(frame.len());
        lay_out(&self.sink_results.frame, &mut self.output)
    }

    /// `sandbar_transform`
    pub fn transform(&mut self, len: usize) -> Reply {
        let Instance::Transform(transform) = &mut self.instance else { return closed("transform") };
        let frame = match parse(&self.input, len) {
            Ok(frame) => frame,
            Err(error) => return fail(&error),
        };
        self.transform_batch.begin();
        if let Err(error) = transform.transform(Records::new(frame), &mut self.transform_batch) {
            return fail(&error);
        }
        self.transform_batch.finish(frame.len());
        lay_out(&self.transform_batch.frame, &mut self.output)
    }

    /// `sandbar_flush`
    pub fn flush(&mut self) -> Reply {
        match &mut self.instance {
            Instance::Sink(sink) => done(sink.flush()),
            _ => closed("flush"),
        }
    }

    /// `sandbar_committed`
    pub fn committed(&mut self, batch: u64) -> Reply {
        match &mut self.instance {
            Instance::Source(source) => done(source.committed(batch)),
            _ => closed("committed"),
        }
    }

    /// `sandbar_assigned`
    pub fn assigned(&mut self, len: usize) -> Reply {
        let partitions = match self.json::<Partitions>(len) {
            Ok(message) => message.partitions,
            Err(error) => return fail(&error),
        };
        let Instance::Sink(sink) = &mut self.instance else { return Reply::Done };
        match sink.assigned(&partitions) {
            Ok(start) if start.is_empty() => Reply::Done,
            Ok(partitions) => self.answer(&Partitions { partitions }),
            Err(error) => fail(&error),
        }
    }

    /// `sandbar_revoked`
    pub fn revoked(&mut self, len: usize) -> Reply {
        let partitions = match self.json::<Partitions>(len) {
            Ok(message) => message.partitions,
            Err(error) => return fail(&error),
        };
        match &mut self.instance {
            Instance::Sink(sink) => done(sink.revoked(&partitions)),
            _ => Reply::Done,
        }
    }

    /// `sandbar_check`
    pub fn check(&mut self) -> Reply {
        done(match &mut self.instance {
            Instance::Source(source) => source.check(),
            Instance::Sink(sink) => sink.check(),
            Instance::Transform(transform) => transform.check(),
            Instance::Closed => return closed("check"),
        })
    }

    /// `sandbar_discover`
    pub fn discover(&mut self) -> Reply {
        let Instance::Source(source) = &mut self.instance else { return closed("discover") };
        match source.discover() {
            Ok(Some(streams)) => self.answer(&streams),
            Ok(None) => Reply::Done,
            Err(error) => fail(&error),
        }
    }

    /// `sandbar_task_configs`
    pub fn task_configs(&mut self, max: u32) -> Reply {
        let Instance::Source(source) = &mut self.instance else { return closed("task_configs") };
        match source.task_configs(max) {
            Ok(Some(configs)) => self.answer(&configs),
            Ok(None) => Reply::Done,
            Err(error) => fail(&error),
        }
    }

    /// `sandbar_close`
    pub fn close(&mut self, reason: i32) -> Reply {
        let reason = CloseReason::from_code(reason);
        done(match std::mem::replace(&mut self.instance, Instance::Closed) {
            Instance::Source(mut source) => source.close(reason),
            Instance::Sink(mut sink) => sink.close(reason),
            Instance::Transform(mut transform) => transform.close(reason),
            Instance::Closed => Ok(()),
        })
    }

    fn input(&self, len: usize) -> Result<&[u8]> {
        input(&self.input, len)
    }

    fn json<T: DeserializeOwned>(&self, len: usize) -> Result<T> {
        Ok(serde_json::from_slice(self.input(len)?)?)
    }

    fn answer(&mut self, value: &impl serde::Serialize) -> Reply {
        self.output.clear();
        match serde_json::to_writer(&mut self.output, value) {
            Ok(()) => Reply::Output,
            Err(error) => fail(&error.into()),
        }
    }
}

fn input(buffer: &[u8], len: usize) -> Result<&[u8]> {
    let start = buffer.as_ptr().align_offset(names::ALIGN);
    buffer
        .get(start..)
        .and_then(|bytes| bytes.get(..len))
        .ok_or_else(|| Error::contract(format!("{len} bytes were passed, fewer were reserved")))
}

fn parse(buffer: &[u8], len: usize) -> Result<Frame<'_>> {
    Frame::parse(input(buffer, len)?).map_err(|e| Error::contract(format!("the host's frame: {e}")))
}

fn open_instance<So: Source, Si: Sink, Tr: Transform>(message: &[u8]) -> Result<Instance<So, Si, Tr>> {
    let open: Open = serde_json::from_slice(message).map_err(|e| Error::contract(format!("open message: {e}")))?;
    let task = Task { connector: open.connector, number: open.task, count: open.tasks };
    Ok(match open.kind {
        Kind::Source => Instance::Source(So::open(config(open.config)?, &task)?),
        Kind::Sink => Instance::Sink(Si::open(config(open.config)?, &task)?),
        Kind::Transform => Instance::Transform(Tr::open(config(open.config)?, &task)?),
    })
}

fn config<C: DeserializeOwned>(value: serde_json::Value) -> Result<C> {
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
        "." => Error::fatal(format!("configuration: {}", error.inner())),
        key => Error::fatal(format!("configuration key \"{key}\": {}", error.inner())),
    })
}

fn lay_out(frame: &FrameBuilder, output: &mut Vec<u8>) -> Reply {
    output.clear();
    match frame.finish_into(output) {
        Ok(()) => Reply::Output,
        Err(error @ FrameError::TooLong { .. }) => fail(&Error::contract(format!("output: {error}"))),
        Err(error) => fail(&Error::contract(error)),
    }
}

fn done(result: Result<()>) -> Reply {
    match result {
        Ok(()) => Reply::Done,
        Err(error) => fail(&error),
    }
}

fn closed(call: &str) -> Reply {
    fail(&Error::contract(format!("{call} was called on an instance that is not opened for it")))
}

/// Tells the host why, and returns what the export returns.
pub fn fail(error: &Error) -> Reply {
    sys::set_error(error.class().code(), &error.payload());
    Reply::Error(error.class())
}

/// Tells the host of a panic before the trap that follows it.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        sys::set_error(ErrorClass::Fatal.code(), &info.to_string().replace('\n', " "));
    }));
}
