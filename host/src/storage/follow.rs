//! Reads the topic from its beginning, says when it has been read whole, and follows it from there.

use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::Record;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::Place;
use super::configs::Configs;
use super::entry::Entry;
use super::write::{Pending, WRITE_HEADER};
use crate::broker::{BatchLimits, Broker, BrokerError, ReadFrom, Reader, Topics};
use crate::task::Backoff;

/// How long one wait for news may take.
const WAIT: Duration = Duration::from_secs(5);
/// The same as long as the topic has not been read whole.
const SHORT_WAIT: Duration = Duration::from_millis(100);
/// Bounds of one answer. An entry is as large as a configuration may be.
pub(super) const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 4 << 20 };
/// The first and the longest pause before a topic that cannot be read is tried again.
pub(super) const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What is known of the topic.
pub enum Stored {
    /// It has been read whole.
    Restored(Whole),
    /// It says more.
    Changed {
        /// What, in order.
        entries: Vec<Entry>,
        /// To be told once that was taken in: those of this worker who wrote it.
        writers: Vec<oneshot::Sender<()>>,
    },
    /// It cannot be read, for this reason; that is tried again.
    Unavailable(String),
}

/// What the topic says when it is read from its beginning to its end.
#[derive(Default)]
pub struct Whole {
    /// What it says.
    pub configs: Configs,
    /// To be told once that was taken in: those of this worker who wrote some of it.
    pub writers: Vec<oneshot::Sender<()>>,
}

/// Follows the topic until nobody listens any more.
pub(super) async fn follow(broker: Arc<dyn Broker>, place: Place, pending: Arc<Pending>, news: mpsc::Sender<Stored>) {
    let _ended = Ended(Arc::clone(&pending));
    let mut again = Backoff::new(AGAIN.0, AGAIN.1);
    let (mut whole, mut next) = (Some(Whole::default()), 0);
    loop {
        let error = match open(&*broker, &place, next).await {
            Ok(reader) => {
                let followed = read(reader, &mut whole, &mut next, &pending, &news, &mut again).await;
                let Err(error) = followed else { return };
                error
            }
            Err(error) => error,
        };
        let why = place.unusable(&error);
        if again.tries() == 0 {
            warn!("what operators want of connectors cannot be read, this is tried again: {why}");
        }
        if news.send(Stored::Unavailable(why)).await.is_err() {
            return;
        }
        tokio::time::sleep(again.next_delay()).await;
    }
}

/// Tells who waits for a write to come back that it will not.
struct Ended(Arc<Pending>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Opens the topic, which is made if it does not exist. One that somebody else made has to be like it.
pub(super) async fn open(broker: &dyn Broker, place: &Place, next: i64) -> Result<Box<dyn Reader>, BrokerError> {
    broker.create_topic(&place.topic, &place.settings()).await?;
    let partitions = broker.administration().ranges(&Topics::Names(vec![place.topic.to_string()])).await?.len();
    if partitions == 0 {
        return Err(BrokerError::retriable("read entries", "it has just been made, and is not there yet"));
    }
    if partitions != 1 {
        let message = format!(
            "it has {partitions} partitions and needs one, for its entries have one order; delete it, or name another one in {}",
            place.key
        );
        return Err(BrokerError::fatal("read entries", message));
    }
    broker.reader(place.from(ReadFrom::Offset(next))).await
}

/// Reads until it fails. Returns an error, or that nobody listens any more.
async fn read(
    mut reader: Box<dyn Reader>,
    whole: &mut Option<Whole>,
    next: &mut i64,
    pending: &Pending,
    news: &mpsc::Sender<Stored>,
    again: &mut Backoff,
) -> Result<(), BrokerError> {
    loop {
        let wait = match &whole {
            // An empty topic is at its end from the start.
            Some(_) if reader.at_end() => Duration::ZERO,
            // What is left at the end may be nothing but gaps.
            Some(_) => SHORT_WAIT,
            None => WAIT,
        };
        let batches = reader.next(LIMITS, wait).await?;
        again.reset();
        let (mut entries, mut writers) = (Vec::new(), Vec::new());
        for batch in batches {
            for record in batch.batch.frame().records() {
                entries.extend(entry(&record));
                writers.extend(written_by(&record).and_then(|id| pending.take(id)));
            }
            *next = batch.next_offset;
        }
        let told = match whole.take() {
            Some(mut all) => {
                entries.into_iter().for_each(|entry| all.configs.apply(entry));
                all.writers.extend(writers);
                if reader.at_end() {
                    news.send(Stored::Restored(all)).await
                } else {
                    *whole = Some(all);
                    Ok(())
                }
            }
            None if entries.is_empty() && writers.is_empty() => Ok(()),
            None => news.send(Stored::Changed { entries, writers }).await,
        };
        if told.is_err() || news.is_closed() {
            return Ok(());
        }
    }
}

/// Reads the topic whole, as far as it was committed when the reader was opened.
pub(super) async fn read_whole(mut reader: Box<dyn Reader>, wait: Duration) -> Result<Configs, BrokerError> {
    let mut configs = Configs::default();
    while !reader.at_end() {
        for batch in reader.next(LIMITS, wait).await? {
            batch.batch.frame().records().filter_map(|record| entry(&record)).for_each(|entry| configs.apply(entry));
        }
    }
    Ok(configs)
}

/// The entry of a record. One that cannot be understood is told, and passed over.
fn entry(record: &Record<'_>) -> Option<Entry> {
    let key = record.key?;
    Entry::decode(key, record.value).unwrap_or_else(|problem| {
        let (key, offset) = (String::from_utf8_lossy(key), record.offset);
        warn!(%key, offset, "an entry of the topic of configurations cannot be used: {problem}");
        None
    })
}

/// The write that a record is part of.
fn written_by(record: &Record<'_>) -> Option<u64> {
    let (_, value) = record.headers.clone().find(|(name, _)| *name == WRITE_HEADER)?;
    std::str::from_utf8(value?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigStorage, Restart};
    use super::*;
    use crate::broker::local::LocalBroker;

    #[tokio::test]
    async fn who_wrote_while_it_was_read_whole_is_told_once_that_was_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let broker: Arc<dyn Broker> = Arc::new(LocalBroker::open(folder.path()).unwrap());
        let place =
            Place { topic: "c".into(), key: "config.storage.topic", group: "g".to_owned(), replication_factor: 1 };
        let storage = ConfigStorage::new(Arc::clone(&broker), place.clone());
        let writer = storage.clone();
        let entry = || Entry::Restart { name: "a".to_owned(), what: Restart::Task(0) };
        let mut writes = tokio::spawn(async move { writer.change(|_| (vec![entry()], ())).await });
        let topic = Topics::Names(vec!["c".to_owned()]);
        // It is written before anybody reads, and waits.
        while broker.administration().ranges(&topic).await.unwrap().iter().all(|(_, (start, end))| start == end) {
            tokio::task::yield_now().await;
        }
        let (mut told, follows) = storage.follow();
        let follows = tokio::spawn(follows);
        let Some(Stored::Restored(whole)) = told.recv().await else { panic!("it was not read whole") };
        assert!(tokio::time::timeout(SHORT_WAIT, &mut writes).await.is_err(), "it was told before");
        assert_eq!(whole.writers.len(), 1);
        whole.writers.into_iter().for_each(|writer| writer.send(()).unwrap());
        writes.await.unwrap().unwrap();
        drop(told);
        follows.abort();
    }
}
