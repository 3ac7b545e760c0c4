//! Questions of workers to each other, by the topic of states: so a worker answers for what another one runs, and needs
//! neither its address nor its credentials.
//!
//! Whoever asks waits for a few seconds, and clears the question and its answer away, also where whoever wanted to know
//! is gone by then. Whoever was asked clears both away too, a little later: who asked may have died, or may have given
//! up before the answer was written.
//!
//! A question says how long its answer is waited for, in milliseconds, in the field `within_ms` of what it asks; one of
//! an older worker does not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::status_entry::{AnswerPart, Asked, StatusEntry};
use super::statuses::{StatusTopic, Statuses};
use crate::broker::BrokerError;

/// Questions that may wait to be answered; those beyond are not.
const WAITING: usize = 256;
/// Questions of this worker that may be open at once, each until it has been cleared away. A status asks all other
/// workers at once: with 60 slots a group has hardly more of them.
const OPEN: usize = 64;
/// How much of an answer one record holds, in bytes: half of what a broker takes by default.
const PART_BYTES: usize = 512 << 10;
/// Parts of one answer: more than a worker can have to say.
const PARTS: u32 = 128;
/// The field of what is asked that says how long the answer is waited for, in milliseconds.
const WITHIN: &str = "within_ms";
/// How long it is waited for where that is not said: as long as workers have waited that did not say it.
const UNSAID: Duration = Duration::from_secs(5);
/// How long what another worker asked is left to that worker to clear away, and how often this one looks for what is
/// older: an answer is there for once to twice as long. Nobody waits for so long.
const KEPT: Duration = Duration::from_secs(15);
/// Questions of others that wait to be cleared away; of more than that the oldest ones are left to whoever asked.
const ANSWERED: usize = 1024;

/// A question that another worker asked this one.
#[derive(Debug)]
pub struct Question {
    id: String,
    /// What it wants to know.
    pub what: Value,
    /// When this worker read it.
    read: Instant,
    /// How long the other one waits.
    within: Duration,
}

impl Question {
    /// A question that was read just now.
    fn new(id: String, mut what: Value) -> Self {
        let said = what.as_object_mut().and_then(|fields| fields.remove(WITHIN));
        let within = said.and_then(|millis| millis.as_u64()).map_or(UNSAID, Duration::from_millis);
        Self { id, what, read: Instant::now(), within }
    }

    /// Whether nobody waits for the answer any more.
    ///
    /// The clocks of workers may be apart, so the time counts from when the question was read here. That is later than
    /// when it was asked: none is late that somebody still waits for. What was asked before this worker had read the
    /// topic to its end never comes here. Where it could not read for a while and then reads many at once, it answers
    /// them for no longer than their time.
    #[must_use]
    pub fn is_late(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.read) >= self.within
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// This worker waits for too many answers already, or its questions cannot be written.
    #[error("worker {0} was not asked: {open} questions to other workers are open already", open = OPEN)]
    Busy(String),
    /// It could not be asked.
    #[error("worker {worker} could not be asked: {error}")]
    Broker {
        /// The other worker.
        worker: String,
        /// Why.
        error: BrokerError,
    },
    /// It said nothing in time.
    #[error("worker {0} did not answer within {1:?}")]
    Silent(String, Duration),
    /// What it said cannot be read.
    #[error("the answer of worker {0} cannot be read")]
    Unreadable(String),
}

/// What is asked and not answered yet, in both directions.
pub(super) struct Questions {
    /// This worker's name, and who answers for it.
    inbox: Option<(String, mpsc::Sender<Question>)>,
    /// What this worker asked.
    open: HashMap<String, Open>,
    /// A place for each question that is open.
    places: Arc<Semaphore>,
    /// Who has it may write. On Kafka all writes of a worker take turns, and one that cannot get through holds the
    /// others up until it is given up: so only one at a time is about questions, and what this worker says of itself
    /// waits for no more than that.
    turn: Arc<Mutex<()>>,
    /// What this worker was asked and is done with: since when, and how many parts the answer has. The oldest is first.
    answered: VecDeque<(Instant, String, u32)>,
    /// Whether somebody is about to clear these away.
    is_clearing: bool,
}

struct Open {
    parts: BTreeMap<u32, String>,
    done: Option<oneshot::Sender<String>>,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            inbox: None,
            open: HashMap::new(),
            places: Arc::new(Semaphore::new(OPEN)),
            turn: Arc::default(),
            answered: VecDeque::new(),
            is_clearing: false,
        }
    }
}

impl Questions {
    pub(super) fn asked(&mut self, id: String, asked: Asked) {
        if let Some((_, inbox)) = self.inbox.as_ref().filter(|(name, _)| *name == asked.to)
            && inbox.try_send(Question::new(id, asked.what)).is_err()
        {
            debug!("a question of another worker is not answered: there are too many");
        }
    }

    pub(super) fn answered(&mut self, id: &str, part: u32, answer: AnswerPart) {
        let Some(open) = self.open.get_mut(id) else { return };
        if part < answer.of.min(PARTS) {
            open.parts.insert(part, answer.text);
        }
        if open.parts.len() as u64 == u64::from(answer.of)
            && let Some(done) = open.done.take()
        {
            // Nobody may be waiting any more.
            let _ = done.send(std::mem::take(&mut open.parts).into_values().collect());
        }
    }

    /// Opens a question, where there is a place for one.
    fn begin(&mut self, id: &str, done: oneshot::Sender<String>) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.open.insert(id.to_owned(), Open { parts: BTreeMap::new(), done: Some(done) });
        Some(place)
    }

    /// Takes note that this worker is done with a question. Returns whether somebody has to begin to clear such away.
    fn done_with(&mut self, id: String, parts: u32, now: Instant) -> bool {
        if self.answered.len() >= ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back((now, id, parts));
        !std::mem::replace(&mut self.is_clearing, true)
    }

    /// What is to be cleared away now; `None`: there is nothing, and nothing to come.
    fn take_old(&mut self, now: Instant) -> Option<Vec<(String, u32)>> {
        self.is_clearing = !self.answered.is_empty();
        let old = self.answered.iter().take_while(|(since, ..)| *since + KEPT <= now).count();
        self.is_clearing.then(|| self.answered.drain(..old).map(|(_, id, parts)| (id, parts)).collect())
    }
}

impl Statuses {
    /// What other workers ask the worker of this name, from now on.
    #[must_use]
    pub fn questions_to(&self, worker: &str) -> mpsc::Receiver<Question> {
        let (inbox, questions) = mpsc::channel(WAITING);
        self.questions(|questions| questions.inbox = Some((worker.to_owned(), inbox)));
        questions
    }

    /// Who has it may write.
    fn turn(&self) -> Arc<Mutex<()>> {
        self.questions(|questions| Arc::clone(&questions.turn))
    }
}

/// Has nobody wait for an answer any more.
struct Over<'s>(&'s Statuses, &'s str);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.questions(|questions| questions.open.remove(self.1));
    }
}

impl StatusTopic {
    /// Asks another worker, which may take so long to answer.
    pub async fn ask(
        &self,
        statuses: &Statuses,
        worker: &str,
        what: Value,
        within: Duration,
    ) -> Result<Value, AskError> {
        let broker = |error| AskError::Broker { worker: worker.to_owned(), error };
        let silent = || AskError::Silent(worker.to_owned(), within);
        let number = getrandom::u64().map_err(|error| broker(BrokerError::fatal("draw a number", error)))?;
        let id = format!("{}-{number:016x}", self.worker);
        let (done, is_done) = oneshot::channel();
        let place = statuses.questions(|questions| questions.begin(&id, done));
        let place = place.ok_or_else(|| AskError::Busy(worker.to_owned()))?;
        let _over = Over(statuses, &id);
        let asked = Asked { to: worker.to_owned(), what: timed(what, within) };
        let (written, is_written) = oneshot::channel();
        // Is told how many parts the answer has, or is dropped where whoever wanted to know is gone.
        let (over, is_over) = oneshot::channel();
        let (topic, turn, own) = (self.clone(), statuses.turn(), id.clone());
        // A task of its own: what is written must be cleared away, and a write that was begun goes on below, whether or
        // not anybody waits for it. Until both have ended the place is taken.
        tokio::spawn(async move {
            let _place = place;
            topic.put(own, asked, &turn, written, is_over).await;
        });
        // A broker that is away would keep the write for longer than anybody waits.
        let exchange = async {
            is_written.await.map_err(|_| silent())?.map_err(broker)?;
            is_done.await.map_err(|_| silent())
        };
        let answer = timeout(within, exchange).await.map_err(|_| silent()).flatten();
        // It has ended already where the question could not be written.
        let _ = over.send(answer.as_ref().map_or(1, |text| count(&parts(text))));
        serde_json::from_str(&answer?).map_err(|_| AskError::Unreadable(worker.to_owned()))
    }

    /// Writes a question, unless nobody waits for it any more when its turn comes, and once it is over clears it away.
    async fn put(
        &self,
        id: String,
        asked: Asked,
        turn: &Mutex<()>,
        written: oneshot::Sender<Result<(), BrokerError>>,
        is_over: oneshot::Receiver<u32>,
    ) {
        let wrote = {
            let _turn = turn.lock().await;
            if written.is_closed() {
                return;
            }
            self.write(&[StatusEntry::Ask { id: id.clone(), asked: Some(asked) }]).await
        };
        let is_there = wrote.is_ok();
        // Nobody may be waiting any more.
        let _ = written.send(wrote);
        // Where a write failed another one would hold others up in its turn. If the question came through all the same,
        // whoever was asked clears it away.
        if is_there {
            let parts = is_over.await.unwrap_or(1);
            self.clear(turn, &[(id, parts)]).await;
        }
    }

    /// Answers another worker, where it still waits once it is this answer's turn. A little later the answer is cleared
    /// away, with the question.
    pub async fn answer(&self, statuses: &Statuses, question: &Question, answer: &Value) -> Result<(), BrokerError> {
        let text = answer.to_string();
        let parts = parts(&text);
        let (of, turn) = (count(&parts), statuses.turn());
        let mut written = Ok(());
        for (part, text) in (0..).zip(parts) {
            let answer = Some(AnswerPart { of, text: text.to_owned() });
            let _turn = turn.lock().await;
            if question.is_late(Instant::now()) {
                break;
            }
            written = self.write(&[StatusEntry::Answer { id: question.id.clone(), part, answer }]).await;
            if written.is_err() {
                break;
            }
        }
        self.clear_later(statuses, question, of);
        written
    }

    /// Leaves a question of another worker without an answer. A little later it is cleared away.
    pub fn pass_over(&self, statuses: &Statuses, question: &Question) {
        self.clear_later(statuses, question, 0);
    }

    /// Has a question that this worker was asked, and so many parts of the answer, cleared away after a while.
    fn clear_later(&self, statuses: &Statuses, question: &Question, parts: u32) {
        let id = question.id.clone();
        if statuses.questions(|questions| questions.done_with(id, parts, Instant::now())) {
            let (topic, statuses) = (self.clone(), statuses.clone());
            tokio::spawn(async move {
                let turn = statuses.turn();
                loop {
                    sleep(KEPT).await;
                    let Some(over) = statuses.questions(|questions| questions.take_old(Instant::now())) else { return };
                    if !over.is_empty() {
                        topic.clear(&turn, &over).await;
                    }
                }
            });
        }
    }

    /// Clears questions away, and so many parts of their answers.
    async fn clear(&self, turn: &Mutex<()>, over: &[(String, u32)]) {
        let mut entries = Vec::new();
        for (id, parts) in over {
            entries.extend((0..*parts).map(|part| StatusEntry::Answer { id: id.clone(), part, answer: None }));
            entries.push(StatusEntry::Ask { id: id.clone(), asked: None });
        }
        let _turn = turn.lock().await;
        if let Err(error) = self.write(&entries).await {
            debug!(topic = %self.topic, "a question that is over stays in the topic: {error}");
        }
    }
}

/// What is asked, with how long its answer is waited for.
fn timed(mut what: Value, within: Duration) -> Value {
    if let Value::Object(fields) = &mut what {
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        fields.insert(WITHIN.to_owned(), Value::from(millis));
    }
    what
}

/// How many parts these are, as records say it.
fn count(parts: &[&str]) -> u32 {
    u32::try_from(parts.len()).unwrap_or(u32::MAX)
}

/// A text in parts that records can hold.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while rest.len() > PART_BYTES {
        let (part, after) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::future::join_all;
    use serde_json::json;
    use tempfile::TempDir;
    use tokio::sync::watch;

    use super::*;
    use crate::broker::local::LocalBroker;
    use crate::broker::{
        Administration, Broker, Created, Output, ReadSpec, Reader, Session, SessionSpec, TopicInfo, TopicSettings,
    };

    /// How long whoever asks waits.
    const WAITS: Duration = Duration::from_secs(5);
    /// How long a test waits, by a clock that goes on by itself while nothing happens.
    const PATIENCE: Duration = Duration::from_secs(600);

    /// What is in a topic: the newest value of each key.
    type Content = BTreeMap<String, Option<Value>>;

    /// A broker that takes as many writes as it may.
    struct Slow {
        inner: LocalBroker,
        may_write: Semaphore,
        content: watch::Sender<Content>,
        /// Writes that were begun, and those that ended.
        writes: watch::Sender<(usize, usize)>,
        _folder: TempDir,
    }

    impl Slow {
        fn new(writes: usize) -> Arc<Self> {
            let folder = tempfile::tempdir().unwrap();
            Arc::new(Self {
                inner: LocalBroker::open(folder.path()).unwrap(),
                may_write: Semaphore::new(writes),
                content: watch::Sender::new(Content::new()),
                writes: watch::Sender::new((0, 0)),
                _folder: folder,
            })
        }

        fn topic(self: &Arc<Self>) -> StatusTopic {
            let broker: Arc<dyn Broker> = self.clone();
            let (worker, worker_id) = ("a".to_owned(), "a:1".to_owned());
            StatusTopic { broker, topic: "status".into(), replication_factor: 1, worker, worker_id }
        }

        /// Waits until there were so many keys, of which none has a value any more.
        async fn cleared(&self, keys: usize) {
            let mut content = self.content.subscribe();
            let is_cleared = |now: &Content| now.len() == keys && now.values().all(Option::is_none);
            let cleared = timeout(PATIENCE, content.wait_for(is_cleared)).await.is_ok_and(|found| found.is_ok());
            assert!(cleared, "{:?}", self.content.borrow());
        }
    }

    #[async_trait]
    impl Broker for Slow {
        fn describe(&self) -> String {
            self.inner.describe()
        }

        fn administration(&self) -> &dyn Administration {
            self.inner.administration()
        }

        async fn session(&self, spec: SessionSpec) -> Result<Box<dyn Session>, BrokerError> {
            self.inner.session(spec).await
        }

        async fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<Created, BrokerError> {
            self.inner.create_topic(name, settings).await
        }

        async fn topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
            self.inner.topics().await
        }

        async fn reader(&self, spec: ReadSpec) -> Result<Box<dyn Reader>, BrokerError> {
            self.inner.reader(spec).await
        }

        async fn write(&self, output: Output, _: &TopicSettings) -> Result<(), BrokerError> {
            self.writes.send_modify(|(begun, _)| *begun += 1);
            self.may_write.acquire().await.unwrap().forget();
            self.content.send_modify(|content| {
                for record in output.batch.frame().records() {
                    let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                    content.insert(key, record.value.map(|value| serde_json::from_slice(value).unwrap()));
                }
            });
            self.writes.send_modify(|(_, ended)| *ended += 1);
            Ok(())
        }
    }

    fn running() -> Value {
        json!({"ask": "running"})
    }

    /// What this worker reads of another one's question.
    fn read(statuses: &Statuses, inbox: &mut mpsc::Receiver<Question>, id: &str, what: Value) -> Question {
        let asked = Asked { to: "a".to_owned(), what };
        statuses.questions(|questions| questions.asked(id.to_owned(), asked));
        inbox.try_recv().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_cleared_away_also_where_whoever_asked_is_gone() {
        let (broker, statuses) = (Slow::new(10), Statuses::default());
        let topic = broker.topic();
        // Its client hangs up.
        timeout(WAITS / 2, topic.ask(&statuses, "b", running(), WAITS)).await.unwrap_err();
        broker.cleared(2).await;
        // Nobody answers.
        let answer = topic.ask(&statuses, "b", running(), WAITS).await;
        assert!(matches!(answer, Err(AskError::Silent(..))), "{answer:?}");
        broker.cleared(4).await;
        assert!(statuses.questions(|questions| questions.open.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_says_how_long_it_is_waited_for_and_is_late_after_that() {
        let statuses = Statuses::default();
        let mut inbox = statuses.questions_to("a");
        let within = Duration::from_secs(2);
        let question = read(&statuses, &mut inbox, "1", timed(running(), within));
        assert_eq!(question.what, running());
        let now = Instant::now();
        assert!(!question.is_late(now + within / 2) && question.is_late(now + within));
        // An older worker does not say it, or says it in a way that is not known.
        for what in [running(), json!({"ask": "running", WITHIN: "soon"})] {
            let question = read(&statuses, &mut inbox, "2", what);
            assert!(!question.is_late(now + UNSAID / 2) && question.is_late(now + UNSAID));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_is_not_answered() {
        let (broker, statuses) = (Slow::new(10), Statuses::default());
        let mut inbox = statuses.questions_to("a");
        let question = read(&statuses, &mut inbox, "1", running());
        tokio::time::advance(UNSAID).await;
        broker.topic().answer(&statuses, &question, &Value::Null).await.unwrap();
        assert_eq!(*broker.writes.borrow(), (0, 0));
        broker.cleared(2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_clears_away_what_whoever_asked_has_left() {
        let (broker, statuses) = (Slow::new(10), Statuses::default());
        let (topic, mut inbox) = (broker.topic(), statuses.questions_to("a"));
        // In two parts.
        for (id, keys) in [("1", 3), ("2", 6)] {
            let question = read(&statuses, &mut inbox, id, running());
            topic.answer(&statuses, &question, &json!("b".repeat(PART_BYTES))).await.unwrap();
            let there = broker.content.borrow().values().flatten().count();
            assert_eq!(there, 2);
            let answered = Instant::now();
            broker.cleared(keys).await;
            assert!((KEPT..=KEPT * 2).contains(&answered.elapsed()), "{:?}", answered.elapsed());
        }
        // Nobody has anything to clear away any more; then there is something again.
        sleep(KEPT * 3).await;
        assert!(!statuses.questions(|questions| questions.is_clearing));
        topic.pass_over(&statuses, &read(&statuses, &mut inbox, "3", running()));
        broker.cleared(7).await;
    }

    #[tokio::test(start_paused = true)]
    async fn questions_beyond_the_bound_fail_at_once_until_writes_have_ended() {
        let (broker, statuses) = (Slow::new(0), Statuses::default());
        let topic = broker.topic();
        let ask = || topic.ask(&statuses, "b", running(), WAITS);
        let answers = join_all((0..OPEN).map(|_| ask())).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(AskError::Silent(..)))));
        // Nobody waits any more, but what was begun has not ended; and one write at most is in the way of others.
        let given_up = Instant::now();
        let answer = ask().await;
        assert!(matches!(answer, Err(AskError::Busy(_))), "{answer:?}");
        assert_eq!((given_up.elapsed(), *broker.writes.borrow()), (Duration::ZERO, (1, 0)));
        broker.may_write.add_permits(10);
        // The others are not written any more.
        broker.cleared(2).await;
        let answer = ask().await;
        assert!(matches!(answer, Err(AskError::Silent(..))), "{answer:?}");
    }

    #[test]
    fn parts_are_put_together_in_whatever_order_they_come() {
        let text = format!("a{}", "ä".repeat(PART_BYTES));
        let parts = parts(&text);
        assert!(parts.len() == 3 && parts.iter().all(|part| part.len() <= PART_BYTES));
        let mut questions = Questions::default();
        let (done, mut is_done) = oneshot::channel();
        questions.open.insert("q".to_owned(), Open { parts: BTreeMap::new(), done: Some(done) });
        let parts: Vec<_> = (0..).zip(parts).collect();
        for (part, text) in parts.iter().rev() {
            assert!(is_done.try_recv().is_err());
            questions.answered("q", *part, AnswerPart { of: 3, text: (*text).to_owned() });
        }
        assert_eq!(is_done.try_recv(), Ok(text));
        questions.answered("q", 0, AnswerPart { of: 3, text: String::new() });
        questions.answered("other", 0, AnswerPart { of: 1, text: String::new() });
    }

    #[test]
    fn a_worker_hears_what_it_is_asked_and_nothing_else() {
        let statuses = Statuses::default();
        let mut inbox = statuses.questions_to("a");
        for (id, to) in [("1", "b"), ("2", "a")] {
            let asked = Asked { to: to.to_owned(), what: Value::Null };
            statuses.questions(|questions| questions.asked(id.to_owned(), asked));
        }
        assert_eq!(inbox.try_recv().map(|question| question.id), Ok("2".to_owned()));
        assert!(inbox.try_recv().is_err());
    }
}
