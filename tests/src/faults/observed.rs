//! A broker that tells of every step a task makes, before and after it, and otherwise is the one behind it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sandbar::broker::{
    Administration, BatchLimits, Broker, BrokerError, Commit, Consumed, Created, Output, ReadSpec, Reader, Session,
    SessionSpec, StateScope, TopicInfo, TopicPartition, TopicSettings,
};

use super::{Moment, Side, Step};

/// Who is told. Called where the step is made, so it may end the process there.
pub trait Watch: Send + Sync + 'static {
    /// A task of this connector is before or after a step.
    fn at(&self, connector: &str, moment: Moment);

    /// A transaction of this connector was committed, with so many records of its own making.
    fn committed(&self, connector: &str, records: u64);
}

/// A broker whose steps are told of.
pub struct Observed<W> {
    inner: Arc<dyn Broker>,
    watch: Arc<W>,
}

impl<W: Watch> Observed<W> {
    /// Tells `watch` of the steps of tasks on `inner`.
    pub fn new(inner: Arc<dyn Broker>, watch: Arc<W>) -> Self {
        Self { inner, watch }
    }
}

/// Tells of a step on both sides of it.
macro_rules! step {
    ($watch:expr, $connector:expr, $step:ident, $call:expr) => {{
        $watch.at($connector, Moment { step: Step::$step, side: Side::Before });
        let outcome = $call.await;
        $watch.at($connector, Moment { step: Step::$step, side: Side::After });
        outcome
    }};
}

#[async_trait]
impl<W: Watch> Broker for Observed<W> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn administration(&self) -> &dyn Administration {
        self.inner.administration()
    }

    async fn session(&self, spec: SessionSpec) -> Result<Box<dyn Session>, BrokerError> {
        let connector = spec.connector.clone();
        let inner = step!(self.watch, &connector, Session, self.inner.session(spec))?;
        Ok(Box::new(ObservedSession { inner, watch: Arc::clone(&self.watch), connector, staged: 0 }))
    }

    async fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<Created, BrokerError> {
        step!(self.watch, "", CreateTopic, self.inner.create_topic(name, settings))
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

struct ObservedSession<W> {
    inner: Box<dyn Session>,
    watch: Arc<W>,
    connector: String,
    /// Records since the last commit or abort.
    staged: u64,
}

#[async_trait]
impl<W: Watch> Session for ObservedSession<W> {
    async fn consume(&mut self, limits: BatchLimits, wait: Duration) -> Result<Consumed, BrokerError> {
        step!(self.watch, &self.connector, Consume, self.inner.consume(limits, wait))
    }

    async fn stand_by(&mut self, wait: Duration) -> Result<Consumed, BrokerError> {
        step!(self.watch, &self.connector, StandBy, self.inner.stand_by(wait))
    }

    async fn accept(&mut self, partitions: Vec<(TopicPartition, Option<i64>)>) -> Result<(), BrokerError> {
        step!(self.watch, &self.connector, Accept, self.inner.accept(partitions))
    }

    async fn release(&mut self, partitions: Vec<TopicPartition>) -> Result<(), BrokerError> {
        step!(self.watch, &self.connector, Release, self.inner.release(partitions))
    }

    async fn stage(&mut self, output: Output) -> Result<(), BrokerError> {
        let records = output.batch.len() as u64;
        step!(self.watch, &self.connector, Stage, self.inner.stage(output))?;
        self.staged += records;
        Ok(())
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), BrokerError> {
        step!(self.watch, &self.connector, Commit, self.inner.commit(commit))?;
        self.watch.committed(&self.connector, std::mem::take(&mut self.staged));
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BrokerError> {
        self.staged = 0;
        step!(self.watch, &self.connector, Abort, self.inner.abort())
    }

    async fn load_offsets(&mut self) -> Result<Vec<(String, String)>, BrokerError> {
        step!(self.watch, &self.connector, LoadOffsets, self.inner.load_offsets())
    }

    async fn load_state(&mut self, scope: &StateScope) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
        step!(self.watch, &self.connector, LoadState, self.inner.load_state(scope))
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        let Self { inner, watch, connector, .. } = *self;
        step!(watch, &connector, Close, inner.close())
    }
}
