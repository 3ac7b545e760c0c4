//! Says to the other workers of the group what this one runs, and takes in what they say.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::app::App;
use super::connect::shapes::{ConnectorStateInfo, OwnState, TaskState};
use crate::control::Status;
use crate::storage::{HEARTBEAT, Own, OwnKey, Said};

/// How long changes are collected before they are told: many come at once.
const COLLECT: Duration = Duration::from_millis(200);

/// Does so until it is dropped.
pub(super) async fn tell(app: App) {
    let Some(topic) = app.status_topic.clone() else { return std::future::pending().await };
    let say = async {
        let mut status = app.status();
        let (mut before, mut told, mut failing) = (Own::new(), None, false);
        loop {
            let now = status.borrow_and_update().clone();
            let own = own(&app, &now);
            let is_due = told.is_none_or(|told: Instant| told.elapsed() >= HEARTBEAT);
            if is_due || own != before {
                match topic.say(&mut before, &own, |key| exists(&now, key), &app.statuses).await {
                    Ok(()) => failing = false,
                    Err(error) if !failing => {
                        failing = true;
                        warn!(topic = %topic.topic, "other workers do not learn what this one runs: {error}");
                    }
                    Err(_) => {}
                }
                told = Some(Instant::now());
            }
            tokio::time::sleep(COLLECT).await;
            // The host ends where the status does.
            if let Ok(Err(_)) = tokio::time::timeout(HEARTBEAT - COLLECT, status.changed()).await {
                return std::future::pending().await;
            }
        }
    };
    tokio::join!(say, topic.clone().follow(app.statuses.clone()));
}

/// What this worker runs, as it says it.
fn own(app: &App, status: &Status) -> Own {
    let mut own = Own::new();
    for connector in &status.connectors {
        if connector.ours {
            let OwnState { state, trace, version, .. } = ConnectorStateInfo::of(connector, app).connector;
            own.insert((connector.name.clone(), None), said(app, state.name(), trace, version));
        }
        for task in connector.tasks.iter().filter(|task| task.ours) {
            let TaskState { state, trace, version, .. } = TaskState::of(task, connector, app);
            own.insert((connector.name.clone(), Some(task.id)), said(app, state.name(), trace, version));
        }
    }
    own
}

fn said(app: &App, state: &str, trace: Option<String>, version: Option<String>) -> Said {
    let worker = app.status_topic.as_ref().map(|topic| topic.worker.clone()).unwrap_or_default();
    // When it starts again changes all the time.
    let trace = trace.map(|trace| trace.rsplit_once(" (").map_or(trace.clone(), |(why, _)| why.to_owned()));
    Said { state: state.to_owned(), trace, worker_id: app.worker_id.clone(), generation: 0, version, worker }
}

fn exists(status: &Status, (name, task): &OwnKey) -> bool {
    let connector = status.connectors.iter().find(|connector| connector.name == *name);
    connector.is_some_and(|connector| task.is_none_or(|task| connector.tasks.iter().any(|known| known.id == task)))
}
