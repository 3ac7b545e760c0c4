//! Starts, breaks and discards a hundred thousand instances, and looks whether the process has grown by it. It is a program of
//! its own: what other tests hold in memory would be counted.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sandbar::sandbox::{Compiled, Engine, Grants, Identity, Instance, Ledger, Limits, LogQuota, OpenSpec};
use sandbar_abi::manifest::Kind;
use sandbar_abi::message::Open;
use sandbar_abi::names;
use sandbar_tests::wat::Guest;

/// Cycles before the first look: pools fill, and allocators take what they keep.
const WARM_UP: usize = 5_000;
const CYCLES: usize = 100_000;
/// How much more the process may hold afterwards, in memory and in address space. A leak of 64 bytes an instance would be
/// more.
const GROWTH_BYTES: usize = 4 << 20;
/// How many more mappings there may be: an allocator's own come and go.
const GROWTH_MAPPINGS: usize = 16;

/// What a process holds of the machine.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident: usize,
    address_space: usize,
    mappings: usize,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn now() -> Result<Self> {
        let statm = fs::read_to_string("/proc/self/statm")?;
        let pages: Vec<usize> = statm.split(' ').take(2).map(|n| Ok(n.parse()?)).collect::<Result<_>>()?;
        Ok(Self {
            resident: pages.get(1).context("the resident pages")? * 4096,
            address_space: pages.first().context("the pages")? * 4096,
            mappings: fs::read_to_string("/proc/self/maps")?.lines().count(),
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            threads: fs::read_dir("/proc/self/task")?.count(),
        })
    }
}

fn spec() -> OpenSpec {
    let connector = "orders".to_owned();
    let identity = Identity { plugin: "wat".into(), version: "1.2.3".into(), connector: connector.clone(), task: 0 };
    OpenSpec {
        identity: Arc::new(identity),
        open: Open {
            config: serde_json::json!({}),
            kind: Kind::Sink,
            connector,
            task: 0,
            tasks: 1,
            abi_minor: names::ABI_MINOR,
            features: Vec::new(),
        },
        limits: Limits { fuel_per_call: 400_000, call_timeout: Duration::from_secs(10), ..Limits::default() },
        grants: Grants { read: vec![std::env::temp_dir()], ..Grants::default() },
        log: LogQuota::new(Instant::now()),
        meter: Arc::default(),
    }
}

/// Touches memory and state, then ends as it is told.
fn guest(ending: &str) -> Result<Vec<u8>> {
    let body = format!(
        "(drop (memory.grow (i32.const 20))) (memory.fill (i32.const 65536) (i32.const 7) (i32.const 300000))
        (drop (call $begin)) {ending}"
    );
    Guest::new().with(names::FLUSH, &body).build()
}

#[tokio::test]
async fn a_hundred_thousand_discarded_instances_leave_nothing() -> Result<()> {
    let engine = Engine::new()?;
    let endings = [
        ("unreachable", "sandbar.Trap"),
        ("(loop $again (br $again)) unreachable", "sandbar.OutOfFuel"),
        ("(call $proc_exit (i32.const 1)) unreachable", "sandbar.Exit"),
        ("(return (i64.const -9))", "sandbar.ContractViolation"),
    ];
    let guests: Vec<(Compiled, &str)> = endings
        .iter()
        .map(|(ending, kind)| Ok((Compiled::new(&engine, &guest(ending)?, None)?, *kind)))
        .collect::<Result<_>>()?;
    let spec = spec();
    let cycle = async |n: usize| -> Result<()> {
        let (guest, kind) = &guests[n % guests.len()];
        let opened = Instance::open(guest, &spec, Ledger::new("", 1000)).await;
        let mut instance = opened.map_err(|(error, _)| error)?;
        let error = instance.flush().await.err().context("it must fail")?;
        ensure!(error.kind.class_name() == *kind, "{error}");
        ensure!(!instance.into_ledger().has_staged(), "it must leave nothing");
        Ok(())
    };
    for n in 0..WARM_UP {
        cycle(n).await?;
    }
    let before = Held::now()?;
    for n in 0..CYCLES {
        cycle(n).await?;
    }
    let after = Held::now()?;
    println!("before {before:?}\nafter  {after:?}");
    ensure!(after.resident <= before.resident + GROWTH_BYTES, "{before:?}, {after:?}");
    ensure!(after.address_space <= before.address_space + GROWTH_BYTES, "{before:?}, {after:?}");
    ensure!(after.mappings <= before.mappings + GROWTH_MAPPINGS, "{before:?}, {after:?}");
    ensure!(after.descriptors == before.descriptors, "{before:?}, {after:?}");
    ensure!(after.threads <= before.threads, "{before:?}, {after:?}");
    Ok(())
}
