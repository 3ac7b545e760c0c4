//! One plugin of a task, with at most one live instance: opened when it is needed, thrown away when it misbehaves.

use std::sync::Arc;

use sandbar_abi::manifest::Kind;
use sandbar_abi::message::Open;
use sandbar_abi::names::ABI_MINOR;
use sandbar_abi::status::CloseReason;
use tokio::time::Instant;
use tracing::{info, warn};

use super::TaskError;
use super::context::Context;
use super::pace::Starts;
use super::plan::{Plan, StagePlan};
use super::progress::Progress;
use crate::broker::StatePlace;
use crate::sandbox::{CallError, CallErrorKind, Compiled, Identity, Instance, Ledger, LogQuota, OpenSpec, Taken};

/// See the module.
pub(super) struct Stage {
    pub(super) alias: Arc<str>,
    compiled: Compiled,
    spec: OpenSpec,
    guest: Guest,
    progress: Arc<Progress>,
    /// How often it may be told that an instance is thrown away: a plugin may die as often as it is called.
    discards: LogQuota,
    starts: Starts,
}

/// The ledger is wherever the guest is, or waits for the next one.
enum Guest {
    Live(Box<Instance>),
    Gone(Box<Ledger>),
    /// Only while an instance is being opened.
    Moving,
}

impl Stage {
    pub(super) fn new(plan: &Plan, stage: &StagePlan, kind: Kind, progress: &Arc<Progress>) -> Self {
        let identity = Identity {
            plugin: stage.plugin.clone(),
            version: stage.version.clone(),
            connector: plan.connector.clone(),
            task: plan.task,
        };
        let open = Open {
            config: stage.config.clone(),
            kind,
            connector: plan.connector.clone(),
            task: plan.task,
            tasks: plan.tasks,
            abi_minor: ABI_MINOR,
            features: Vec::new(),
        };
        Self {
            alias: Arc::clone(&stage.alias),
            compiled: stage.compiled.clone(),
            spec: OpenSpec {
                identity: Arc::new(identity),
                open,
                limits: stage.limits.clone(),
                grants: stage.grants.clone(),
                log: LogQuota::new(Instant::now().into_std()),
                meter: progress.meter(&stage.alias),
            },
            guest: Guest::Gone(Box::new(Ledger::new(&stage.alias, stage.limits.state_max_bytes))),
            progress: Arc::clone(progress),
            discards: LogQuota::new(Instant::now().into_std()),
            starts: Starts::new(Instant::now()),
        }
    }

    /// The plugin's name.
    pub(super) fn plugin(&self) -> &str {
        &self.spec.identity.plugin
    }

    /// The plugin's version.
    pub(super) fn version(&self) -> &str {
        &self.spec.identity.version
    }

    /// How much fuel its instances have used so far.
    pub(super) fn fuel(&self) -> u64 {
        self.spec.meter.usage().fuel
    }

    /// The live instance, opened if there is none.
    pub(super) async fn instance(&mut self) -> Result<&mut Instance, CallError> {
        if let Guest::Gone(_) = self.guest {
            let wait = self.starts.take(Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        if let Guest::Gone(_) = self.guest
            && let Guest::Gone(ledger) = std::mem::replace(&mut self.guest, Guest::Moving)
        {
            self.progress.add_instance();
            match Instance::open(&self.compiled, &self.spec, *ledger).await {
                Ok(instance) => self.guest = Guest::Live(Box::new(instance)),
                Err((error, ledger)) => {
                    self.guest = Guest::Gone(Box::new(ledger));
                    return Err(error);
                }
            }
        }
        let identity = &self.spec.identity;
        match &mut self.guest {
            Guest::Live(instance) => Ok(instance),
            // An opening that was cancelled half-way took the ledger with it; the task it belonged to is gone too.
            Guest::Gone(_) | Guest::Moving => Err(CallError {
                identity: Arc::clone(identity),
                call: "open",
                kind: CallErrorKind::Start("opening it was cancelled".to_owned()),
                trace: None,
            }),
        }
    }

    /// What the stage has put, wherever it is.
    pub(super) fn ledger(&mut self) -> Option<&mut Ledger> {
        match &mut self.guest {
            Guest::Live(instance) => Some(instance.ledger()),
            Guest::Gone(ledger) => Some(ledger),
            Guest::Moving => None,
        }
    }

    /// Loads the committed state of a place into the ledger.
    pub(super) async fn load_state(&mut self, context: &mut Context, place: StatePlace) -> Result<(), TaskError> {
        let Some(ledger) = self.ledger() else { return Ok(()) };
        let pairs = context.session.load_state(&ledger.scope(place.clone())).await?;
        ledger.load_state(place, pairs);
        Ok(())
    }

    /// Never calls the live instance again. What its calls put that succeeded stays.
    pub(super) fn discard(&mut self, why: &CallError) {
        self.progress.set_backtrace(why.trace.clone());
        match self.discards.take(Instant::now().into_std()) {
            Taken::Yes { dropped } => {
                let dropped = (dropped > 0).then_some(dropped);
                let Identity { connector, task, .. } = &*self.spec.identity;
                info!(%connector, task, stage = %self.alias, error = %why, trace = why.trace, dropped, "the instance is thrown away");
            }
            Taken::FirstNo => {
                warn!(stage = %self.alias, error = %why, "instances are thrown away too often to tell of each");
            }
            Taken::No => {}
        }
        if let Guest::Live(instance) = std::mem::replace(&mut self.guest, Guest::Moving) {
            self.guest = Guest::Gone(Box::new(instance.into_ledger()));
        }
    }

    /// Closes the live instance, if there is one. A guest that fails to close is gone all the same.
    pub(super) async fn close(&mut self, reason: CloseReason) {
        if let Guest::Live(instance) = &mut self.guest {
            if !instance.metrics().is_empty() {
                info!(stage = %self.alias, metrics = ?instance.metrics(), "plugin metrics at close");
            }
            if let Err(error) = instance.close(reason).await {
                warn!(%error, "the plugin did not close");
            }
        }
    }
}
