//! What guests return: modules that `wasm-smith` makes up behind our imports and exports, and one guest that answers with
//! whatever bytes it is told. Each runs as an instance of the host's with small budgets.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use bytes::Bytes;
use sandbar::batch::Batch;
use sandbar::broker::StatePlace;
use sandbar::plugins::{embed, inspect};
use sandbar::sandbox::{
    CallError, CallErrorKind, Compiled, Engine, Grants, Identity, Instance, Ledger, Limits, LogQuota, OpenSpec,
};
use sandbar_abi::manifest::Kind;
use sandbar_abi::message::{AssignedPartition, Open};
use sandbar_abi::status::CloseReason;
use sandbar_abi::{FrameBuilder, Manifest, names};
use tokio::runtime::{Builder, Runtime};

use crate::wat::{Guest, NAME, VERSION};

/// Enough to run into every wall within milliseconds.
const LIMITS: Limits = Limits {
    fuel_per_call: 100_000,
    call_timeout: Duration::from_millis(500),
    memory_max_bytes: 4 << 20,
    state_max_bytes: 8 << 20,
};
/// A call that takes this long has escaped its budget, however busy the machine.
const ESCAPED: Duration = Duration::from_secs(60);
/// Records of each input.
const INPUTS: u32 = 3;
/// The key under which the answer lies in the state.
const ANSWER: &[u8] = b"answer";

/// The first byte chooses: a made-up module, or the guest that answers with the rest.
pub fn guest_return(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    if choice % 4 == 0 {
        made_up(rest);
    } else {
        told(*choice, rest);
    }
}

/// The module that these bytes describe, if they describe one.
pub(super) fn made_up_module(data: &[u8]) -> Option<Vec<u8>> {
    let config = wasm_smith::Config {
        module_shape: Some(shape().to_vec()),
        max_memory32_bytes: 2 << 20,
        max_instructions: 200,
        max_memories: 1,
        max_tables: 1,
        max_table_elements: 1000,
        allow_start_export: false,
        allow_invalid_funcs: false,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        simd_enabled: true,
        exceptions_enabled: false,
        extended_const_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..wasm_smith::Config::default()
    };
    let module = wasm_smith::Module::new(config, &mut Unstructured::new(data)).ok()?;
    embed(&module.to_bytes(), manifest()).ok()
}

fn made_up(data: &[u8]) {
    let Some(wasm) = made_up_module(data) else { return };
    // What the gate refuses for a reason never runs.
    if inspect(&wasm).is_err() {
        return;
    }
    let Ok(compiled) = Compiled::new(engine(), &wasm, None) else { return };
    drive(&compiled, Kind::Source, Ledger::new("", LIMITS.state_max_bytes), &[]);
}

/// A guest that answers with the bytes that its state holds: the first eight are what it returns, the rest it writes to
/// the address that this number names, as far as that is one.
fn told(choice: u8, answer: &[u8]) {
    static COMPILED: OnceLock<Option<Compiled>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let call = "(local i64)
            (drop (call $state_get (i32.const 1024) (i32.const 6) (i32.const 65528) (i32.const 983040)))
            (local.set $0 (i64.load (i32.const 65528)))
            (if (i64.eq (local.get $0) (i64.const 0x7fffffffffffffff)) (then (return (call $whole))))
            (local.get $0)";
        let whole = "(func $whole (result i64) (i64.or (i64.const 65536) (i64.shl (i64.sub
            (call $state_get (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 0)) (i64.const 8)) (i64.const 32))))
            (data (i32.const 1024) \"answer\")";
        let mut guest = Guest::new().pages(20).field(whole);
        for (export, first) in [
            (names::POLL, 3),
            (names::WRITE, 2),
            (names::TRANSFORM, 2),
            (names::TASK_CONFIGS, 1),
            (names::ASSIGNED, 2),
        ] {
            guest = guest.with(export, &call.replace("$0", &first.to_string()));
        }
        Compiled::new(engine(), &guest.build().ok()?, None).ok()
    });
    let Some(compiled) = compiled else { unreachable!("the guest is in order") };
    let mut ledger = Ledger::new("", LIMITS.state_max_bytes);
    // Most answers are whole frames; some name their own address and length.
    let mut value = if choice % 4 == 1 { Vec::new() } else { i64::MAX.to_le_bytes().to_vec() };
    value.extend_from_slice(&answer[..answer.len().min(900_000)]);
    ledger.load_state(StatePlace::Task, vec![(Bytes::from_static(ANSWER), value.into())]);
    let order: &[u8] = &[choice >> 2];
    drive(compiled, Kind::Source, ledger, order);
}

/// Opens an instance and makes calls until one breaks it. Whatever the guest does, each call ends within its budget, with
/// an answer that holds or with an error that names a cause, and what the guest put stays within its bounds.
fn drive(compiled: &Compiled, kind: Kind, ledger: Ledger, order: &[u8]) {
    let runtime = runtime().lock().unwrap_or_else(PoisonError::into_inner);
    runtime.block_on(async {
        let started = Instant::now();
        let spec = spec(kind);
        let Ok(mut instance) = Instance::open(compiled, &spec, ledger).await.inspect_err(|(error, _)| check(error))
        else {
            return;
        };
        let first = order.first().map_or(0, |byte| usize::from(*byte));
        for call in 0..8 {
            match one(&mut instance, (first + call) % 8).await {
                Ok(()) => {}
                Err(error) => {
                    check(&error);
                    let spared = error.kind.spares_instance();
                    let next = instance.flush().await;
                    assert!(spared || next.is_err(), "an instance was called after {error}");
                    break;
                }
            }
            assert!(spec.meter.usage().memory_peak <= LIMITS.memory_max_bytes as u64);
            let (offsets, state) = instance.ledger().take_staged();
            let bytes =
                offsets.iter().map(|o| o.partition.len() + o.offset.as_ref().map_or(0, String::len)).sum::<usize>()
                    + state.iter().map(|s| s.key.len() + s.value.as_ref().map_or(0, Bytes::len)).sum::<usize>();
            assert!(bytes <= LIMITS.state_max_bytes, "{bytes} bytes of state");
            assert!(instance.metrics().len() <= 200);
        }
        assert!(started.elapsed() < ESCAPED, "it took {:?}", started.elapsed());
    });
}

async fn one(instance: &mut Instance, call: usize) -> Result<(), CallError> {
    match call {
        0 => {
            let reply = instance.poll(10, 1000, Duration::ZERO).await?;
            if let Some(batch) = reply.output {
                assert!(!batch.is_empty());
                super::frame(batch.bytes());
            }
        }
        1 => {
            let outcomes = instance.write(&input()).await?;
            assert!(outcomes.resolved(INPUTS as usize) <= INPUTS as usize);
        }
        2 => {
            let reply = instance.transform(&input(), StatePlace::Task).await?;
            if let Some(batch) = reply.output {
                super::frame(batch.bytes());
                assert!(batch.frame().records().all(|record| record.input.is_some_and(|input| input < INPUTS)));
            }
        }
        3 => instance.flush().await?,
        4 => drop(instance.task_configs(4).await?),
        5 => {
            let partition = AssignedPartition { topic: "in".to_owned(), partition: 0, offset: None };
            drop(instance.assigned(vec![partition]).await?);
        }
        6 => instance.committed(1).await?,
        _ => instance.close(CloseReason::Stop).await?,
    }
    Ok(())
}

/// An error names a cause, and none that only the host could be at fault for.
fn check(error: &CallError) {
    assert!(error.to_string().starts_with(&format!("plugin {NAME} {VERSION}, connector fuzz, task 0: ")), "{error}");
    assert!(error.to_string().len() < 64 << 10, "an error of {} bytes", error.to_string().len());
    if let CallErrorKind::TimedOut(limit) = error.kind {
        assert_eq!(limit, LIMITS.call_timeout);
    }
}

fn input() -> Batch {
    static INPUT: OnceLock<Option<Batch>> = OnceLock::new();
    let batch = INPUT.get_or_init(|| {
        let mut frame = FrameBuilder::new();
        let place = frame.topic_partition(Some("in"), Some(0));
        for n in 0..INPUTS {
            frame.record(Some(b"key"), Some(b"value")).offset(n.into()).topic_partition(place).header("h", Some(b"v"));
        }
        Batch::build(&frame).ok()
    });
    let Some(batch) = batch else { unreachable!("the input is a frame") };
    batch.clone()
}

fn spec(kind: Kind) -> OpenSpec {
    let identity =
        Identity { plugin: NAME.to_owned(), version: VERSION.to_owned(), connector: "fuzz".to_owned(), task: 0 };
    let open = Open {
        config: serde_json::json!({"greeting": "hello"}),
        kind,
        connector: "fuzz".to_owned(),
        task: 0,
        tasks: 1,
        abi_minor: names::ABI_MINOR,
        features: Vec::new(),
    };
    let (identity, log) = (Arc::new(identity), LogQuota::new(Instant::now()));
    OpenSpec { identity, open, limits: LIMITS, grants: Grants::default(), log, meter: Arc::default() }
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let Some(engine) = ENGINE.get_or_init(|| Engine::new().ok()) else { unreachable!("an engine starts here") };
    engine
}

fn runtime() -> &'static Mutex<Runtime> {
    static RUNTIME: OnceLock<Option<Mutex<Runtime>>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Builder::new_current_thread().enable_all().build().ok().map(Mutex::new));
    let Some(runtime) = runtime else { unreachable!("a runtime starts here") };
    runtime
}

/// The module whose imports and exports every made-up module has.
fn shape() -> &'static [u8] {
    static SHAPE: OnceLock<Vec<u8>> = OnceLock::new();
    SHAPE.get_or_init(|| {
        let guest = Guest::new().with(names::CHECK, "(i64.const 0)").with(names::TASK_CONFIGS, "(i64.const 0)");
        let guest = guest.with(names::COMMITTED, "(i64.const 0)").with(names::ASSIGNED, "(i64.const 0)");
        wat::parse_str(guest.text()).unwrap_or_default()
    })
}

fn manifest() -> &'static Manifest {
    static MANIFEST: OnceLock<Option<Manifest>> = OnceLock::new();
    let manifest = MANIFEST.get_or_init(|| {
        let json = serde_json::json!({
            "name": NAME, "version": VERSION, "kinds": ["source", "sink", "transform"], "abi": names::ABI_MAJOR,
        });
        Manifest::from_json(json.to_string().as_bytes()).ok()
    });
    let Some(manifest) = manifest else { unreachable!("the manifest is one") };
    manifest
}
