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
#[path = "asking_tests.rs"]
mod tests;
