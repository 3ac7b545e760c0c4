//! `faulty`: every fault a plugin can have, on demand. The tests of the host run it; nothing else should.

mod fault;

use fault::{At, Fault, Mode};
use sandbar_plugin::host::offsets;
use sandbar_plugin::serde_json::json;
use sandbar_plugin::{
    AssignedPartition, CloseReason, InputRecord, PollLimits, Records, Result, Sink, SinkResults, Source, SourceBatch,
    Task, Transform, TransformBatch,
};
use serde::Deserialize;

/// How many bytes `huge-output` returns: more than a frame may hold.
const HUGE_BYTES: usize = (64 << 20) + 1;

/// The plugin, as whatever it is opened.
pub struct Faulty {
    fault: Fault,
    /// The number of a source's next record.
    next: u64,
}

/// The source offset.
#[derive(Deserialize)]
struct Offset {
    next: u64,
}

impl Faulty {
    fn start(config: Fault) -> Result<Self> {
        let mut faulty = Self { fault: config, next: 0 };
        faulty.fault.strike(At::Open)?;
        Ok(faulty)
    }
}

impl Source for Faulty {
    type Config = Fault;

    fn open(config: Fault, _task: &Task) -> Result<Self> {
        let mut faulty = Self::start(config)?;
        faulty.next = offsets::get::<Offset>(&json!({}))?.map_or(0, |offset| offset.next);
        Ok(faulty)
    }

    fn poll(&mut self, _limits: &PollLimits, out: &mut SourceBatch) -> Result<()> {
        if self.fault.mode == Mode::Idle {
            return Ok(());
        }
        let value = self.next.to_string();
        if self.fault.is_about(value.as_bytes()) {
            self.fault.strike(At::Call)?;
            let extra = if self.fault.mode == Mode::ManyOutputs { self.fault.count } else { 0 };
            for _ in 0..extra {
                out.record(None, Some(value.as_bytes()));
            }
            if self.fault.mode == Mode::HugeOutput {
                out.record(None, Some(&vec![b'x'; HUGE_BYTES]));
            }
        }
        out.record(None, Some(value.as_bytes()));
        self.next += 1;
        offsets::put(&json!({}), &json!({"next": self.next}))
    }

    fn committed(&mut self, _batch: u64) -> Result<()> {
        self.fault.strike(At::Committed)
    }

    fn check(&mut self) -> Result<()> {
        self.fault.strike(At::Check)
    }

    fn close(&mut self, _reason: CloseReason) -> Result<()> {
        self.fault.strike(At::Close)
    }
}

impl Sink for Faulty {
    type Config = Fault;

    fn open(config: Fault, _task: &Task) -> Result<Self> {
        Self::start(config)
    }

    fn write(&mut self, records: Records<'_>, results: &mut SinkResults) -> Result<()> {
        for record in records {
            if !self.fault.is_about(record.value.unwrap_or_default()) {
                continue;
            }
            self.fault.strike(At::Call)?;
            let mode = self.fault.mode;
            match mode {
                Mode::FailRecord => results.fail(&record, self.fault.message.as_str()),
                Mode::RetryRecord if self.fault.is_due() => {
                    results.retry_from(&record, self.fault.message.as_str());
                    return Ok(());
                }
                Mode::OneRecord if record.index() > 0 => {
                    results.continue_from(&record);
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.fault.strike(At::Flush)
    }

    fn assigned(&mut self, _partitions: &[AssignedPartition]) -> Result<Vec<AssignedPartition>> {
        self.fault.strike(At::Assigned).map(|()| Vec::new())
    }

    fn revoked(&mut self, _partitions: &[AssignedPartition]) -> Result<()> {
        self.fault.strike(At::Revoked)
    }

    fn check(&mut self) -> Result<()> {
        self.fault.strike(At::Check)
    }

    fn close(&mut self, _reason: CloseReason) -> Result<()> {
        self.fault.strike(At::Close)
    }
}

impl Transform for Faulty {
    type Config = Fault;

    fn open(config: Fault, _task: &Task) -> Result<Self> {
        Self::start(config)
    }

    fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> Result<()> {
        for record in records {
            if !self.fault.is_about(record.value.unwrap_or_default()) {
                out.pass(&record);
                continue;
            }
            self.fault.strike(At::Call)?;
            let mode = self.fault.mode;
            match mode {
                Mode::FailRecord => out.fail(&record, self.fault.message.as_str()),
                Mode::RetryRecord if self.fault.is_due() => {
                    out.retry_from(&record, self.fault.message.as_str());
                    return Ok(());
                }
                Mode::HugeOutput => {
                    out.with_value(&record, Some(&vec![b'x'; HUGE_BYTES]));
                }
                Mode::ManyOutputs => self.multiply(&record, out),
                Mode::StrayTopic => {
                    out.emit_to(&self.fault.message, None, &record, record.key, record.value);
                }
                _ => out.pass(&record),
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        self.fault.strike(At::Check)
    }

    fn close(&mut self, _reason: CloseReason) -> Result<()> {
        self.fault.strike(At::Close)
    }
}

impl Faulty {
    fn multiply(&self, record: &InputRecord<'_>, out: &mut TransformBatch) {
        for _ in 0..self.fault.count {
            out.pass(record);
        }
    }
}

sandbar_plugin::export! {
    source: Faulty,
    sink: Faulty,
    transform: Faulty,
    manifest: include_str!("../manifest.json"),
}
