//! Questions over a broker that takes as many writes as a test lets it take.

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
