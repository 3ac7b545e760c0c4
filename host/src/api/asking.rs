//! What this worker asks the others of what they run, and answers them: logs, traces, topics and counters of tasks are known
//! where a task runs, and whichever worker is asked tells them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::app::App;
use super::error::ApiError;
use super::v1;
use crate::control::{ConnectorStatus, TaskStatus};

/// How long what the others run is as good as new: many may look at it, and often.
const FRESH: Duration = Duration::from_secs(1);

/// How long a worker may take to answer that one needs to know.
const ONE_WITHIN: Duration = Duration::from_secs(5);
/// The same where all are asked: one that was killed a moment ago holds nobody up for long.
const ALL_WITHIN: Duration = Duration::from_secs(2);

/// What workers ask each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Ask {
    /// What a task logged lately.
    Logs { connector: String, task: u32, limit: usize },
    /// Why a task is in its state.
    Trace { connector: String, task: u32 },
    /// The topics that a connector has used there.
    Topics { connector: String },
    /// That these are forgotten.
    ForgetTopics { connector: String },
    /// All that runs there, with its counters.
    Running,
}

/// What the other workers run, as it was told last.
#[derive(Default)]
pub(super) struct Elsewhere(Mutex<Option<(Instant, Arc<Vec<Value>>)>>);

impl App {
    /// The worker that runs a task, where that is another one.
    pub(super) fn runs_elsewhere(&self, connector: &str, task: Option<&TaskStatus>) -> Option<String> {
        let task = task.filter(|task| !task.ours)?;
        let own = &self.status_topic.as_ref()?.worker;
        let said = self.statuses.task(connector, task.id, Instant::now())?;
        Some(said.worker).filter(|worker| worker != own)
    }

    /// Asks another worker.
    pub(super) async fn ask(&self, worker: &str, ask: &Ask) -> Result<Value, ApiError> {
        self.ask_within(worker, ask, ONE_WITHIN).await
    }

    async fn ask_within(&self, worker: &str, ask: &Ask, within: Duration) -> Result<Value, ApiError> {
        let unavailable = |why: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why);
        let topic = self.status_topic.as_ref().ok_or_else(|| unavailable("there is no other worker".to_owned()))?;
        let what = serde_json::to_value(ask).map_err(|error| unavailable(error.to_string()))?;
        let answer = topic.ask(&self.statuses, worker, what, within).await;
        match answer.map_err(|error| unavailable(error.to_string()))? {
            // What it was asked for has moved on, or it is older than the question.
            Value::Null => Err(unavailable(format!("worker {worker} does not know it"))),
            answer => Ok(answer),
        }
    }

    /// Asks all other workers that live. One that does not answer has nothing to say.
    pub(super) async fn ask_all(&self, ask: &Ask) -> Vec<Value> {
        let Some(topic) = &self.status_topic else { return Vec::new() };
        let workers = self.statuses.workers(Instant::now());
        let others: Vec<_> = workers.into_iter().filter(|worker| *worker != topic.worker).collect();
        let answers = join_all(others.iter().map(|worker| self.ask_within(worker, ask, ALL_WITHIN))).await;
        let told = |(worker, answer): (&String, Result<Value, ApiError>)| {
            answer.inspect_err(|error| debug!(worker, "what another worker runs is not known: {}", error.message)).ok()
        };
        others.iter().zip(answers).filter_map(told).collect()
    }

    /// What the other workers run, in the shape of [`running`]. Many who ask at once ask them once.
    pub(super) async fn running_elsewhere(&self) -> Arc<Vec<Value>> {
        let mut known = self.elsewhere().0.lock().await;
        if let Some((_, told)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Arc::clone(told);
        }
        let told = Arc::new(self.ask_all(&Ask::Running).await);
        *known = Some((Instant::now(), Arc::clone(&told)));
        told
    }
}

/// Answers the other workers until it is dropped. What they do not wait for any more is passed over: after a stall that
/// may be many questions.
pub(super) async fn answer(app: App) {
    let Some(topic) = app.status_topic.clone() else { return std::future::pending().await };
    let mut questions = app.statuses.questions_to(&topic.worker);
    while let Some(question) = questions.recv().await {
        if question.is_late(Instant::now()) {
            debug!(topic = %topic.topic, "a question of another worker is passed over: it is too late");
            topic.pass_over(&app.statuses, &question);
            continue;
        }
        // A newer worker may ask for what this one does not know.
        let ask = serde_json::from_value(question.what.clone());
        let said = ask.map_or(Value::Null, |ask| say(&app, ask));
        if let Err(error) = topic.answer(&app.statuses, &question, &said).await {
            warn!(topic = %topic.topic, "a question of another worker is not answered: {error}");
        }
    }
    std::future::pending().await
}

fn say(app: &App, ask: Ask) -> Value {
    match ask {
        Ask::Logs { connector, task, limit } => json!({"lines": app.logs.of(&connector, u64::from(task), limit)}),
        Ask::Trace { connector, task } => {
            let connector = app.connector(&connector);
            let task = connector.and_then(|connector| connector.tasks.into_iter().find(|known| known.id == task));
            task.map_or(Value::Null, |task| json!(v1::Trace::of(&task)))
        }
        Ask::Topics { connector } => json!(app.connector(&connector).map(|connector| topics(&connector))),
        Ask::ForgetTopics { connector } => {
            forget_topics(app, &connector);
            json!(true)
        }
        Ask::Running => running(app),
    }
}

/// The topics that a connector has used on this worker.
pub(super) fn topics(connector: &ConnectorStatus) -> Vec<String> {
    connector.tasks.iter().flat_map(|task| task.progress.topics()).map(|topic| topic.to_string()).collect()
}

/// Forgets these.
pub(super) fn forget_topics(app: &App, connector: &str) {
    if let Some(connector) = app.connector(connector) {
        connector.tasks.iter().for_each(|task| task.progress.forget_topics());
    }
}

/// What is this worker's own of all that runs: of each connector its tasks, and what is to be said of itself.
fn running(app: &App) -> Value {
    let status = app.status().borrow().clone();
    let mut connectors = Map::new();
    for connector in &status.connectors {
        let tasks = connector.tasks.iter().filter(|task| task.ours);
        let tasks: Vec<_> = tasks.map(|task| v1::task(task, &app.worker_id)).collect();
        if connector.ours || !tasks.is_empty() {
            let own = connector.ours.then(|| json!({"state": connector.state, "reason": connector.reason}));
            connectors.insert(connector.name.clone(), json!({"own": own, "tasks": tasks}));
        }
    }
    Value::Object(connectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers say with a question how long they wait; an older one has that in what it is asked.
    #[test]
    fn a_question_is_understood_with_more_in_it_than_is_known() {
        let read = |what: Value| serde_json::from_value::<Ask>(what).unwrap();
        assert!(matches!(read(json!({"ask": "running", "within_ms": 2_000})), Ask::Running));
        let asked = read(json!({"ask": "logs", "connector": "c", "task": 1, "limit": 5, "within_ms": 5_000}));
        assert!(matches!(asked, Ask::Logs { task: 1, limit: 5, .. }), "{asked:?}");
    }
}
