//! Guests without a host around them: opened with nothing granted, and given the same batch again and again.

use std::sync::Arc;
use std::time::Instant;

use sandbar::batch::Batch;
use sandbar::sandbox::{Compiled, Engine, Grants, Identity, Instance, Ledger, Limits, LogQuota, OpenSpec};
use sandbar_abi::FrameBuilder;
use sandbar_abi::manifest::Kind;
use sandbar_abi::message::Open;
use sandbar_abi::names::ABI_MINOR;

/// What a guest is opened with: nothing is granted, and no limit is met.
#[must_use]
pub fn spec(kind: Kind, config: serde_json::Value) -> OpenSpec {
    let identity = Identity { plugin: "guest".into(), version: "0".into(), connector: "bench".into(), task: 0 };
    let open = Open {
        config,
        kind,
        connector: identity.connector.clone(),
        task: 0,
        tasks: 1,
        abi_minor: ABI_MINOR,
        features: Vec::new(),
    };
    OpenSpec {
        identity: Arc::new(identity),
        open,
        limits: Limits { fuel_per_call: u64::MAX / 2, ..Limits::default() },
        grants: Grants::default(),
        log: LogQuota::new(Instant::now()),
        meter: Arc::default(),
    }
}

/// Compiles and opens a guest.
pub async fn open(engine: &Engine, wasm: &[u8], spec: &OpenSpec) -> anyhow::Result<Instance> {
    let compiled = Compiled::new(engine, wasm, None)?;
    Ok(Instance::open(&compiled, spec, Ledger::new("", 64 << 20)).await.map_err(|(error, _)| error)?)
}

/// A batch of one partition, of so many records with this value.
pub fn batch(records: usize, value: &[u8]) -> anyhow::Result<Batch> {
    let mut frame = FrameBuilder::new();
    let place = frame.topic_partition(Some("in"), Some(0));
    for offset in 0..records {
        frame.record(None, Some(value)).offset(i64::try_from(offset)?).timestamp(1).topic_partition(place);
    }
    Ok(Batch::build(&frame)?)
}
