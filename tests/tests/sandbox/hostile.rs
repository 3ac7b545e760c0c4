//! Every hostile guest meets its fate, and is stopped at the gate, at its start, or in the call that goes wrong, while a
//! neighbour on the same engine passes records all the while.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sandbar::batch::Batch;
use sandbar::broker::StatePlace;
use sandbar::plugins::inspect;
use sandbar::sandbox::{Compiled, Grants, Instance, Ledger, Limits};
use sandbar_abi::FrameBuilder;
use sandbar_tests::hostile::{self, Fate, Hostile};
use sandbar_tests::wait::{Seen, until};

use crate::{Call, LIMITS, WHO, engine, open, spec};

/// How long the neighbour may be without a call that succeeds, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn there_are_many_and_no_two_have_a_name() -> Result<()> {
    let all = hostile::all()?;
    let names: BTreeSet<&str> = all.iter().map(|hostile| hostile.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "a name is there twice");
    assert!(all.len() >= 60, "{} hostile guests", all.len());
    let of = |is: fn(&Fate) -> bool| all.iter().filter(|hostile| is(&hostile.fate)).count();
    assert!(of(|fate| matches!(fate, Fate::Refused(_))) >= 60);
    assert!(of(|fate| matches!(fate, Fate::DoesNotStart { .. })) >= 20);
    assert!(of(|fate| matches!(fate, Fate::Fails { .. })) >= 60);
    assert!(of(|fate| matches!(fate, Fate::Lives)) >= 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_meets_its_fate_and_the_neighbour_does_not_notice() -> Result<()> {
    let neighbour = Neighbour::start().await?;
    let mut wrong = Vec::new();
    for hostile in hostile::all()? {
        if let Err(error) = meets_its_fate(&hostile).await {
            wrong.push(format!("{}: {error:#}", hostile.name));
        }
        neighbour.goes_on().await.with_context(|| format!("beside {}", hostile.name))?;
    }
    neighbour.stop().await?;
    ensure!(wrong.is_empty(), "{} of them end otherwise:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

fn limits(hostile: &Hostile) -> Limits {
    if hostile.by_the_clock {
        return Limits { fuel_per_call: u64::MAX / 2, call_timeout: Duration::from_millis(60), ..LIMITS };
    }
    LIMITS
}

async fn meets_its_fate(hostile: &Hostile) -> Result<()> {
    let judged = inspect(&hostile.wasm);
    if let Fate::Refused(because) = &hostile.fate {
        let errors = judged.err().context("the gate lets it through")?;
        let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
        ensure!(said.iter().any(|error| error.contains(because)), "{said:?} do not say {because:?}");
        return Ok(());
    }
    judged.map_err(|errors| anyhow::anyhow!("the gate refuses it: {errors:?}"))?;
    let compiled = Compiled::new(engine(), &hostile.wasm, None);
    if let Fate::DoesNotCompile(because) = &hostile.fate {
        let error = compiled.err().context("it compiles")?.to_string();
        ensure!(error.contains(because), "{error:?} does not say {because:?}");
        return Ok(());
    }
    let compiled = compiled?;
    match &hostile.fate {
        Fate::Refused(_) | Fate::DoesNotCompile(_) => {}
        Fate::DoesNotStart { call, cause } => {
            let error = start(&compiled, hostile).await.err().context("it starts")?;
            ensure!(error.starts_with(&format!("{WHO}: {call}: ")) && error.contains(cause), "{error:?}");
        }
        Fate::Fails { call, causes } => {
            for (way, cause) in causes.iter().enumerate() {
                fails(&compiled, hostile, call, way + 1, cause).await.with_context(|| format!("way {}", way + 1))?;
            }
        }
        Fate::Lives => {
            let mut instance = start(&compiled, hostile).await.map_err(anyhow::Error::msg)?;
            for call in Call::ALL {
                call.make(&mut instance).await.with_context(|| format!("{call:?}"))?;
            }
        }
    }
    Ok(())
}

async fn start(compiled: &Compiled, hostile: &Hostile) -> Result<Instance, String> {
    let limits = limits(hostile);
    let ledger = Ledger::new("", limits.state_max_bytes);
    Instance::open(compiled, &spec(limits, Grants::default()), ledger).await.map_err(|(error, _)| error.to_string())
}

/// The call fails so, nothing is left of it, and the instance is never called again.
async fn fails(compiled: &Compiled, hostile: &Hostile, call: &str, way: usize, cause: &str) -> Result<()> {
    let mut instance = start(compiled, hostile).await.map_err(anyhow::Error::msg)?;
    let call = Call::ALL.into_iter().find(|known| known.name() == call).context("there is no such call")?;
    let made = match call {
        Call::Poll => instance.poll(way, 1000, Duration::ZERO).await.map(drop),
        other => other.make(&mut instance).await,
    };
    let error = made.err().context("it succeeds")?.to_string();
    ensure!(
        error.starts_with(&format!("{WHO}: {}: ", call.name())) && error.contains(cause),
        "{error:?}, not {cause:?}"
    );
    ensure!(Call::Flush.make(&mut instance).await.is_err(), "it is called again");
    let (offsets, state) = instance.into_ledger().take_staged();
    ensure!(offsets.is_empty() && state.is_empty(), "it leaves {offsets:?} and {state:?}");
    Ok(())
}

/// A transform that passes numbered records on, call after call, and looks at each that comes back.
struct Neighbour {
    calls: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Neighbour {
    async fn start() -> Result<Self> {
        let mut instance = open(&hostile::neighbour()).await?;
        let (calls, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let number = counted.load(Ordering::Relaxed);
                pass(&mut instance, number).await.with_context(|| format!("call {number}"))?;
                counted.store(number + 1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            Ok(())
        });
        Ok(Self { calls, stop, task })
    }

    /// Waits until it has made one more call from begin to end.
    async fn goes_on(&self) -> Result<()> {
        let before = self.calls.load(Ordering::Relaxed);
        until("the neighbour goes on", PATIENCE, async || {
            ensure!(!self.task.is_finished(), "it has ended");
            let now = self.calls.load(Ordering::Relaxed);
            Ok(Seen::when(now > before + 1, || format!("{now} calls")))
        })
        .await
    }

    async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// Three records go in, and the same three come out.
async fn pass(instance: &mut Instance, call: u64) -> Result<()> {
    let values: Vec<String> = (0..3).map(|n| format!("{call}.{n}")).collect();
    let mut frame = FrameBuilder::new();
    let place = frame.topic_partition(Some("in"), Some(0));
    for value in &values {
        frame.record(None, Some(value.as_bytes())).topic_partition(place);
    }
    let reply = instance.transform(&Batch::build(&frame)?, StatePlace::Task).await?;
    let Some(output) = reply.output else { bail!("nothing comes out") };
    let frame = output.frame();
    let passed: Vec<_> = frame.records().map(|record| record.value.unwrap_or_default()).collect();
    ensure!(values.iter().map(String::as_bytes).eq(passed.iter().copied()), "{passed:?} for {values:?}");
    Ok(())
}
