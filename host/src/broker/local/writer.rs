//! The one thread that writes. It gathers what many tasks want to commit into one SQLite transaction, because it is the
//! sync to disk that costs, and answers only once that transaction is durable. Between commits it looks whether other
//! processes wrote to the file, and tidies up.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::catalog::{Catalog, Partition, Topic};
use super::coordinator::Coordinator;
use super::errors::Failure;
use super::maintenance::Maintenance;
use super::options::{LocalOptions, Place};
use super::{operations, schema};
use crate::broker::BrokerError;
use crate::wall_clock::now_ms;

/// How many pieces of work may wait for the writer; more callers wait outside, holding nothing.
const MAX_QUEUED: usize = 1024;
/// How many pieces of work share a transaction at most: the first must not wait for ever on the last.
const MAX_GROUP: usize = 256;
/// How many bytes of records share a transaction at most, unless one commit alone has more.
const MAX_GROUP_BYTES: usize = 64 << 20;
/// How often the file is looked at for what other processes wrote.
const CHANGE_CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The way to what writes.
pub(super) struct Writer {
    queue: Queue,
    permits: Arc<Semaphore>,
}

enum Queue {
    /// To the writing thread, which ends once the last handle is gone and the queue is empty.
    Thread(Sender<Message>),
    /// There is none: each message is dealt with where it is sent.
    Inline(Box<Mutex<Scribe>>),
}

impl Queue {
    fn send(&self, message: Message, operation: &str) -> Result<(), BrokerError> {
        match self {
            Self::Thread(queue) => queue.send(message).map_err(|_| stopped(operation)),
            Self::Inline(scribe) => {
                scribe.lock().unwrap_or_else(PoisonError::into_inner).finish(message);
                Ok(())
            }
        }
    }
}

/// What the writing thread shares with the rest of the broker.
pub(super) struct Shared {
    /// The file.
    pub(super) path: PathBuf,
    /// The operator's choices.
    pub(super) options: LocalOptions,
    /// The topics.
    pub(super) catalog: Arc<Catalog>,
    /// The groups.
    pub(super) coordinator: Arc<Coordinator>,
}

/// Work in a transaction, and what the catalog learns once that is durable.
pub(super) struct Work<'a> {
    /// The connection, inside the transaction.
    pub(super) connection: &'a Connection,
    /// The rest of the broker.
    pub(super) shared: &'a Shared,
    grown: Vec<(Arc<Partition>, i64)>,
    topics: Vec<Arc<Topic>>,
}

enum Message {
    Job(Box<dyn Job>),
    Maintain(oneshot::Sender<Result<(), BrokerError>>),
}

/// Work that can be done again, should the transaction it was part of fail.
trait Job: Send {
    fn weight(&self) -> usize;
    fn run(&mut self, work: &mut Work<'_>) -> Result<(), Failure>;
    fn fail(&mut self, failure: &Failure, path: &Path);
    fn answer(self: Box<Self>);
}

struct Task<T, F> {
    operation: String,
    weight: usize,
    work: F,
    outcome: Option<Result<T, BrokerError>>,
    answer: oneshot::Sender<Result<T, BrokerError>>,
    _permit: OwnedSemaphorePermit,
}

impl Work<'_> {
    /// Notes that a partition has grown.
    pub(super) fn grown(&mut self, partition: Arc<Partition>, end: i64) {
        self.grown.push((partition, end));
    }

    /// Notes a topic that the catalog may not know.
    pub(super) fn found(&mut self, topic: Arc<Topic>) {
        self.topics.push(topic);
    }

    fn publish(self) {
        self.shared.coordinator.topics_found(self.topics);
        for (partition, end) in self.grown {
            partition.grow(end);
        }
    }
}

impl Writer {
    /// Starts writing on a connection: a thread, unless it is to be done inline.
    pub(super) fn start(connection: Connection, shared: Arc<Shared>, place: Place) -> std::io::Result<Self> {
        let scribe = Scribe::new(connection, shared);
        let queue = match place {
            Place::Threads => {
                let (queue, messages) = channel();
                thread::Builder::new().name("broker-writer".into()).spawn(move || scribe.run(&messages))?;
                Queue::Thread(queue)
            }
            Place::Inline => Queue::Inline(Box::new(Mutex::new(scribe))),
        };
        Ok(Self { queue, permits: Arc::new(Semaphore::new(MAX_QUEUED)) })
    }

    /// Hands work over. What it returns resolves once the work is durable, or has failed and changed nothing. The work
    /// is done even if the answer is not waited for. It may be run more than once, and must refuse before it writes.
    pub(super) async fn submit<T, F>(
        &self,
        operation: String,
        weight: usize,
        work: F,
    ) -> Result<oneshot::Receiver<Result<T, BrokerError>>, BrokerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Err(stopped(operation)) };
        let (answer, outcome) = oneshot::channel();
        let task = Task { operation: operation.clone(), weight, work, outcome: None, answer, _permit: permit };
        self.queue.send(Message::Job(Box::new(task)), &operation)?;
        Ok(outcome)
    }

    /// Hands work over and waits for it.
    pub(super) async fn run<T, F>(&self, operation: &str, work: F) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let outcome = self.submit(operation.to_owned(), 0, work).await?;
        outcome.await.unwrap_or_else(|_| Err(stopped(operation)))
    }

    /// Waits until everything handed over before is durable or has failed.
    pub(super) async fn barrier(&self, operation: &str) -> Result<(), BrokerError> {
        self.run(operation, |_| Ok(())).await
    }

    /// Tidies up now, and waits for it.
    pub(super) async fn maintain(&self) -> Result<(), BrokerError> {
        let operation = "tidy the embedded broker up";
        let (answer, outcome) = oneshot::channel();
        self.queue.send(Message::Maintain(answer), operation)?;
        outcome.await.unwrap_or_else(|_| Err(stopped(operation)))
    }
}

/// The error of work that the thread will not do any more.
pub(super) fn stopped(operation: impl Into<String>) -> BrokerError {
    BrokerError::fatal(operation, "the embedded broker has stopped")
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Work<'_>) -> Result<T, Failure> + Send,
{
    fn weight(&self) -> usize {
        self.weight
    }

    fn run(&mut self, work: &mut Work<'_>) -> Result<(), Failure> {
        match (self.work)(work) {
            Ok(result) => self.outcome = Some(Ok(result)),
            Err(Failure::Refused(error)) => self.outcome = Some(Err(error)),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure, path: &Path) {
        self.outcome = Some(Err(failure.error(&self.operation, path)));
    }

    fn answer(self: Box<Self>) {
        let Self { operation, outcome, answer, .. } = *self;
        // Nobody waits for the answer if the session was dropped meanwhile.
        drop(answer.send(outcome.unwrap_or_else(|| Err(stopped(operation)))));
    }
}

/// What writes: the connection, and what is done on it between commits.
struct Scribe {
    connection: Connection,
    shared: Arc<Shared>,
    maintenance: Maintenance,
    data_version: Option<i64>,
    change_check: Instant,
}

impl Scribe {
    fn new(connection: Connection, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let maintenance = Maintenance::new(now + shared.options.maintenance_interval);
        Self { connection, shared, maintenance, data_version: None, change_check: now }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let wait = if self.maintenance.is_idle() { CHANGE_CHECK_INTERVAL } else { Duration::ZERO };
            match messages.recv_timeout(wait) {
                Ok(message) => self.take(message, || messages.try_recv().ok()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_around();
        }
    }

    /// Deals with a message, and with all that is due after it.
    fn finish(&mut self, message: Message) {
        self.take(message, || None);
        self.look_around();
        while !self.maintenance.is_idle() {
            self.look_around();
        }
    }

    /// Deals with a message, and with those that come with it.
    fn take(&mut self, message: Message, more: impl FnMut() -> Option<Message>) {
        match message {
            Message::Job(first) => self.gather(first, more),
            Message::Maintain(answer) => self.maintain_for(answer),
        }
    }

    /// What is done between commits, a bounded piece of it.
    fn look_around(&mut self) {
        self.look_for_changes(Instant::now());
        self.maintain(Instant::now());
    }

    /// Takes what else is waiting, up to the bounds, and commits it all at once.
    fn gather(&mut self, first: Box<dyn Job>, mut more: impl FnMut() -> Option<Message>) {
        let mut weight = first.weight();
        let mut jobs = vec![first];
        let mut maintain = None;
        while jobs.len() < MAX_GROUP && weight < MAX_GROUP_BYTES {
            match more() {
                Some(Message::Job(job)) => {
                    weight += job.weight();
                    jobs.push(job);
                }
                Some(Message::Maintain(answer)) => {
                    maintain = Some(answer);
                    break;
                }
                None => break,
            }
        }
        self.commit(jobs);
        if let Some(answer) = maintain {
            self.maintain_for(answer);
        }
    }

    /// All in one transaction; should that fail, each in one of its own, so that only the one at fault suffers.
    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if let Err(failure) = self.transaction(&mut jobs) {
            let alone = jobs.len() > 1 && !failure.is_lock();
            for job in &mut jobs {
                if !alone {
                    job.fail(&failure, &self.shared.path);
                } else if let Err(failure) = self.transaction(std::slice::from_mut(job)) {
                    job.fail(&failure, &self.shared.path);
                }
            }
        }
        for job in jobs {
            job.answer();
        }
    }

    fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let mut work =
            Work { connection: &self.connection, shared: &self.shared, grown: Vec::new(), topics: Vec::new() };
        operations::in_transaction(&self.connection, || jobs.iter_mut().try_for_each(|job| job.run(&mut work)))?;
        work.publish();
        Ok(())
    }

    /// Finds out what other processes wrote, and wakes who waits for it.
    fn look_for_changes(&mut self, now: Instant) {
        if now.duration_since(self.change_check) < CHANGE_CHECK_INTERVAL {
            return;
        }
        self.change_check = now;
        let found = schema::data_version(&self.connection).and_then(|version| {
            if self.data_version != Some(version) {
                self.data_version = Some(version);
                operations::refresh(&self.connection, &self.shared)?;
            }
            Ok(())
        });
        if let Err(error) = found {
            // The next check tries again.
            self.data_version = None;
            tracing::warn!(path = %self.shared.path.display(), %error, "cannot look for changes of other processes");
        }
    }

    fn maintain_for(&mut self, answer: oneshot::Sender<Result<(), BrokerError>>) {
        self.maintenance.begin(&self.connection, &self.shared, Some(answer));
    }

    fn maintain(&mut self, now: Instant) {
        if self.maintenance.is_due(now) {
            self.maintenance.begin(&self.connection, &self.shared, None);
            self.maintenance.next_at(now + self.shared.options.maintenance_interval);
        }
        self.maintenance.step(&self.connection, &self.shared, now_ms());
    }
}
