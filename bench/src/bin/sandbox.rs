//! What the sandbox costs: one transform over 500 records of 100 bytes, in the sandbox with fuel and time limits, and
//! natively through the same frames.

use std::time::Instant;

use sandbar::batch::Batch;
use sandbar::broker::StatePlace;
use sandbar::sandbox::{Compiled, Engine, Instance, Ledger};
use sandbar_abi::manifest::Kind;
use sandbar_bench::{guest, median, row, table};
use sandbar_plugin::guest::Guest;
use sandbar_plugin::{NoConfig, NoSink, NoSource, Records, Task, Transform, TransformBatch};

const RECORDS: usize = 500;
const BYTES: usize = 100;
const CALLS: u32 = 500;
const RUNS: usize = 15;

/// The example plugin `shout`, natively.
struct Shout;

impl Transform for Shout {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Task) -> sandbar_plugin::Result<Self> {
        Ok(Self)
    }

    fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> sandbar_plugin::Result<()> {
        for record in records {
            let value = record.value.map(<[u8]>::to_ascii_uppercase);
            out.emit(&record, record.key, value.as_deref());
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wasm = std::fs::read(sandbar_bench::plugin("shout")?)?;
    let engine = Engine::new()?;
    let compiled = Compiled::new(&engine, &wasm, None)?;
    let spec = guest::spec(Kind::Transform, serde_json::json!({}));
    let message = serde_json::to_vec(&spec.open)?;
    let ledger = || Ledger::new("", 1 << 20);
    let mut instance = Instance::open(&compiled, &spec, ledger()).await.map_err(|(error, _)| error)?;

    let mut native = Guest::<NoSource, NoSink, Shout>::default();
    pass(&mut native, &message);
    native.open(message.len());

    let input = guest::batch(RECORDS, &[b'a'; BYTES])?;
    let (mut sandboxed, mut natively) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let started = Instant::now();
        for _ in 0..CALLS {
            let reply = instance.transform(&input, StatePlace::Task).await?;
            std::hint::black_box(reply.output);
        }
        sandboxed.push(per_record(started));
        let started = Instant::now();
        for _ in 0..CALLS {
            pass(&mut native, input.bytes());
            native.transform(input.bytes().len());
            std::hint::black_box(Batch::new(native.output().to_vec())?);
        }
        natively.push(per_record(started));
    }
    let mut instantiate = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        for _ in 0..CALLS {
            let instance = Instance::open(&compiled, &spec, ledger()).await.map_err(|(error, _)| error)?;
            std::hint::black_box(instance);
        }
        instantiate.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    table("The sandbox, per record of 100 bytes in batches of 500, fuel and epochs on");
    row("in the sandbox", "ns", &sandboxed);
    row("natively, same frames", "ns", &natively);
    let tax: Vec<_> = sandboxed.iter().zip(&natively).map(|(a, b)| a - b).collect();
    row("tax", "ns", &tax);
    row("instantiate and open", "us", &instantiate);
    println!("\nratio sandboxed / native: {:.2}", median(sandboxed) / median(natively));
    Ok(())
}

fn pass(guest: &mut Guest<NoSource, NoSink, Shout>, bytes: &[u8]) {
    if let Some(buffer) = guest.reserve(bytes.len()) {
        buffer.copy_from_slice(bytes);
    }
}

fn per_record(started: Instant) -> f64 {
    #[allow(clippy::cast_precision_loss)] // a few hundred
    let records = RECORDS as f64 * f64::from(CALLS);
    started.elapsed().as_secs_f64() * 1e9 / records
}
