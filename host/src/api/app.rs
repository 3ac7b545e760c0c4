//! What answers need: the running host, its broker, and what its operator configured.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::asking::Elsewhere;
use super::error::ApiError;
use super::lags::Lags;
use super::loggers::Loggers;
use super::logs::Logs;
use crate::broker::{Broker, BrokerError};
use crate::config::WorkerConfig;
use crate::control::sharing::TakenAway;
use crate::control::{ConnectorStatus, Handle, Status};
use crate::storage::{StatusTopic, Statuses};
use crate::telemetry::Tracer;

/// How long the cluster is waited for by whoever asks which one it is: one that is there answers at once.
const CLUSTER_WITHIN: Duration = Duration::from_secs(1);
/// The pause before a cluster that did not answer is asked again: often enough for who watches, and no load.
const CLUSTER_PAUSE: Duration = Duration::from_secs(5);

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    parts: Parts,
    cluster_id: ClusterId,
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
    /// Tells the group of plugins that were taken away; nothing: they are not shared.
    pub taken_away: Option<TakenAway>,
    /// Counts spans, where there are any.
    pub tracer: Tracer,
    /// Whether clients come by TLS.
    pub is_secure: bool,
}

impl App {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, cluster_id: ClusterId::default(), elsewhere: Elsewhere::default() }))
    }

    /// Which cluster it works with, once that is known.
    pub(super) async fn cluster_id(&self) -> Option<String> {
        let broker = Arc::clone(&self.broker);
        let ask = move || {
            let broker = Arc::clone(&broker);
            async move { broker.administration().cluster_id().await }
        };
        self.0.cluster_id.get(ask).await
    }

    /// What the other workers run, as they told it last.
    pub(super) fn elsewhere(&self) -> &Elsewhere {
        &self.0.elsewhere
    }

    /// What runs now.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.handle.status()
    }

    /// A connector, as it is now. One that was deleted is not there any more, although its tasks may still be ending.
    pub(super) fn connector(&self, name: &str) -> Option<ConnectorStatus> {
        self.status().borrow().defined().find(|connector| connector.name == name).cloned()
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

/// Which cluster it is. It is asked beside everything else, from when somebody wants to know it until it has answered:
/// a try takes a thread for as long as the broker is away, and anybody may ask, as often as they like.
#[derive(Default)]
struct ClusterId(OnceLock<watch::Receiver<Asked>>);

/// What is known of the cluster.
#[derive(Clone, PartialEq, Eq)]
enum Asked {
    /// It is being asked for the first time.
    Once,
    /// It does not answer.
    Silent,
    /// Its id.
    Known(String),
}

impl ClusterId {
    /// What is known of it; of many who ask at once none asks the cluster. The first ones wait a moment.
    async fn get<A, F>(&self, ask: A) -> Option<String>
    where
        A: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<String, BrokerError>> + Send + 'static,
    {
        let mut asked = self.0.get_or_init(|| keep_asking(ask)).clone();
        // What is known after that is the answer, whatever it is.
        drop(timeout(CLUSTER_WITHIN, asked.wait_for(|asked| *asked != Asked::Once)).await);
        let known = asked.borrow().clone();
        match known {
            Asked::Known(id) => Some(id),
            Asked::Once | Asked::Silent => None,
        }
    }
}

/// Asks until there is an answer, or nobody is left who would hear it.
fn keep_asking<A, F>(ask: A) -> watch::Receiver<Asked>
where
    A: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<String, BrokerError>> + Send + 'static,
{
    let (told, asked) = watch::channel(Asked::Once);
    tokio::spawn(async move {
        let answered = async {
            loop {
                if let Ok(id) = ask().await {
                    told.send_replace(Asked::Known(id));
                    return;
                }
                told.send_replace(Asked::Silent);
                sleep(CLUSTER_PAUSE).await;
            }
        };
        tokio::select! {
            () = answered => {}
            () = told.closed() => {}
        }
    });
    asked
}

#[cfg(test)]
mod tests {
    //! Which cluster it is costs whoever asks a moment at most, and the host one question at a time.

    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::time::Instant;

    use super::*;

    /// How long it takes to find out that a cluster is away.
    const AWAY: Duration = Duration::from_secs(6);

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_is_away_is_asked_once_however_many_want_to_know() {
        let (cluster, tries) = (ClusterId::default(), Arc::<AtomicUsize>::default());
        let away = || {
            let tries = Arc::clone(&tries);
            move || {
                tries.fetch_add(1, Ordering::Relaxed);
                async {
                    sleep(AWAY).await;
                    Err::<String, _>(BrokerError::retriable("ask", "it is away"))
                }
            }
        };
        let began = Instant::now();
        let found = join_all((0..20).map(|_| cluster.get(away()))).await;
        assert!(found.iter().all(Option::is_none) && began.elapsed() < AWAY, "{:?}", began.elapsed());
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        // Once it is known to be away nobody waits any more.
        sleep(AWAY).await;
        let began = Instant::now();
        assert_eq!((cluster.get(away()).await, began.elapsed()), (None, Duration::ZERO));
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        // Nor does it outlast the host.
        drop(cluster);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&tries), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_comes_back_is_known_and_asked_no_more() {
        let (cluster, tries) = (ClusterId::default(), Arc::<AtomicUsize>::default());
        let second = || {
            let tries = Arc::clone(&tries);
            move || {
                let before = tries.fetch_add(1, Ordering::Relaxed);
                async move {
                    if before > 0 {
                        return Ok("west".to_owned());
                    }
                    sleep(AWAY).await;
                    Err(BrokerError::retriable("ask", "it is away"))
                }
            }
        };
        assert_eq!(cluster.get(second()).await, None);
        for _ in 0..2 {
            sleep(AWAY + CLUSTER_PAUSE).await;
            assert_eq!(cluster.get(second()).await.as_deref(), Some("west"));
            assert_eq!(tries.load(Ordering::Relaxed), 2);
        }
    }
}
