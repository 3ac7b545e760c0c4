//! What was done about dead letters, kept as state beside their topic; and letters that were chosen, to do something
//! about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::letter_reads::{self, Budget};
use super::letters::Place;
use crate::api::app::App;
use crate::api::error::ApiError;
use crate::broker::{
    BrokerError, Commit, Output, PartitionBatch, Session, SessionSpec, StateChange, StatePlace, StateScope,
    TopicPartition, TopicSettings,
};

/// The stage of the state in which is kept what was done about letters. No alias is like it.
const STAGE: &str = "sandbar/dead-letters";
/// In place of a task's number in the transactional id.
const NO_TASK: u32 = u32::MAX;
/// A transaction is open for as long as it takes to commit it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Letters that were chosen, read under a transactional id that nobody else can have at the same time.
pub(super) struct Letters {
    pub(super) chosen: BTreeSet<Place>,
    pub(super) batches: Vec<PartitionBatch>,
    /// What was done about letters before.
    pub(super) handled: BTreeMap<Place, String>,
    /// Of which of them the topic has removed the letter.
    outlived: Vec<Place>,
    topic: Arc<str>,
    session: Box<dyn Session>,
}

/// Reads letters that were chosen, to do something about them.
pub(super) async fn open(
    app: &App,
    connector: &str,
    topic: &str,
    chosen: BTreeSet<Place>,
) -> Result<Letters, ApiError> {
    let partitions: BTreeSet<i32> = chosen.iter().map(|place| place.partition).collect();
    let known = letter_reads::ranges(app, topic).await?;
    for Place { partition, offset } in &chosen {
        let Some((start, end)) = known.get(partition) else {
            return Err(ApiError::bad_request(format!("topic {topic} has no partition {partition}")));
        };
        if !(*start..*end).contains(offset) {
            return Err(ApiError::bad_request(format!(
                "there is no letter at offset {offset} of partition {partition}"
            )));
        }
    }
    let mut session = app.broker.session(spec(app, connector)).await?;
    let found = async {
        let handled = load(&mut *session, topic, partitions.iter().copied()).await?;
        let mut budget = Budget::beside(0);
        let batches = letter_reads::read_places(app, topic, &chosen, &mut budget).await?;
        Ok::<_, ApiError>((handled, batches))
    }
    .await;
    match found {
        Ok((handled, batches)) => {
            let outlived = outlived(&handled, &known);
            Ok(Letters { chosen, batches, handled, outlived, topic: topic.into(), session })
        }
        Err(error) => {
            // It has done nothing yet.
            let _ = session.close().await;
            Err(error)
        }
    }
}

impl Letters {
    /// The change of state that says what is done about a letter.
    pub(super) fn change(&self, place: &Place, what: Option<&str>) -> StateChange {
        StateChange {
            scope: scope(&self.topic, place.partition),
            key: place.offset.to_string().into(),
            value: what.map(|what| Bytes::copy_from_slice(what.as_bytes())),
        }
    }

    /// Writes what goes back and what was done, in one transaction, and forgets what was done about letters that are not
    /// there any more.
    pub(super) async fn commit(mut self, output: Option<Output>, mut state: Vec<StateChange>) -> Result<(), ApiError> {
        state.extend(self.outlived.iter().map(|place| self.change(place, None)));
        let session = &mut self.session;
        let written: Result<(), BrokerError> = async {
            if let Some(output) = output {
                session.stage(output).await?;
            }
            if state.is_empty() {
                return Ok(());
            }
            session.commit(Commit { state, ..Commit::default() }).await
        }
        .await;
        self.close().await;
        Ok(written?)
    }

    /// Lets them be.
    pub(super) async fn close(self) {
        // What was not committed is undone.
        let _ = self.session.close().await;
    }
}

fn spec(app: &App, connector: &str) -> SessionSpec {
    SessionSpec {
        worker_group: app.worker.group_id.clone(),
        connector: connector.to_owned(),
        task: NO_TASK,
        input: None,
        topic_settings: TopicSettings {
            replication_factor: app.worker.topic_defaults.replication_factor,
            ..TopicSettings::default()
        },
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: TRANSACTION_TIMEOUT,
    }
}

fn scope(topic: &Arc<str>, partition: i32) -> StateScope {
    StateScope { stage: STAGE.into(), place: StatePlace::Partition(TopicPartition::new(Arc::clone(topic), partition)) }
}

async fn load(
    session: &mut dyn Session,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> Result<BTreeMap<Place, String>, BrokerError> {
    let topic: Arc<str> = topic.into();
    let mut handled = BTreeMap::new();
    for partition in partitions {
        let state = session.load_state(&scope(&topic, partition)).await?;
        handled.extend(state.iter().filter_map(|(offset, what)| read_mark(partition, offset, what)));
    }
    Ok(handled)
}

/// What was done about the letters of partitions.
pub(super) async fn handled(
    app: &App,
    connector: &str,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> Result<BTreeMap<Place, String>, ApiError> {
    let topic: Arc<str> = topic.into();
    let mut handled = BTreeMap::new();
    for partition in partitions {
        let state =
            app.broker.administration().state(&app.worker.group_id, connector, &scope(&topic, partition)).await?;
        handled.extend(state.iter().filter_map(|(offset, what)| read_mark(partition, offset, what)));
    }
    Ok(handled)
}

/// What was done about a letter, as it is kept.
fn read_mark(partition: i32, offset: &[u8], what: &[u8]) -> Option<(Place, String)> {
    let offset = std::str::from_utf8(offset).ok()?.parse().ok()?;
    Some((Place { partition, offset }, String::from_utf8_lossy(what).into_owned()))
}

/// The places before the first offset that is kept of their partition.
fn outlived(handled: &BTreeMap<Place, String>, ranges: &BTreeMap<i32, (i64, i64)>) -> Vec<Place> {
    let is_gone = |place: &&Place| ranges.get(&place.partition).is_some_and(|(start, _)| place.offset < *start);
    handled.keys().filter(is_gone).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_with_their_letters() {
        let place = |partition, offset| Place { partition, offset };
        let handled = [place(0, 4), place(0, 5), place(1, 0), place(2, 0)].map(|place| (place, "replayed".to_owned()));
        let ranges = BTreeMap::from([(0, (5, 9)), (1, (1, 1)), (2, (0, 0))]);
        assert_eq!(outlived(&handled.into(), &ranges), [place(0, 4), place(1, 0)]);
    }
}
