//! Questions of workers to each other, by the topic of states: so a worker answers for what another one runs, and needs
//! neither its address nor its credentials.
//!
//! Whoever asks waits for a few seconds, and clears the question and its answer away.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::status_entry::{AnswerPart, Asked, StatusEntry};
use super::statuses::{StatusTopic, Statuses};
use crate::broker::BrokerError;

/// Questions that may wait to be answered; those beyond are not.
const WAITING: usize = 256;
/// How much of an answer one record holds, in bytes: half of what a broker takes by default.
const PART_BYTES: usize = 512 << 10;
/// Parts of one answer: more than a worker can have to say.
const PARTS: u32 = 128;

/// A question that another worker asked this one.
#[derive(Debug)]
pub struct Question {
    id: String,
    /// What it wants to know.
    pub what: Value,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
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
#[derive(Default)]
pub(super) struct Questions {
    /// This worker's name, and who answers for it.
    inbox: Option<(String, mpsc::Sender<Question>)>,
    /// What this worker asked.
    open: HashMap<String, Open>,
}

struct Open {
    parts: BTreeMap<u32, String>,
    done: Option<oneshot::Sender<String>>,
}

impl Questions {
    pub(super) fn asked(&mut self, id: String, asked: Asked) {
        if let Some((_, inbox)) = self.inbox.as_ref().filter(|(name, _)| *name == asked.to)
            && inbox.try_send(Question { id, what: asked.what }).is_err()
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
}

impl Statuses {
    /// What other workers ask the worker of this name, from now on.
    #[must_use]
    pub fn questions_to(&self, worker: &str) -> mpsc::Receiver<Question> {
        let (inbox, questions) = mpsc::channel(WAITING);
        self.questions(|questions| questions.inbox = Some((worker.to_owned(), inbox)));
        questions
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
        let number = getrandom::u64().map_err(|error| broker(BrokerError::fatal("draw a number", error)))?;
        let id = format!("{}-{number:016x}", self.worker);
        let (done, is_done) = oneshot::channel();
        statuses.questions(|questions| {
            questions.open.insert(id.clone(), Open { parts: BTreeMap::new(), done: Some(done) });
        });
        let _over = Over(statuses, &id);
        let asked = Asked { to: worker.to_owned(), what };
        // A broker that is away would keep the write for longer than anybody waits.
        let exchange = async {
            self.write(&[StatusEntry::Ask { id: id.clone(), asked: Some(asked) }]).await.map_err(broker)?;
            is_done.await.map_err(|_| AskError::Silent(worker.to_owned(), within))
        };
        let answer = timeout(within, exchange).await.map_err(|_| AskError::Silent(worker.to_owned(), within)).flatten();
        self.clear(id.clone(), answer.as_ref().map_or(1, |text| parts(text).len()));
        serde_json::from_str(&answer?).map_err(|_| AskError::Unreadable(worker.to_owned()))
    }

    /// Answers another worker.
    pub async fn answer(&self, question: &Question, answer: &Value) -> Result<(), BrokerError> {
        let text = answer.to_string();
        let parts = parts(&text);
        let of = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (part, text) in (0..).zip(parts) {
            let answer = Some(AnswerPart { of, text: text.to_owned() });
            self.write(&[StatusEntry::Answer { id: question.id.clone(), part, answer }]).await?;
        }
        Ok(())
    }

    /// Clears a question and its answer away, while whoever asked goes on.
    fn clear(&self, id: String, parts: usize) {
        let topic = self.clone();
        tokio::spawn(async move {
            let parts = u32::try_from(parts).unwrap_or(PARTS);
            let answers = (0..parts).map(|part| StatusEntry::Answer { id: id.clone(), part, answer: None });
            let entries: Vec<_> = answers.chain([StatusEntry::Ask { id: id.clone(), asked: None }]).collect();
            if let Err(error) = topic.write(&entries).await {
                debug!(topic = %topic.topic, "a question that is over stays in the topic: {error}");
            }
        });
    }
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
    use super::*;

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
