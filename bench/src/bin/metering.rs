//! What budgets cost: the same plugin with fuel counted and calls interruptible, with one of the two, and with neither; and
//! how long host calls take against what they are charged. Time is that on the processor.

use sandbar::broker::StatePlace;
use sandbar::sandbox::{Engine, Instance};
use sandbar_abi::manifest::Kind;
use sandbar_bench::{guest, median, plugin, row, table, thread_time};

const RECORDS: usize = 500;
const CALLS: u32 = 40;
const RUNS: usize = 25;
/// Engines that count fuel, and engines that interrupt.
const ENGINES: [(&str, bool, bool); 4] =
    [("neither", false, false), ("fuel", true, false), ("epochs", false, true), ("fuel and epochs", true, true)];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let letters = [b'a'; 100];
    overhead("a byte loop: 100 bytes in upper case", "shout", serde_json::json!({}), &letters).await?;
    let value =
        br#"{"id":1234567,"user":{"name":"Ada Lovelace","email":"ada@example.org"},"total":99.5,"note":"first"}"#;
    let operations = serde_json::json!({"operations": [
        {"op": "filter", "field": "total", "gt": 10},
        {"op": "mask", "field": "user.email"},
        {"op": "rename", "from": "user.name", "to": "customer"},
        {"op": "set", "field": "source", "value": "bench"},
    ]});
    overhead("json-transform: filter, mask, rename, set", "json-transform", operations, value).await?;
    host_calls().await
}

/// Passes the same batch through the same plugin on all engines in turn.
async fn overhead(title: &str, package: &str, config: serde_json::Value, value: &[u8]) -> anyhow::Result<()> {
    let wasm = std::fs::read(plugin(package)?)?;
    let input = guest::batch(RECORDS, value)?;
    let spec = guest::spec(Kind::Transform, config);
    let mut instances: Vec<Instance> = Vec::new();
    for (_, fuel, epochs) in ENGINES {
        instances.push(guest::open(&Engine::for_measuring(fuel, epochs)?, &wasm, &spec).await?);
    }
    let mut times = vec![Vec::new(); ENGINES.len()];
    for _ in 0..RUNS {
        for (instance, times) in instances.iter_mut().zip(&mut times) {
            let started = thread_time();
            for _ in 0..CALLS {
                std::hint::black_box(instance.transform(&input, StatePlace::Task).await?);
            }
            #[allow(clippy::cast_precision_loss)] // a few hundred
            times.push((thread_time() - started).as_secs_f64() * 1e9 / (RECORDS as f64 * f64::from(CALLS)));
        }
    }
    table(&format!("{title}, per record in batches of 500"));
    for ((name, ..), times) in ENGINES.iter().zip(&times) {
        row(name, "ns", times);
    }
    let bare = median(times[0].clone());
    let ratios: Vec<String> = ENGINES
        .iter()
        .zip(&times)
        .skip(1)
        .map(|((name, ..), t)| format!("{name} {:.3}", median(t.clone()) / bare))
        .collect();
    println!("\nratio to neither: {}", ratios.join(", "));
    Ok(())
}

/// How long a unit of fuel and a host call take.
async fn host_calls() -> anyhow::Result<()> {
    table("Host calls, and the fuel they are charged in the time of as many instructions");
    let engine = Engine::new()?;
    let mut unit = f64::NAN;
    for (name, rounds, body) in BODIES {
        let wasm = wat::parse_str(module(*rounds, body))?;
        let spec = guest::spec(Kind::Source, serde_json::json!({"greeting": "hello"}));
        let mut instance = guest::open(&engine, &wasm, &spec).await?;
        let (mut times, mut fuel) = (Vec::new(), 0.0);
        for _ in 0..RUNS {
            let before = spec.meter.usage();
            let started = thread_time();
            instance.flush().await?;
            times.push((thread_time() - started).as_secs_f64() * 1e9 / f64::from(*rounds));
            #[allow(clippy::cast_precision_loss)] // far below 2^52
            let used = (spec.meter.usage().fuel - before.fuel) as f64;
            fuel = used / f64::from(*rounds);
        }
        row(name, "ns", &times);
        let time = median(times);
        if unit.is_nan() {
            unit = time / fuel;
            println!("| one unit of fuel, of that | {unit:.3} | | | ns | |");
        } else {
            println!("| charged for it, in that time | {:.0} | | | ns | {fuel:.0} units |", fuel * unit);
        }
    }
    Ok(())
}

/// What is measured: how often, and what a round does. The first one is no host call: it says what a unit of fuel is.
const BODIES: &[(&str, u32, &str)] = &[
    (
        "a loop of the guest's own, a round",
        1_000_000,
        "(i32.store (i32.const 8) (i32.add (i32.mul (i32.load (i32.const 8)) (i32.const 31)) (local.get 0)))",
    ),
    (
        "state_get of what is not there",
        100_000,
        "(drop (call $state_get (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8)))",
    ),
    (
        "state_put of 8 bytes",
        100_000,
        "(drop (call $state_put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8)))",
    ),
    (
        "state_put of 64 KiB",
        2_000,
        "(i32.store (i32.const 0) (i32.and (local.get 0) (i32.const 63))) (drop (call $state_put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 65528)))",
    ),
    ("config_get", 10_000, "(drop (call $config_get (i32.const 1024) (i32.const 8) (i32.const 0) (i32.const 100)))"),
    ("log of 100 bytes", 10_000, "(call $log (i32.const 4) (i32.const 0) (i32.const 100))"),
    ("metric", 10_000, "(call $metric (i32.const 0) (i32.const 1024) (i32.const 8) (f64.const 1))"),
    (
        "offset_put of 10 bytes",
        100_000,
        "(drop (call $offset_put (i32.const 1040) (i32.const 7) (i32.const 1048) (i32.const 3)))",
    ),
    (
        "offset_put of a number list of 64 KiB",
        200,
        "(drop (call $offset_put (i32.const 1040) (i32.const 7) (i32.const 65536) (i32.const 65535)))",
    ),
    ("WASI clock_time_get", 10_000, "(drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)))"),
    (
        "WASI fd_write of nothing",
        100_000,
        "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))",
    ),
    ("WASI random_get of 64 bytes", 10_000, "(drop (call $random_get (i32.const 0) (i32.const 64)))"),
];

/// A plugin whose flush does something so many times.
fn module(rounds: u32, body: &str) -> String {
    let list = "0,".repeat(32_766) + "0]";
    format!(
        r#"(module
        (import "sandbar_v1" "log" (func $log (param i32 i32 i32)))
        (import "sandbar_v1" "metric" (func $metric (param i32 i32 i32 f64)))
        (import "sandbar_v1" "config_get" (func $config_get (param i32 i32 i32 i32) (result i64)))
        (import "sandbar_v1" "offset_put" (func $offset_put (param i32 i32 i32 i32) (result i32)))
        (import "sandbar_v1" "state_get" (func $state_get (param i32 i32 i32 i32) (result i64)))
        (import "sandbar_v1" "state_put" (func $state_put (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
        (memory (export "memory") 4)
        (data (i32.const 1024) "greeting") (data (i32.const 1040) "{{\22a\22:1}}") (data (i32.const 1048) "[1]")
        (data (i32.const 65536) "[{list}")
        (func (export "sandbar_abi_v1") (result i32) (i32.const 0))
        (func (export "sandbar_reserve") (param i32) (result i32) (i32.const 2048))
        (func (export "sandbar_open") (param i32 i32) (result i64) (i64.const 0))
        (func (export "sandbar_close") (param i32) (result i64) (i64.const 0))
        (func (export "sandbar_flush") (result i64) (local i32)
            (loop $again {body} (br_if $again (i32.lt_u
                (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {rounds})))) (i64.const 0)))"#
    )
}
