//! One test for each way in which a guest can misbehave, at the level of one instance: what the error says, what is left
//! of the guest's work, and that nobody else notices.

mod frames;
mod grants;
mod host_functions;
mod limits;
mod results;
mod starts;
mod traps;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sandbar::batch::Batch;
use sandbar::broker::StatePlace;
use sandbar::plugins::inspect;
use sandbar::sandbox::{CallError, Compiled, Engine, Grants, Identity, Instance, Ledger, Limits, LogQuota, OpenSpec};
use sandbar_abi::manifest::Kind;
use sandbar_abi::message::Open;
use sandbar_abi::status::CloseReason;
use sandbar_abi::{FrameBuilder, names};
use sandbar_tests::wat::{Guest, NAME, VERSION};

/// What every message begins with.
pub(crate) const WHO: &str = "plugin wat 1.2.3, connector orders, task 0";

/// A budget that nothing reaches by accident, and small enough for a test to reach on purpose.
pub(crate) const LIMITS: Limits = Limits {
    fuel_per_call: 5_000_000,
    call_timeout: Duration::from_secs(10),
    memory_max_bytes: 1 << 20,
    state_max_bytes: 10_000,
};

/// The engine that all tests share, so that what one guest does could be seen by the others.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().expect("an engine"))
}

/// Compiles a guest that passes the gate: what is wrong with it is to be seen only when it runs.
pub(crate) fn compile(guest: &Guest) -> Result<Compiled> {
    let wasm = guest.build()?;
    inspect(&wasm).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    Ok(Compiled::new(engine(), &wasm, None)?)
}

pub(crate) fn spec(limits: Limits, grants: Grants) -> OpenSpec {
    let (plugin, version) = (NAME.to_owned(), VERSION.to_owned());
    let connector = "orders".to_owned();
    let open = Open {
        config: serde_json::json!({"greeting": "hello", "number": 7}),
        kind: Kind::Source,
        connector: connector.clone(),
        task: 0,
        tasks: 1,
        abi_minor: names::ABI_MINOR,
        features: Vec::new(),
    };
    let identity = Arc::new(Identity { plugin, version, connector, task: 0 });
    OpenSpec { identity, open, limits, grants, log: LogQuota::new(Instant::now()) }
}

/// Opens an instance that is granted nothing.
pub(crate) async fn open(guest: &Guest) -> Result<Instance, CallError> {
    open_with(guest, LIMITS, Grants::default()).await
}

/// Opens an instance.
pub(crate) async fn open_with(guest: &Guest, limits: Limits, grants: Grants) -> Result<Instance, CallError> {
    let compiled = compile(guest).expect("a guest");
    let ledger = Ledger::new("", limits.state_max_bytes);
    Instance::open(&compiled, &spec(limits, grants), ledger).await.map_err(|(error, _)| error)
}

/// Grants one directory.
pub(crate) fn grant(read: &[PathBuf], write: &[PathBuf]) -> Grants {
    Grants { read: read.to_vec(), write: write.to_vec(), ..Grants::default() }
}

/// Records of partition 0 of the topic `in`.
pub(crate) fn input(records: usize) -> Batch {
    let mut frame = FrameBuilder::new();
    let place = frame.topic_partition(Some("in"), Some(0));
    for n in 0..records {
        let value = n.to_string();
        let offset = i64::try_from(n).expect("a small number");
        frame.record(Some(b"key"), Some(value.as_bytes())).offset(offset).topic_partition(place);
    }
    Batch::build(&frame).expect("a small batch")
}

/// A call that a task makes while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Poll,
    Write,
    Transform,
    Flush,
    Committed,
    Check,
    TaskConfigs,
    Assigned,
    Revoked,
    Close,
}

impl Call {
    pub(crate) const ALL: [Self; 10] = [
        Self::Poll,
        Self::Write,
        Self::Transform,
        Self::Flush,
        Self::Committed,
        Self::Check,
        Self::TaskConfigs,
        Self::Assigned,
        Self::Revoked,
        Self::Close,
    ];

    /// The export.
    pub(crate) fn export(self) -> &'static str {
        match self {
            Self::Poll => names::POLL,
            Self::Write => names::WRITE,
            Self::Transform => names::TRANSFORM,
            Self::Flush => names::FLUSH,
            Self::Committed => names::COMMITTED,
            Self::Check => names::CHECK,
            Self::TaskConfigs => names::TASK_CONFIGS,
            Self::Assigned => names::ASSIGNED,
            Self::Revoked => names::REVOKED,
            Self::Close => names::CLOSE,
        }
    }

    /// The call, as messages name it.
    pub(crate) fn name(self) -> &'static str {
        self.export().trim_start_matches("sandbar_")
    }

    /// Whether what the call puts is kept when it succeeds.
    fn keeps(self) -> bool {
        !matches!(self, Self::Check | Self::TaskConfigs | Self::Close)
    }

    pub(crate) async fn make(self, instance: &mut Instance) -> Result<(), CallError> {
        match self {
            Self::Poll => instance.poll(10, 1000, Duration::ZERO).await.map(drop),
            Self::Write => instance.write(&input(3)).await.map(drop),
            Self::Transform => instance.transform(&input(3), StatePlace::Task).await.map(drop),
            Self::Flush => instance.flush().await,
            Self::Committed => instance.committed(1).await,
            Self::Check => instance.check().await,
            Self::TaskConfigs => instance.task_configs(3).await.map(drop),
            Self::Assigned => instance.assigned(Vec::new()).await.map(drop),
            Self::Revoked => instance.revoked(Vec::new()).await,
            Self::Close => instance.close(CloseReason::Stop).await,
        }
    }
}

/// Makes a call twice, of which the second goes wrong, and checks what has to hold of every failure: the words, what is
/// kept of the guest's work, and that a neighbour on the same engine does not notice.
pub(crate) async fn second_call_fails(guest: Guest, call: Call, cause: &str) -> Result<CallError> {
    second_call_fails_within(LIMITS, guest, call, cause).await
}

/// The same, with another budget.
pub(crate) async fn second_call_fails_within(
    limits: Limits,
    guest: Guest,
    call: Call,
    cause: &str,
) -> Result<CallError> {
    let mut neighbour = open(&Guest::new().with(call.export(), "(drop (call $begin)) (i64.const 0)")).await?;
    call.make(&mut neighbour).await?;

    let mut instance = open_with(&guest, limits, Grants::default()).await?;
    call.make(&mut instance).await.context("the first call")?;
    let error = call.make(&mut instance).await.err().context("the second call must fail")?;
    ensure!(error.to_string() == format!("{WHO}: {}: {cause}", call.name()), "{error}");

    let mut ledger = instance.into_ledger();
    let (offsets, state) = ledger.take_staged();
    let state: Vec<_> = state.iter().map(|change| (&change.key[..], change.value.as_deref())).collect();
    let kept: &[(&[u8], Option<&[u8]>)] = if call.keeps() { &[(b"1", Some(b"1"))] } else { &[] };
    ensure!(offsets.is_empty() && state == kept, "left {offsets:?} and {state:?}");

    call.make(&mut neighbour).await.context("the neighbour")?;
    Ok(error)
}
