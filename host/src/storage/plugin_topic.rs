//! The topic of plugins, from one worker's side: followed from its beginning, written, and asked for the bytes of a plugin.
//!
//! Pieces of files are not kept when they are read, but where they are.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::FrameBuilder;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tracing::warn;

use super::Place;
use super::follow::{AGAIN, LIMITS, open};
use super::plugin_entry::{CHUNK_BYTES, Content, Keyed, PluginEntry, PluginKey, PluginPlace, chunk_key, decode};
use crate::batch::Batch;
use crate::broker::{Broker, BrokerError, Output};
use crate::digest::Digest;
use crate::task::Backoff;

/// How long one wait for news may take.
const WAIT: Duration = Duration::from_secs(5);
/// The same for what is known to be there.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct PluginTopic {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The topic.
    pub place: Place,
    /// The worker's name.
    pub worker: String,
}

/// What the topic says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedPlugins {
    plugins: BTreeMap<PluginKey, PluginEntry>,
    /// Where the pieces of files lie in the topic.
    chunks: BTreeMap<Digest, BTreeMap<u32, Piece>>,
    /// When the worker who reads has said something last.
    heard: i64,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    offset: i64,
    /// When it was written, in milliseconds since 1970.
    at: i64,
}

/// Why the bytes of a plugin are not to be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The topic cannot be read.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// What they are was not found out.
    #[error("{0}")]
    Aborted(#[from] JoinError),
    /// Somebody has to write it again.
    #[error("pieces of it are missing")]
    Incomplete,
    /// They are not what they are said to be.
    #[error("its pieces have the sha256 {found}, not {expected}")]
    Corrupt {
        /// What they are.
        found: Digest,
        /// What they should be.
        expected: Digest,
    },
}

impl SharedPlugins {
    /// What is said of a plugin.
    #[must_use]
    pub fn get(&self, key: &PluginKey) -> Option<&PluginEntry> {
        self.plugins.get(key)
    }

    /// All plugins of which something is said.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<PluginKey, PluginEntry> {
        &self.plugins
    }

    /// Whether all pieces of a file are there.
    #[must_use]
    pub fn is_whole(&self, sha256: Digest, place: &PluginPlace) -> bool {
        (0..place.chunks).all(|number| self.offset(sha256, number).is_some())
    }

    /// When the worker who reads has said something last, as far as that has been read back.
    #[must_use]
    pub fn heard(&self) -> i64 {
        self.heard
    }

    fn offset(&self, sha256: Digest, number: u32) -> Option<i64> {
        Some(self.chunks.get(&sha256)?.get(&number)?.offset)
    }

    /// Whether a plugin that is there has this file, another one than that.
    fn is_of_another(&self, sha256: Digest, than: Option<&PluginKey>) -> bool {
        let mut others = self.plugins.iter().filter(|(key, _)| Some(*key) != than);
        others.any(|(_, entry)| entry.place.is_some() && entry.content.sha256 == sha256)
    }

    /// The keys of a file's pieces, if no other plugin has the same file.
    fn pieces_of(&self, sha256: Digest, than: Option<&PluginKey>) -> Vec<String> {
        if self.is_of_another(sha256, than) {
            return Vec::new();
        }
        let numbers = self.chunks.get(&sha256).into_iter().flat_map(BTreeMap::keys);
        numbers.map(|number| chunk_key(sha256, *number)).collect()
    }

    /// What `worker` reads.
    fn apply(&mut self, keyed: Keyed, piece: Piece, worker: &str) {
        match keyed {
            Keyed::Plugin(key, Some(entry)) => {
                if entry.worker == worker {
                    self.heard = self.heard.max(entry.at);
                }
                self.plugins.insert(key, entry);
            }
            Keyed::Plugin(key, None) => drop(self.plugins.remove(&key)),
            Keyed::Chunk(sha256, number, true) => {
                self.chunks.entry(sha256).or_default().insert(number, piece);
            }
            Keyed::Chunk(sha256, number, false) => {
                if let Some(chunks) = self.chunks.get_mut(&sha256) {
                    chunks.remove(&number);
                    if chunks.is_empty() {
                        self.chunks.remove(&sha256);
                    }
                }
            }
        }
    }
}

impl PluginTopic {
    /// Follows the topic until it is dropped. What it says is told once it has been read whole, and from then on.
    pub async fn follow(&self, told: watch::Sender<Option<Arc<SharedPlugins>>>) -> Infallible {
        let mut again = Backoff::new(AGAIN.0, AGAIN.1);
        let (mut shared, mut next) = (SharedPlugins::default(), 0);
        loop {
            let error = match self.read(&mut shared, &mut next, &told, &mut again).await {
                Ok(never) => match never {},
                Err(error) => self.place.unusable(&error),
            };
            if again.tries() == 0 {
                warn!("plugins are not shared with other workers, this is tried again: {error}");
            }
            tokio::time::sleep(again.next_delay()).await;
        }
    }

    async fn read(
        &self,
        shared: &mut SharedPlugins,
        next: &mut i64,
        told: &watch::Sender<Option<Arc<SharedPlugins>>>,
        again: &mut Backoff,
    ) -> Result<Infallible, BrokerError> {
        let mut reader = open(&*self.broker, &self.place, *next).await?;
        loop {
            let was_at_end = reader.at_end();
            let is_told = told.borrow().is_some();
            let wait = match (was_at_end, is_told) {
                // An empty topic is at its end from the start.
                (true, false) => Duration::ZERO,
                (true, true) => WAIT,
                (false, _) => SHORT_WAIT,
            };
            let batches = reader.next(LIMITS, wait).await?;
            again.reset();
            let is_news = !batches.is_empty() || !is_told;
            for batch in batches {
                for record in batch.batch.frame().records() {
                    let (Some(key), Some(offset)) = (record.key, record.offset) else { continue };
                    match decode(key, record.value) {
                        Ok(Some(keyed)) => {
                            let at = record.timestamp.unwrap_or_default();
                            shared.apply(keyed, Piece { offset, at }, &self.worker);
                        }
                        Ok(None) => {}
                        Err(problem) => {
                            let key = String::from_utf8_lossy(key);
                            warn!(%key, offset, "an entry of the topic of plugins cannot be used: {problem}");
                        }
                    }
                }
                *next = batch.next_offset;
            }
            if is_news && reader.at_end() {
                told.send_replace(Some(Arc::new(shared.clone())));
            }
        }
    }

    /// Writes a plugin, pieces first, and lets go of those of what it replaces. `at`: the time of it, in milliseconds since
    /// 1970, later than all that this worker has said.
    pub async fn publish(
        &self,
        key: &PluginKey,
        wasm: &[u8],
        content: Content,
        file: String,
        at: i64,
        known: &SharedPlugins,
    ) -> Result<PluginEntry, BrokerError> {
        let mut chunks = 0;
        for (number, chunk) in (0..).zip(wasm.chunks(CHUNK_BYTES)) {
            chunks = number + 1;
            if known.offset(content.sha256, number).is_none() {
                self.write([(chunk_key(content.sha256, number), Some(chunk))]).await?;
            }
        }
        let place = PluginPlace { bytes: wasm.len() as u64, chunks, file };
        let sha256 = content.sha256;
        let said = self.say(key, PluginEntry { content, place: Some(place), at, worker: self.worker.clone() }).await?;
        if let Some(before) = known.get(key).map(|entry| entry.content.sha256).filter(|before| *before != sha256) {
            self.drop_pieces(known.pieces_of(before, Some(key))).await?;
        }
        Ok(said)
    }

    /// Says that a plugin was taken away, and lets go of its pieces where no other one has the same.
    pub async fn withdraw(
        &self,
        key: &PluginKey,
        content: Content,
        at: i64,
        known: &SharedPlugins,
    ) -> Result<PluginEntry, BrokerError> {
        let sha256 = content.sha256;
        let said = self.say(key, PluginEntry { content, place: None, at, worker: self.worker.clone() }).await?;
        self.drop_pieces(known.pieces_of(sha256, Some(key))).await?;
        Ok(said)
    }

    /// Lets go of pieces that no plugin has and that were written before a time, in milliseconds since 1970: whoever wrote
    /// them did not come to say of which they are.
    pub async fn drop_unclaimed(&self, known: &SharedPlugins, before: i64) -> Result<(), BrokerError> {
        let old = known.chunks.iter().filter(|(_, pieces)| pieces.values().all(|piece| piece.at < before));
        for (sha256, _) in old {
            self.drop_pieces(known.pieces_of(*sha256, None)).await?;
        }
        Ok(())
    }

    async fn drop_pieces(&self, keys: Vec<String>) -> Result<(), BrokerError> {
        if keys.is_empty() { Ok(()) } else { self.write(keys.into_iter().map(|key| (key, None))).await }
    }

    /// The bytes of a plugin.
    pub async fn fetch(
        &self,
        sha256: Digest,
        place: &PluginPlace,
        known: &SharedPlugins,
    ) -> Result<Vec<u8>, FetchError> {
        let offsets: Option<Vec<_>> = (0..place.chunks).map(|number| known.offset(sha256, number)).collect();
        let offsets = offsets.ok_or(FetchError::Incomplete)?;
        let mut wasm = Vec::new();
        if let Some(first) = offsets.iter().min() {
            let mut chunks = BTreeMap::new();
            let mut reader = open(&*self.broker, &self.place, *first).await?;
            while chunks.len() < offsets.len() && !reader.at_end() {
                for batch in reader.next(LIMITS, SHORT_WAIT).await? {
                    for record in batch.batch.frame().records() {
                        // The same piece may have been written again.
                        let number = (0..).zip(&offsets).find(|(_, offset)| Some(**offset) == record.offset);
                        if let (Some((number, _)), Some(value)) = (number, record.value) {
                            chunks.insert(number, value.to_vec());
                        }
                    }
                }
            }
            if chunks.len() < offsets.len() {
                return Err(FetchError::Incomplete);
            }
            wasm = chunks.into_values().collect::<Vec<_>>().concat();
        }
        // Many megabytes of it: not where other tasks wait.
        let (wasm, found) = spawn_blocking(move || {
            let found = Digest::of(&wasm);
            (wasm, found)
        })
        .await?;
        if found == sha256 { Ok(wasm) } else { Err(FetchError::Corrupt { found, expected: sha256 }) }
    }

    /// Says nothing of a plugin any more.
    pub async fn forget(&self, key: &PluginKey) -> Result<(), BrokerError> {
        self.write([(key.encode(), None)]).await
    }

    async fn say(&self, key: &PluginKey, entry: PluginEntry) -> Result<PluginEntry, BrokerError> {
        let value = entry.encode().map_err(|error| BrokerError::fatal("write plugins", error))?;
        self.write([(key.encode(), Some(value.as_bytes()))]).await?;
        Ok(entry)
    }

    async fn write<'v>(
        &self,
        records: impl IntoIterator<Item = (String, Option<&'v [u8]>)>,
    ) -> Result<(), BrokerError> {
        let mut frame = FrameBuilder::new();
        for (key, value) in records {
            frame.record(Some(key.as_bytes()), value);
        }
        let too_large = |error| BrokerError::fatal("write plugins", error);
        let batch = Batch::build(&frame).map_err(too_large)?;
        let output = Output { topic: Arc::clone(&self.place.topic), batch };
        self.broker.write(output, &self.place.settings()).await
    }
}

#[cfg(test)]
mod tests {
    //! On the embedded broker: what one worker writes another one reads.

    use semver::Version;

    use super::*;
    use crate::broker::local::LocalBroker;

    fn topic(folder: &std::path::Path, worker: &str) -> Result<PluginTopic, BrokerError> {
        let place = Place {
            topic: "plugins".into(),
            key: "plugin.storage.topic",
            group: "g".to_owned(),
            replication_factor: 1,
        };
        Ok(PluginTopic { broker: Arc::new(LocalBroker::open(folder)?), place, worker: worker.to_owned() })
    }

    #[tokio::test]
    async fn what_was_written_is_read_and_goes_again() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let topic = topic(folder.path(), "a")?;
        let (tell, mut told) = watch::channel(None);
        let follower = tokio::spawn({
            let topic = topic.clone();
            async move { topic.follow(tell).await }
        });
        let known = told.wait_for(Option::is_some).await?.clone().unwrap_or_default();
        assert_eq!(*known, SharedPlugins::default());

        let wasm: Vec<u8> = (0..2 * CHUNK_BYTES + 5).map(|n| (n % 251) as u8).collect();
        let key = PluginKey { name: "p".to_owned(), version: Version::new(1, 0, 0) };
        let content = Content { sha256: Digest::of(&wasm), signature: None };
        let said = topic.publish(&key, &wasm, content.clone(), "p.wasm".to_owned(), 1, &known).await?;
        let is_heard =
            |at: i64| move |shared: &Option<Arc<SharedPlugins>>| shared.as_ref().is_some_and(|s| s.heard() >= at);
        let known = told.wait_for(is_heard(1)).await?.clone().unwrap_or_default();
        assert_eq!(known.get(&key), Some(&said));
        let place = said.place.as_ref().ok_or("a place")?;
        assert!(known.is_whole(content.sha256, place) && place.chunks == 3);
        assert_eq!(topic.fetch(content.sha256, place, &known).await?, wasm);
        let other = Digest::of(b"other");
        assert!(matches!(topic.fetch(other, place, &known).await, Err(FetchError::Incomplete)));

        // What takes its place has the pieces to itself.
        let new = Content { sha256: Digest::of(b"new"), signature: None };
        topic.publish(&key, b"new", new.clone(), "p.wasm".to_owned(), 2, &known).await?;
        let has = |sha256: Digest, count: usize| {
            move |shared: &Option<Arc<SharedPlugins>>| {
                shared.as_ref().is_some_and(|s| s.chunks.len() == count && s.chunks.contains_key(&sha256))
            }
        };
        let known = told.wait_for(has(new.sha256, 1)).await?.clone().unwrap_or_default();

        // What nobody says anything of goes, once it is old.
        let unclaimed = Digest::of(b"unclaimed");
        topic.write([(chunk_key(unclaimed, 0), Some(b"unclaimed".as_slice()))]).await?;
        let with = told.wait_for(has(unclaimed, 2)).await?.clone().unwrap_or_default();
        topic.drop_unclaimed(&with, 0).await?;
        topic.drop_unclaimed(&with, i64::MAX).await?;
        told.wait_for(has(new.sha256, 1)).await?;

        let said = topic.withdraw(&key, new, 3, &known).await?;
        let is_gone = |shared: &Option<Arc<SharedPlugins>>| {
            shared.as_ref().is_some_and(|s| s.get(&key) == Some(&said) && s.chunks.is_empty())
        };
        told.wait_for(is_gone).await?;
        follower.abort();
        Ok(())
    }
}
