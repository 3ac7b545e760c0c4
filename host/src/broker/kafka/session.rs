//! A task's session as the task sees it: each call is looked over here, then made on the session's own thread.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::actor::{self, Command, Reply, Setup};
use super::admin::{Admin, blocking};
use super::check::{MESSAGE_MAX_BYTES, prepare};
use super::config::{KafkaOptions, Properties, check_overrides};
use super::keys::{Foreign, OFFSET_PARTITIONS, OffsetKeys, StateKeys};
use super::load::{source_offsets, state};
use super::subscribe::matching;
use super::transaction::OwnRecord;
use crate::broker::{
    BatchLimits, BrokerError, CleanupPolicy, Commit, Consumed, Input, Output, Session, SessionSpec, StateScope,
    TopicPartition, TopicSettings, Topics,
};

/// A task makes one call at a time; more commands only wait where it gave calls up.
const COMMANDS: usize = 16;
/// How much longer than a transaction may be open any call may take: an abort waits for an answer, may have to open another
/// producer, and seeks.
const OVERDUE: Duration = Duration::from_secs(40);

/// A session on Kafka. Dropping it ends its thread, which aborts and leaves the group.
pub(super) struct KafkaSession {
    commands: SyncSender<Command>,
    options: Arc<KafkaOptions>,
    admin: Arc<Admin>,
    settings: TopicSettings,
    input: Option<Input>,
    offsets: OffsetKeys,
    /// Keys by which others know source partitions of the connector.
    foreign: Foreign,
    state: StateKeys,
    max_bytes: usize,
    /// Longer than any call takes that ends.
    patience: Duration,
    /// Whether the thread did not answer in time.
    left_behind: bool,
}

impl KafkaSession {
    /// Opens a session.
    pub async fn open(options: Arc<KafkaOptions>, admin: Arc<Admin>, spec: SessionSpec) -> Result<Self, BrokerError> {
        check_overrides("consumer.override.", &spec.consumer_overrides)?;
        check_overrides("producer.override.", &spec.producer_overrides)?;
        if let Some(Input { topics: Topics::Names(names), .. }) = &spec.input {
            for name in names {
                admin.ensure(name, &spec.topic_settings).await?;
            }
        }
        let SessionSpec { worker_group, connector, task, input, .. } = &spec;
        let transactional_id = format!("{worker_group}-{connector}-{task}");
        let properties = if input.is_some() { Properties::producer_for_group } else { Properties::producer };
        let producer = properties(&options, &spec.producer_overrides, &transactional_id, spec.transaction_timeout);
        let max_bytes = producer.number("message.max.bytes", MESSAGE_MAX_BYTES);
        let patience = Duration::from_millis(producer.number("transaction.timeout.ms", 60_000)) + OVERDUE;
        let consumer = input.as_ref().map(|Input { group, topics }| {
            (Properties::consumer(&options, &spec.consumer_overrides, group, *task), group.clone(), topics.clone())
        });
        let setup = Setup {
            connector: connector.as_str().into(),
            task: *task,
            transactional_id,
            producer,
            consumer,
            admin: Arc::clone(&admin),
        };
        let (commands, received) = sync_channel(COMMANDS);
        let (opened, is_open) = oneshot::channel();
        actor::start(setup, received, opened)
            .map_err(|error| BrokerError::retriable("start the session's thread", error))?;
        is_open.await.map_err(|_| ended())??;
        Ok(Self {
            commands,
            options,
            admin,
            offsets: OffsetKeys::new(connector),
            foreign: Foreign::new(),
            state: StateKeys::new(worker_group, connector, *task),
            settings: spec.topic_settings,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            patience,
            left_behind: false,
            input: spec.input,
        })
    }

    /// Has the thread do something, for as long as that may take. librdkafka has calls that do not keep their own limits, as
    /// [`MAX_IDLE_MS`](super::config) tells of one. Where such a call does not return all the same its thread is left behind,
    /// and whoever opens the session anew fences what it had begun.
    async fn call<T>(&mut self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, BrokerError> {
        let (reply, mut answer) = oneshot::channel();
        self.tell(command(reply))?;
        self.hear(&mut answer).await
    }

    /// The same of what is consumed, which would be missing later if it were lost with a call that is given up.
    async fn ask(&mut self, command: impl FnOnce(Reply<Consumed>) -> Command) -> Result<Consumed, BrokerError> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply))?;
        let mut asked = Asked { answer, commands: self.commands.clone() };
        self.hear(&mut asked.answer).await
    }

    fn tell(&self, command: Command) -> Result<(), BrokerError> {
        if self.left_behind {
            return Err(ended());
        }
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => {
                BrokerError::retriable("call Kafka", "too many calls that were given up are still under way")
            }
            TrySendError::Disconnected(_) => ended(),
        })
    }

    async fn hear<T>(&mut self, answer: &mut oneshot::Receiver<Result<T, BrokerError>>) -> Result<T, BrokerError> {
        if let Ok(answer) = tokio::time::timeout(self.patience, answer).await {
            return answer.map_err(|_| ended())?;
        }
        self.left_behind = true;
        let message = format!("librdkafka has not answered for {:?}; the session is given up", self.patience);
        Err(BrokerError::fatal("call Kafka", message))
    }

    /// Source offsets and state as records, their topics created where they are missing.
    async fn own_records(&self, commit: &Commit) -> Result<Vec<OwnRecord>, BrokerError> {
        let mut records = Vec::with_capacity(commit.source_offsets.len() + commit.state.len());
        if !commit.source_offsets.is_empty() {
            let topic = &self.options.offset_storage_topic;
            self.admin.ensure(topic, &self.own_settings(OFFSET_PARTITIONS)).await?;
            for offset in &commit.source_offsets {
                records.extend(self.offsets.all(offset, &self.foreign).into_iter().map(|key| OwnRecord {
                    topic: topic.clone(),
                    partition: None,
                    key,
                    value: offset.offset.clone().map(String::into_bytes),
                }));
            }
        }
        if !commit.state.is_empty() {
            let topic = self.state.topic();
            let count = match self.admin.known(topic) {
                Some(count) => count,
                None => self.admin.ensure(topic, &self.own_settings(self.input_partitions().await?)).await?,
            };
            records.extend(commit.state.iter().map(|change| OwnRecord {
                topic: topic.to_owned(),
                partition: Some(self.state.partition(&change.scope, count)),
                key: self.state.key(change),
                value: change.value.as_ref().map(|value| value.to_vec()),
            }));
        }
        Ok(records)
    }

    /// How many partitions the state topic is created with: as many as the input's largest topic has.
    async fn input_partitions(&self) -> Result<i32, BrokerError> {
        let Some(Input { topics, .. }) = self.input.clone() else { return Ok(1) };
        let admin = Arc::clone(&self.admin);
        blocking(move || {
            let names = match topics {
                Topics::Names(names) => names,
                Topics::Pattern(pattern) => matching(&admin, &pattern, Instant::now())?,
            };
            let mut most = 1;
            for name in names {
                most = most.max(admin.partitions(&name)?.unwrap_or(1));
            }
            Ok(most)
        })
        .await
    }

    fn own_settings(&self, partitions: i32) -> TopicSettings {
        TopicSettings {
            partitions,
            replication_factor: self.options.internal_replication_factor,
            cleanup_policy: CleanupPolicy::Compact,
            ..TopicSettings::default()
        }
    }
}

#[async_trait]
impl Session for KafkaSession {
    /// May be given up at any time: what was read meanwhile comes with the next call.
    async fn consume(&mut self, limits: BatchLimits, wait: Duration) -> Result<Consumed, BrokerError> {
        self.ask(|reply| Command::Consume(limits, wait, reply)).await
    }

    async fn stand_by(&mut self, wait: Duration) -> Result<Consumed, BrokerError> {
        self.ask(|reply| Command::StandBy(wait, reply)).await
    }

    async fn accept(&mut self, partitions: Vec<(TopicPartition, Option<i64>)>) -> Result<(), BrokerError> {
        self.call(|reply| Command::Accept(partitions, reply)).await
    }

    async fn release(&mut self, partitions: Vec<TopicPartition>) -> Result<(), BrokerError> {
        self.call(|reply| Command::Release(partitions, reply)).await
    }

    async fn stage(&mut self, output: Output) -> Result<(), BrokerError> {
        prepare(&self.admin, &output, &self.settings, self.max_bytes).await?;
        self.call(|reply| Command::Stage(output, reply)).await
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), BrokerError> {
        let own = self.own_records(&commit).await?;
        self.call(|reply| Command::Commit(commit.consumed, own, reply)).await
    }

    async fn abort(&mut self) -> Result<(), BrokerError> {
        self.call(Command::Abort).await
    }

    async fn load_offsets(&mut self) -> Result<Vec<(String, String)>, BrokerError> {
        let (offsets, foreign) = source_offsets(&self.options, &self.admin, self.offsets.clone()).await?;
        self.foreign = foreign;
        Ok(offsets)
    }

    async fn load_state(&mut self, scope: &StateScope) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
        state(&self.options, &self.admin, &self.state, scope).await
    }

    async fn close(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.call(Command::Close).await
    }
}

/// A question on its way, which may be given up at any time.
struct Asked {
    answer: oneshot::Receiver<Result<Consumed, BrokerError>>,
    commands: SyncSender<Command>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        // From here on the thread keeps the answer by itself. One that it had sent already goes back to it, before whatever it
        // is asked next; it has nothing else to do by then.
        self.answer.close();
        if let Ok(Ok(unheard)) = self.answer.try_recv() {
            let _ = self.commands.try_send(Command::Keep(unheard));
        }
    }
}

fn ended() -> BrokerError {
    BrokerError::fatal("call Kafka", "the session's thread has ended")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;
    use crate::broker::BrokerErrorKind;

    /// A session whose thread is played by the test.
    fn session(patience: Duration) -> (KafkaSession, Receiver<Command>) {
        let options = Arc::new(KafkaOptions::new("nowhere:9092"));
        let (commands, received) = sync_channel(COMMANDS);
        let session = KafkaSession {
            commands,
            admin: Arc::new(Admin::new(&options)),
            options,
            settings: TopicSettings::default(),
            input: None,
            offsets: OffsetKeys::new("orders"),
            foreign: Foreign::new(),
            state: StateKeys::new("workers", "orders", 0),
            max_bytes: 0,
            patience,
            left_behind: false,
        };
        (session, received)
    }

    #[tokio::test]
    async fn an_answer_that_came_as_the_call_was_given_up_goes_back() {
        let (mut session, received) = session(Duration::from_secs(3600));
        let limits = BatchLimits { records: 1, bytes: 1 };
        let mut call = session.consume(limits, Duration::ZERO);
        assert!(futures::poll!(&mut call).is_pending());
        let Ok(Command::Consume(_, _, reply)) = received.try_recv() else { panic!("it asks") };
        let partitions = vec![TopicPartition::new("t", 0)];
        assert!(reply.send(Ok(Consumed::Assigned(partitions.clone()))).is_ok());
        drop(call);
        let Ok(Command::Keep(Consumed::Assigned(kept))) = received.try_recv() else { panic!("it was lost") };
        assert_eq!(kept, partitions);
        // What was heard does not.
        let mut call = session.consume(limits, Duration::ZERO);
        assert!(futures::poll!(&mut call).is_pending());
        let Ok(Command::Consume(_, _, reply)) = received.try_recv() else { panic!("it asks") };
        assert!(reply.send(Ok(Consumed::Idle)).is_ok());
        assert!(matches!(call.await, Ok(Consumed::Idle)));
        assert!(received.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_thread_that_does_not_answer_is_left_behind() {
        let (mut session, _received) = session(Duration::from_millis(1));
        let error = session.commit(Commit::default()).await.unwrap_err();
        assert!(error.kind == BrokerErrorKind::Fatal && error.message.contains("has not answered"), "{error}");
        // No call waits for it any more.
        session.patience = Duration::from_secs(3600);
        assert_eq!(session.abort().await.unwrap_err(), ended());
        assert_eq!(Box::new(session).close().await.unwrap_err(), ended());
    }
}
