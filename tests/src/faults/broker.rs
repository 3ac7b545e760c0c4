//! A broker between a host and the real one, at which calls are late, fail, lose their answers, or are the last of their
//! host. What it answers keeps to the port, so whatever a host loses behind it is the host's own fault.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use sandbar::broker::{
    Administration, Broker, BrokerError, BrokerErrorKind, Created, Output, ReadSpec, Reader, Session, SessionSpec,
    TopicInfo, TopicSettings,
};
use tokio::time::sleep;

use super::fates::{Fates, Life};
use super::plan::Fate;
use super::session::{FaultySession, Health};
use super::step::{Side, Step};

/// See the module.
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    caller: Caller,
}

/// Who calls, and what befalls the calls.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) fates: Arc<Fates>,
    pub(super) life: Life,
    pub(super) name: String,
}

/// Makes a call, and once more where that is its fate.
macro_rules! made {
    ($fate:expr, $call:expr) => {
        match $call.await {
            Ok(_) if $fate == Fate::Twice => $call.await,
            once => once,
        }
    };
}
pub(super) use made;

impl FaultyBroker {
    /// The broker of one life of a host.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, fates: Arc<Fates>, life: Life) -> Self {
        Self { inner, caller: Caller { fates, life, name: format!("{}.{}", life.host, life.number) } }
    }
}

impl Caller {
    /// Waits for the turn of a call. Returns what becomes of it, if it is to be made at all.
    pub(super) async fn enter(&self, step: Step) -> Result<Fate, BrokerError> {
        let Some(verdict) = self.fates.decide(step) else { return pending().await };
        sleep(verdict.delay).await;
        match self.fates.now(step, verdict.fate) {
            Fate::Crash(Side::Before) => self.die(step, Side::Before).await,
            Fate::Fail(kind) => Err(self.fail(step, kind, "it was to fail")),
            fate => Ok(fate),
        }
    }

    /// Answers a call that was made.
    pub(super) async fn leave<T>(
        &self,
        step: Step,
        fate: Fate,
        result: Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let fate = if matches!(fate, Fate::Crash(_)) { self.fates.now(step, fate) } else { fate };
        match (fate, result) {
            (Fate::Crash(_), _) => self.die(step, Side::After).await,
            (Fate::LoseAnswer(kind), Ok(_)) => Err(self.fail(step, kind, "its answer got lost")),
            (_, result) => result.inspect_err(|error| self.note(&format!("{step}: {:?}: {error}", error.kind))),
        }
    }

    pub(super) fn note(&self, event: &str) {
        self.fates.note(&format!("{} {event}", self.name));
    }

    fn fail(&self, step: Step, kind: BrokerErrorKind, why: &str) -> BrokerError {
        self.note(&format!("{step}: {kind:?}, {why}"));
        BrokerError::new(kind, step.name(), why)
    }

    async fn die<T>(&self, step: Step, side: Side) -> T {
        self.note(&format!("crashes {side} {step}"));
        self.fates.crash(self.life);
        pending().await
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    fn describe(&self) -> String {
        format!("{}, with faults", self.inner.describe())
    }

    fn administration(&self) -> &dyn Administration {
        self.inner.administration()
    }

    async fn session(&self, spec: SessionSpec) -> Result<Box<dyn Session>, BrokerError> {
        let group = spec.input.as_ref().map(|input| input.group.clone()).unwrap_or_default();
        let caller =
            Caller { name: format!("{} {}-{}", self.caller.name, spec.connector, spec.task), ..self.caller.clone() };
        let fate = caller.enter(Step::Session).await?;
        let opened = self.inner.session(spec).await;
        let inner = caller.leave(Step::Session, fate, opened).await?;
        caller.note("session");
        Ok(Box::new(FaultySession {
            inner,
            caller,
            group,
            health: Health::Good,
            given: BTreeMap::new(),
            held_back: None,
        }))
    }

    async fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<Created, BrokerError> {
        let fate = self.caller.enter(Step::CreateTopic).await?;
        let created = made!(fate, self.inner.create_topic(name, settings));
        self.caller.leave(Step::CreateTopic, fate, created).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        self.inner.topics().await
    }

    async fn reader(&self, spec: ReadSpec) -> Result<Box<dyn Reader>, BrokerError> {
        self.inner.reader(spec).await
    }

    async fn write(&self, output: Output, settings: &TopicSettings) -> Result<(), BrokerError> {
        self.inner.write(output, settings).await
    }
}
