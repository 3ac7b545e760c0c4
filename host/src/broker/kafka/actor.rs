//! The thread of one session. It owns the clients and makes librdkafka's blocking calls, so that no tokio worker does;
//! between calls it polls, so that the group does not take a busy task for a dead one.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::admin::Admin;
use super::config::Properties;
use super::consume::{GroupConsumer, offsets};
use super::context::Owner;
use super::subscribe::Subscription;
use super::transaction::{OwnRecord, Transactions};
use crate::broker::{BatchLimits, BrokerError, Consumed, Output, TopicPartition, TopicPartitionOffset, Topics};

/// How often an idle thread looks after its clients.
const TICK: Duration = Duration::from_secs(1);

/// Where the answer to a command goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, BrokerError>>;

/// What a session asks of its thread.
pub(super) enum Command {
    /// [`crate::broker::Session::consume`].
    Consume(BatchLimits, Duration, Reply<Consumed>),
    /// [`crate::broker::Session::stand_by`].
    StandBy(Duration, Reply<Consumed>),
    /// What one of these two answered, and nobody heard.
    Keep(Consumed),
    /// [`crate::broker::Session::accept`].
    Accept(Vec<(TopicPartition, Option<i64>)>, Reply<()>),
    /// [`crate::broker::Session::release`].
    Release(Vec<TopicPartition>, Reply<()>),
    /// [`crate::broker::Session::stage`], of a batch that was looked over.
    Stage(Output, Reply<()>),
    /// [`crate::broker::Session::commit`].
    Commit(Vec<TopicPartitionOffset>, Vec<OwnRecord>, Reply<()>),
    /// [`crate::broker::Session::abort`].
    Abort(Reply<()>),
    /// [`crate::broker::Session::close`].
    Close(Reply<()>),
}

/// What a thread needs to open its clients.
pub(super) struct Setup {
    /// Whose session it is.
    pub connector: Arc<str>,
    /// Which of its tasks.
    pub task: u32,
    /// The transactional id.
    pub transactional_id: String,
    /// Of the producer.
    pub producer: Properties,
    /// Of the consumer, with group and topics; a source has none.
    pub consumer: Option<(Properties, String, Topics)>,
    /// What the cluster has.
    pub admin: Arc<Admin>,
}

struct Actor {
    transactions: Transactions,
    consumer: Option<GroupConsumer>,
    admin: Arc<Admin>,
}

/// Starts a thread. `opened` hears when its clients are ready, or why they are not; the thread ends when the sender
/// of its commands is dropped.
pub(super) fn start(setup: Setup, commands: Receiver<Command>, opened: Reply<()>) -> io::Result<()> {
    let name = format!("kafka-{}-{}", setup.connector, setup.task);
    let run = move || match Actor::open(setup) {
        Ok(actor) => {
            // Nobody waits any more: the commands are gone, too, and the first look for one ends the thread.
            opened.send(Ok(())).ok();
            actor.run(&commands);
        }
        Err(error) => {
            opened.send(Err(error)).ok();
        }
    };
    thread::Builder::new().name(name).spawn(run).map(drop)
}

impl Actor {
    /// The producer first: it fences a predecessor before anything is read.
    fn open(setup: Setup) -> Result<Self, BrokerError> {
        let Setup { connector, task, transactional_id, producer, consumer, admin } = setup;
        let owner = |client| Owner { connector: Arc::clone(&connector), task, client };
        let transactions = Transactions::open(producer, owner("producer"), transactional_id)?;
        let consumer = match consumer {
            None => None,
            Some((properties, group, topics)) => {
                let subscription = Subscription::new(&topics, &admin, Instant::now())?;
                Some(GroupConsumer::open(&properties, owner("consumer"), group, subscription)?)
            }
        };
        Ok(Self { transactions, consumer, admin })
    }

    fn run(mut self, commands: &Receiver<Command>) {
        let mut last = Instant::now();
        loop {
            match commands.recv_timeout(TICK) {
                Ok(Command::Close(reply)) => {
                    self.close();
                    reply.send(Ok(())).ok();
                    return;
                }
                Ok(command) => {
                    self.handle(command);
                    last = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => self.idle(last.elapsed()),
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            }
        }
    }

    /// An answer that nobody waits for is lost, except for what was consumed: it would be missing later.
    fn handle(&mut self, command: Command) {
        match command {
            Command::Consume(limits, wait, reply) => {
                self.ask(reply, |consumer, wanted| consumer.consume(limits, wait, wanted));
            }
            Command::StandBy(wait, reply) => self.ask(reply, |consumer, wanted| consumer.stand_by(wait, wanted)),
            Command::Keep(unheard) => {
                if let Some(consumer) = &mut self.consumer {
                    consumer.keep(unheard);
                }
            }
            Command::Accept(partitions, reply) => {
                reply.send(self.consumer().and_then(|c| c.accept(&partitions))).ok();
            }
            Command::Release(partitions, reply) => {
                reply.send(self.consumer().and_then(|c| c.release(&partitions))).ok();
            }
            Command::Stage(output, reply) => {
                let staged = self.transactions.stage(&output);
                reply.send(self.outcome(staged)).ok();
            }
            Command::Commit(consumed, own, reply) => {
                let committed = self.commit(&consumed, &own);
                reply.send(self.outcome(committed)).ok();
            }
            Command::Abort(reply) => {
                let aborted = self.transactions.abort().and_then(|()| match &mut self.consumer {
                    Some(consumer) => consumer.rewind(),
                    None => Ok(()),
                });
                reply.send(aborted).ok();
            }
            Command::Close(reply) => {
                reply.send(Ok(())).ok();
            }
        }
    }

    /// Asks the consumer for as long as somebody wants to know.
    fn ask(
        &mut self,
        reply: Reply<Consumed>,
        question: impl FnOnce(&mut GroupConsumer, &dyn Fn() -> bool) -> Result<Consumed, BrokerError>,
    ) {
        let consumed = self.consumer().and_then(|consumer| question(consumer, &|| !reply.is_closed()));
        if let (Err(Ok(unheard)), Some(consumer)) = (reply.send(consumed), &mut self.consumer) {
            consumer.keep(unheard);
        }
    }

    fn commit(&mut self, consumed: &[TopicPartitionOffset], own: &[OwnRecord]) -> Result<(), BrokerError> {
        if consumed.is_empty() {
            return self.transactions.commit(own, None);
        }
        let list = offsets(consumed)?;
        let group = self.consumer()?.group_metadata().ok_or_else(|| {
            BrokerError::fatal("commit consumed offsets", "the consumer has no group to commit them for")
        })?;
        self.transactions.commit(own, Some((&list, &group)))?;
        self.consumer()?.committed(consumed);
        Ok(())
    }

    fn consumer(&mut self) -> Result<&mut GroupConsumer, BrokerError> {
        self.consumer.as_mut().ok_or_else(|| BrokerError::fatal("consume", "the session has no input"))
    }

    /// Topics that a failure was about are looked at anew before the next record goes there.
    fn outcome(&mut self, outcome: Result<(), BrokerError>) -> Result<(), BrokerError> {
        if outcome.is_err() {
            self.admin.forget(&self.transactions.take_suspects());
        }
        outcome
    }

    fn idle(&mut self, busy: Duration) {
        self.transactions.idle();
        if let Some(consumer) = &mut self.consumer
            && let Err(error) = consumer.idle(busy)
        {
            // The next call meets the same error, and has somebody to tell.
            tracing::debug!(%error, "cannot poll for a busy task");
        }
    }

    /// Aborts before it leaves the group: whoever gets the partitions then finds nothing undecided.
    fn close(self) {
        self.transactions.close();
        if let Some(consumer) = self.consumer {
            consumer.close();
        }
    }
}
