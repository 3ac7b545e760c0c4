//! This worker as a member of its worker group: joins by Kafka's own group protocol, and passes on which slots it is dealt.
//!
//! The slots are partitions of a topic that nobody writes to. Membership is static: a worker that is killed and comes back
//! within the session time-out finds its slots waiting, and a restart moves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, warn};

use super::placement::{Dealt, SLOTS};
use super::supervisor::Event;
use crate::broker::{
    BatchLimits, Broker, BrokerError, BrokerErrorKind, Consumed, Input, ReadFrom, ReadSpec, SLOTS_TOPIC, Session,
    SessionSpec, TopicPartition, TopicSettings, Topics,
};
use crate::task::Backoff;

/// How long one wait for news may take.
const WAIT: Duration = Duration::from_secs(5);
/// Nobody writes to the topic.
const LIMITS: BatchLimits = BatchLimits { records: 1, bytes: 1 };
/// How long a worker may be silent before its slots are dealt out to others.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it says that it lives, and so how soon it learns that slots are dealt out anew.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest that others wait for its tasks to end when their slots go elsewhere.
const MAX_PATIENCE: Duration = Duration::from_secs(600);
/// The first and the longest pause before it tries to join again.
const REJOIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// The pause after another one joined under its name: two that keep taking each other's place help nobody.
const TAKEN_OVER: Duration = Duration::from_secs(600);

/// A worker of a group.
pub(super) struct Member {
    pub(super) broker: Arc<dyn Broker>,
    /// The worker group.
    pub(super) group: String,
    /// The worker.
    pub(super) worker: String,
    /// How long its tasks may take to end when their slots go elsewhere.
    pub(super) patience: Duration,
    /// Of the topic of slots.
    pub(super) replication_factor: i32,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Member {
    /// Is a member of the group, as far as the broker lets it, until it is dropped.
    pub(super) async fn run(self) {
        let mut rejoin = Backoff::new(REJOIN.0, REJOIN.1);
        let (group, worker) = (self.group.as_str(), self.worker.as_str());
        loop {
            let error = match self.open().await {
                Ok(session) => {
                    debug!(%group, %worker, "joining the worker group");
                    self.follow(session, &mut rejoin).await
                }
                Err(error) => error,
            };
            let pause = if error.kind == BrokerErrorKind::Fenced {
                error!(%group, %worker, "another host joined the worker group under this worker's name, this one runs no task: {error}; give each host a data folder of its own");
                TAKEN_OVER
            } else {
                if rejoin.tries() == 0 {
                    warn!(%group, %worker, %error, "not in the worker group, no task runs until it is");
                }
                rejoin.next_delay()
            };
            self.tell(Dealt::Out(error.to_string()));
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens the session, and makes sure that there is a partition for each slot: somebody else may have made the topic.
    async fn open(&self) -> Result<Box<dyn Session>, BrokerError> {
        let session = self.broker.session(self.spec()).await?;
        let last = ReadSpec { topic: SLOTS_TOPIC.to_owned(), partitions: Some(vec![SLOTS - 1]), from: ReadFrom::End };
        match self.broker.reader(last).await {
            Ok(_) => Ok(session),
            Err(error) => {
                // It has done nothing yet.
                let _ = session.close().await;
                if error.kind != BrokerErrorKind::Fatal {
                    return Err(error);
                }
                let message = format!("{}; it needs {SLOTS} partitions: delete it, and it is made anew", error.message);
                Err(BrokerError { message, ..error })
            }
        }
    }

    /// Passes on what the group says until the session fails.
    async fn follow(&self, mut session: Box<dyn Session>, rejoin: &mut Backoff) -> BrokerError {
        let mut again = Backoff::new(REJOIN.0, REJOIN.1);
        let error = loop {
            let answered = match session.consume(LIMITS, WAIT).await {
                Ok(news) => self.answer(&mut *session, news).await,
                Err(error) if error.kind == BrokerErrorKind::Retriable => {
                    tokio::time::sleep(again.next_delay()).await;
                    continue;
                }
                Err(error) => Err(error),
            };
            match answered {
                Ok(()) => {
                    again.reset();
                    if rejoin.tries() > 0 {
                        rejoin.reset();
                        self.tell(Dealt::Taken(Vec::new()));
                    }
                }
                Err(error) => break error,
            }
        };
        // Whatever becomes of it, another one is opened.
        let _ = session.close().await;
        error
    }

    async fn answer(&self, session: &mut dyn Session, news: Consumed) -> Result<(), BrokerError> {
        match news {
            Consumed::Idle | Consumed::Joining | Consumed::Batches(_) => {}
            Consumed::Assigned(partitions) => {
                let slots = slots(&partitions);
                session.accept(partitions.into_iter().map(|partition| (partition, None)).collect()).await?;
                self.tell(Dealt::Taken(slots));
            }
            Consumed::Revoked(partitions) => {
                let (gone, is_gone) = oneshot::channel();
                self.tell(Dealt::Leaving { slots: slots(&partitions), gone: Some(gone) });
                // Without an answer nobody is left to run anything.
                let _ = is_gone.await;
                session.release(partitions).await?;
            }
            Consumed::Lost(partitions) => {
                warn!(group = %self.group, worker = %self.worker, slots = partitions.len(), "the worker group went on without this worker");
                self.tell(Dealt::Leaving { slots: slots(&partitions), gone: None });
                session.release(partitions).await?;
            }
        }
        Ok(())
    }

    fn tell(&self, dealt: Dealt) {
        // The supervisor is gone only when the host stops.
        let _ = self.events.send(Event::Dealt(dealt));
    }

    fn spec(&self) -> SessionSpec {
        let text = |time: Duration| time.as_millis().to_string();
        let overrides = [
            ("group.instance.id", self.worker.clone()),
            // With the newer protocol the brokers decide how long a member may be silent, which is 45 seconds.
            ("group.protocol", "classic".to_owned()),
            ("session.timeout.ms", text(SESSION_TIMEOUT)),
            ("heartbeat.interval.ms", text(HEARTBEAT)),
            // The group waits so long for a worker before it goes on without it.
            ("max.poll.interval.ms", text(self.patience.min(MAX_PATIENCE) + SESSION_TIMEOUT)),
        ];
        SessionSpec {
            worker_group: self.group.clone(),
            connector: format!("worker-{}", self.worker),
            task: 0,
            input: Some(Input {
                group: format!("sandbar-workers-{}", self.group),
                topics: Topics::Names(vec![SLOTS_TOPIC.to_owned()]),
            }),
            topic_settings: TopicSettings {
                partitions: SLOTS,
                replication_factor: self.replication_factor,
                ..TopicSettings::default()
            },
            consumer_overrides: overrides.map(|(key, value)| (key.to_owned(), value)).into(),
            producer_overrides: BTreeMap::new(),
            transaction_timeout: SESSION_TIMEOUT,
        }
    }
}

fn slots(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|place| place.partition).collect()
}
