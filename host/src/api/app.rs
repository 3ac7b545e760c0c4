//! What answers need: the running host, its broker, and what its operator configured.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::{OnceCell, watch};

use super::asking::Elsewhere;
use super::error::ApiError;
use super::lags::Lags;
use super::loggers::Loggers;
use super::logs::Logs;
use crate::broker::Broker;
use crate::config::WorkerConfig;
use crate::control::{ConnectorStatus, Handle, Status};
use crate::storage::{StatusTopic, Statuses};
use crate::telemetry::Tracer;

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    parts: Parts,
    cluster_id: OnceCell<String>,
    elsewhere: Elsewhere,
}

/// What an [`App`] is made of.
pub struct Parts {
    /// The running host.
    pub handle: Handle,
    /// Its broker.
    pub broker: Arc<dyn Broker>,
    /// Its configuration.
    pub worker: Arc<WorkerConfig>,
    /// What this worker is called to clients: where it answers.
    pub worker_id: String,
    /// What tasks and plugins logged lately.
    pub logs: Logs,
    /// How much is logged.
    pub loggers: Loggers,
    /// How far connectors are behind.
    pub lags: Lags,
    /// What other workers run.
    pub statuses: Statuses,
    /// Where this worker says what it runs; nothing: it is alone.
    pub status_topic: Option<StatusTopic>,
    /// Counts spans, where there are any.
    pub tracer: Tracer,
    /// Whether clients come by TLS.
    pub is_secure: bool,
}

impl App {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, cluster_id: OnceCell::new(), elsewhere: Elsewhere::default() }))
    }

    /// Which cluster it works with, once that is known. Many who ask at once ask it once.
    pub(super) async fn cluster_id(&self) -> Option<String> {
        let ask = || self.broker.administration().cluster_id();
        self.0.cluster_id.get_or_try_init(ask).await.ok().cloned()
    }

    /// What the other workers run, as they told it last.
    pub(super) fn elsewhere(&self) -> &Elsewhere {
        &self.0.elsewhere
    }

    /// What runs now.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.handle.status()
    }

    /// A connector, as it is now.
    pub(super) fn connector(&self, name: &str) -> Option<ConnectorStatus> {
        self.status().borrow().connectors.iter().find(|connector| connector.name == name).cloned()
    }

    /// The same, or the answer that there is none.
    pub(super) fn known(&self, name: &str) -> Result<ConnectorStatus, ApiError> {
        self.connector(name).ok_or_else(|| ApiError::not_found(format!("Connector {name} not found")))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
