//! Writes the topic: whoever writes has looked at all that was written before, and nobody else writes in between.
//!
//! All workers write under one transactional id. Opening it fences whoever had it; what they wrote is decided by then, so
//! that what is read afterwards is all there is. As long as a commit succeeds nobody else has opened it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex as PlainMutex, PoisonError};
use std::time::Duration;

use sandbar_abi::FrameBuilder;
use thiserror::Error;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::Place;
use super::configs::Configs;
use super::entry::Entry;
use super::follow::{Stored, follow, open, read_whole};
use crate::batch::Batch;
use crate::broker::{Broker, BrokerError, BrokerErrorKind, Commit, Output, Session, SessionSpec};

/// The header that tells a worker its own writes.
pub(super) const WRITE_HEADER: &str = "sandbar.write";
/// In place of a connector's name in the transactional id, with a task that none has.
const WRITER: &str = "sandbar-configs";
const NO_TASK: u32 = u32::MAX;
/// A transaction is open for as long as it takes to commit it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one read waits for what is known to be there.
const READ_WAIT: Duration = Duration::from_millis(100);
/// How long a write may take to come back to this worker.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(30);
/// How often a write is begun again because another worker wrote.
const TRIES: usize = 20;
/// News that may wait to be taken in.
const NEWS: usize = 64;

/// Why nothing was written, or why nobody knows whether it was.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The topic cannot be read or written. Nothing was written.
    #[error("{0}")]
    Unavailable(String),
    /// It is more than one record takes. Nothing was written.
    #[error("this is more than the topic of configurations takes: {0}")]
    TooLarge(String),
    /// It was written.
    #[error("this is kept, but not taken in yet: topic {0} is not read")]
    NotTakenIn(String),
    /// The broker did not say whether it was written.
    #[error("it is not known whether this was kept, look before you try again: {0}")]
    Unknown(String),
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct ConfigStorage {
    inner: Arc<Inner>,
}

struct Inner {
    broker: Arc<dyn Broker>,
    place: Place,
    open: Mutex<Option<Open>>,
    pending: Arc<Pending>,
}

/// The transactional id is ours, and this is what the topic says.
struct Open {
    session: Box<dyn Session>,
    configs: Configs,
}

/// Writes of this worker that have not come back to it yet.
#[derive(Default)]
pub(super) struct Pending(PlainMutex<HashMap<u64, oneshot::Sender<()>>>);

impl Pending {
    fn add(&self) -> Result<(u64, oneshot::Receiver<()>), String> {
        // Of other workers' numbers, and of those from before a restart, none is like it.
        let id = getrandom::u64().map_err(|error| error.to_string())?;
        let (done, is_done) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, done);
        Ok((id, is_done))
    }

    pub(super) fn take(&self, id: u64) -> Option<oneshot::Sender<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Nothing comes back any more.
    pub(super) fn give_up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl ConfigStorage {
    /// Nothing is read or written yet.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, place: Place) -> Self {
        Self { inner: Arc::new(Inner { broker, place, open: Mutex::default(), pending: Arc::default() }) }
    }

    /// What the topic says, from now on; and the work that finds it out, which ends when nobody listens any more.
    pub fn follow(&self) -> (mpsc::Receiver<Stored>, impl Future<Output = ()> + Send + use<>) {
        let (news, told) = mpsc::channel(NEWS);
        let Inner { broker, place, pending, .. } = &*self.inner;
        (told, follow(Arc::clone(broker), place.clone(), Arc::clone(pending), news))
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.inner.place.topic
    }

    /// Looks at what the topic says, writes the entries that `decide` makes of it, all of them or none, and returns its
    /// answer once this worker has taken them in. It may be asked again, where another worker wrote at the same time.
    pub async fn change<T>(&self, mut decide: impl FnMut(&Configs) -> (Vec<Entry>, T)) -> Result<T, StorageError> {
        let inner = &*self.inner;
        let mut open = inner.open.lock().await;
        for _ in 0..TRIES {
            // What goes wrong on the way, or is given up, leaves nothing open.
            let mut held = match open.take() {
                Some(held) => held,
                None => inner.open().await.map_err(|error| inner.unavailable(&error))?,
            };
            let (entries, answer) = decide(&held.configs);
            if entries.is_empty() {
                *open = Some(held);
                return Ok(answer);
            }
            let (id, taken_in) = inner.pending.add().map_err(StorageError::Unavailable)?;
            let _given_up = GivenUp(&inner.pending, id);
            let failed = match inner.write(&mut *held.session, &entries, id).await {
                Ok(()) => {
                    entries.into_iter().for_each(|entry| held.configs.apply(entry));
                    *open = Some(held);
                    drop(open);
                    return match timeout(TAKEN_IN_WITHIN, taken_in).await {
                        // Where nobody follows any more the host is about to end.
                        Ok(_) => Ok(answer),
                        Err(_) => Err(StorageError::NotTakenIn(inner.place.topic.to_string())),
                    };
                }
                Err(failed) => failed,
            };
            // Whatever becomes of it, another one is opened.
            let _ = held.session.close().await;
            match failed {
                Failed::Fenced => {}
                Failed::Before(error) if matches!(error.kind, BrokerErrorKind::Rejected { .. }) => {
                    return Err(StorageError::TooLarge(error.to_string()));
                }
                Failed::Before(error) => return Err(inner.unavailable(&error)),
                Failed::Commit(error) => return Err(StorageError::Unknown(inner.place.unusable(&error))),
            }
        }
        let why = format!("topic {}: other workers write all the time", inner.place.topic);
        Err(StorageError::Unavailable(why))
    }

    /// Lets the transactional id go.
    pub async fn close(&self) {
        if let Some(open) = self.inner.open.lock().await.take() {
            // It has nothing to lose.
            let _ = open.session.close().await;
        }
    }
}

/// Has nobody wait for a write any more that came back, failed, or was given up.
struct GivenUp<'p>(&'p Pending, u64);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.0.take(self.1);
    }
}

/// Why a write failed.
enum Failed {
    /// Another worker writes. Nothing was written.
    Fenced,
    /// Nothing was written.
    Before(BrokerError),
    /// Perhaps it was.
    Commit(BrokerError),
}

impl Inner {
    fn unavailable(&self, error: &BrokerError) -> StorageError {
        StorageError::Unavailable(self.place.unusable(error))
    }

    /// Takes the transactional id over, and reads all that was written before.
    async fn open(&self) -> Result<Open, BrokerError> {
        let spec = SessionSpec {
            worker_group: self.place.group.clone(),
            connector: WRITER.to_owned(),
            task: NO_TASK,
            input: None,
            topic_settings: self.place.settings(),
            consumer_overrides: BTreeMap::new(),
            producer_overrides: BTreeMap::new(),
            transaction_timeout: TRANSACTION_TIMEOUT,
        };
        let session = self.broker.session(spec).await?;
        let read = async {
            let reader = open(&*self.broker, &self.place, 0).await?;
            read_whole(reader, READ_WAIT).await
        };
        match read.await {
            Ok(configs) => Ok(Open { session, configs }),
            Err(error) => {
                // It has done nothing yet.
                let _ = session.close().await;
                Err(error)
            }
        }
    }

    async fn write(&self, session: &mut dyn Session, entries: &[Entry], id: u64) -> Result<(), Failed> {
        let fenced_or = |failed: fn(BrokerError) -> Failed| {
            move |error: BrokerError| if error.kind == BrokerErrorKind::Fenced { Failed::Fenced } else { failed(error) }
        };
        let mut frame = FrameBuilder::new();
        for entry in entries {
            let (key, value) = entry.encode();
            let value = value.as_deref().map(str::as_bytes);
            frame.record(Some(key.as_bytes()), value).header(WRITE_HEADER, Some(id.to_string().as_bytes()));
        }
        let too_large = |error| Failed::Before(BrokerError::fatal("write configurations", error));
        let output = Output { topic: Arc::clone(&self.place.topic), batch: Batch::build(&frame).map_err(too_large)? };
        session.stage(output).await.map_err(fenced_or(Failed::Before))?;
        session.commit(Commit::default()).await.map_err(fenced_or(Failed::Commit))
    }
}
