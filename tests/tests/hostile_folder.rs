//! All hostile guests in one folder, a connector each, beside a neighbour: it delivers every record once, the status names
//! what is wrong with each of the others, and the host stops in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::hostile::{self, Fate, Hostile};
use sandbar_tests::in_process::{self, Worker};
use sandbar_tests::logs;

/// How long it may take until each has met its fate: a hundred plugins are compiled, and hold two cores up meanwhile.
const WITHIN: Duration = Duration::from_secs(600);
/// Fuel that no call lives to see the end of: the most that the key takes.
const FUEL_WITHOUT_END: u64 = i64::MAX.cast_unsigned();
/// Calls that a connector makes only in its last moments, or never: while it runs, nothing is wrong with it.
const LATE: &[&str] = &["close", "revoked", "committed", "check", "task_configs"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_full_of_hostile_guests() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut settings = in_process::config(folder.path());
    // Some are to be stopped by the clock alone.
    settings.limits.fuel_per_call = FUEL_WITHOUT_END;
    let mut worker = Worker::start_with(folder, settings).await?;
    worker.put("passes.wasm", &hostile::neighbour().manifest("name", "passes").build()?)?;
    worker.start_neighbour("passes").await?;
    worker.write("hostile-in", &["a", "b", "c"]).await?;

    let all = hostile::all()?;
    for hostile in &all {
        worker.put(&format!("{}.wasm", hostile.name), &hostile.wasm)?;
    }
    let mut pending: BTreeMap<&str, &Hostile> = BTreeMap::new();
    for hostile in all.iter().filter(|hostile| hostile.is_loaded()) {
        worker.define(&hostile.name, &config(hostile))?;
        pending.insert(&hostile.name, hostile);
    }
    ensure!(pending.len() >= 100, "{} connectors", pending.len());

    let started = Instant::now();
    while !pending.is_empty() {
        worker.probe().await?;
        let connectors = worker.connectors();
        let met = |name: &str, hostile: &Hostile| {
            connectors.iter().any(|connector| connector.name == name && has_met_its_fate(connector, hostile))
        };
        for (name, hostile) in pending.extract_if(.., |name, hostile| met(name, hostile)) {
            // One that lives is polled without end, and would fill the disk for as long as the others take.
            if matches!(hostile.fate, Fate::Lives) {
                worker.remove(&format!("{name}.json"))?;
            }
        }
        let left: Vec<_> =
            connectors.iter().filter(|connector| pending.contains_key(connector.name.as_str())).collect();
        ensure!(started.elapsed() < WITHIN, "{} of them are otherwise: {left:#?}", pending.len());
    }

    let folder = worker.folder().path().join("plugins");
    for hostile in all.iter().filter(|hostile| !hostile.is_loaded()) {
        let path = folder.join(format!("{}.wasm", hostile.name)).display().to_string();
        logs::line(&[&path, "WARN", "plugin refused: "]).await?;
    }
    worker.probe().await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

/// The definition of a connector that makes the call which goes wrong.
fn config(hostile: &Hostile) -> Vec<(&str, &str)> {
    // A source is told by it in which way to fail. One that lives must be asked for no less than it returns: it would run
    // for moments only, and the pauses between them grow.
    let batch = if matches!(hostile.fate, Fate::Lives) { "500" } else { "1" };
    let mut config = vec![
        ("connector.class", hostile.name.as_str()),
        ("batch.max.records", batch),
        ("sandbox.memory.max.bytes", "1048576"),
        ("sandbox.state.max.bytes", "10000"),
    ];
    config.extend(match &hostile.fate {
        Fate::Fails { call: "transform", .. } => {
            [("connector.type", "transform"), ("topics", "hostile-in"), ("topic", "hostile-out")].to_vec()
        }
        Fate::Fails { call: "write" | "flush" | "assigned" | "revoked", .. } => {
            [("connector.type", "sink"), ("topics", "hostile-in")].to_vec()
        }
        _ => [("connector.type", "source"), ("topic", "hostile-out")].to_vec(),
    });
    config.extend(if hostile.by_the_clock {
        [("sandbox.fuel.per.call", "9223372036854775807"), ("sandbox.call.timeout.ms", "100")]
    } else {
        [("sandbox.fuel.per.call", "5000000"), ("sandbox.call.timeout.ms", "10000")]
    });
    config
}

/// Whether the status says what has to be said.
fn has_met_its_fate(connector: &ConnectorStatus, hostile: &Hostile) -> bool {
    let reason = connector.tasks.iter().filter_map(|task| task.trace.as_deref()).chain(connector.reason.as_deref());
    let reason = reason.collect::<Vec<_>>().join("; ");
    let says = |call: &str, cause: &str| reason.contains(&format!("task 0: {call}: ")) && reason.contains(cause);
    match &hostile.fate {
        // One that is called late fails between two looks, and the pauses after that grow: then the reason tells.
        Fate::Fails { call, causes } if LATE.contains(call) => {
            connector.state == ConnectorState::Running || causes.first().is_some_and(|cause| says(call, cause))
        }
        Fate::Fails { call, causes } => causes.first().is_some_and(|cause| says(call, cause)),
        Fate::DoesNotStart { call, cause } => says(call, cause),
        Fate::Lives => connector.state == ConnectorState::Running,
        Fate::Refused(_) | Fate::DoesNotCompile(_) => false,
    }
}
