//! A model of the `word-count` plugin: what it must have counted, what it must have told, and what its state must be.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::{Broker, SessionSpec, StatePlace, StateScope, TopicPartition, TopicSettings};
use serde::Deserialize;

use crate::topics;

/// How often each word came, by input partition.
pub type Counts = BTreeMap<i32, HashMap<String, u64>>;

/// Counts the words of a topic's values as the plugin does that leaves out words of fewer letters than `min_length`.
pub async fn count(broker: &dyn Broker, topic: &str, min_length: usize) -> Result<Counts> {
    let mut counts = Counts::new();
    topics::for_each(broker, topic, |partition, record| {
        let counts = counts.entry(partition).or_default();
        for word in topics::value(record)?.split(|letter: char| !letter.is_alphanumeric()) {
            if word.is_empty() || word.chars().count() < min_length {
                continue;
            }
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        Ok(())
    })
    .await?;
    Ok(counts)
}

/// What the plugin emits of a word.
#[derive(Deserialize)]
struct Update<'a> {
    word: &'a str,
    count: u64,
}

/// Makes sure that a topic holds each update of each word once and in order: of a word that came `n` times in an input
/// partition the counts 1 to `n`, one after the other, however those of different input partitions are mixed.
pub async fn check_updates(broker: &dyn Broker, topic: &str, model: &Counts) -> Result<()> {
    // How far each input partition has come with a word. Which of them is where cannot be told, and does not matter.
    let mut reached: HashMap<String, Vec<u64>> = HashMap::new();
    topics::for_each(broker, topic, |_, record| {
        let update: Update<'_> = serde_json::from_str(topics::value(record)?)?;
        ensure!(topics::key(record)? == update.word, "the key is not the word");
        if !reached.contains_key(update.word) {
            reached.insert(update.word.to_owned(), vec![0; model.len()]);
        }
        let reached = reached.get_mut(update.word).context("it was put there")?;
        let next = reached.iter_mut().find(|count| **count + 1 == update.count);
        *next.with_context(|| format!("{} {} follows none before it", update.word, update.count))? = update.count;
        Ok(())
    })
    .await?;
    let mut due: HashMap<&str, Vec<u64>> = HashMap::new();
    for counts in model.values() {
        for word in reached.keys().map(String::as_str).chain(counts.keys().map(String::as_str)) {
            due.entry(word).or_default();
        }
    }
    for (word, due) in &mut due {
        due.extend(model.values().map(|counts| counts.get(*word).copied().unwrap_or_default()));
        due.sort_unstable();
        let mut reached = reached.get(*word).cloned().unwrap_or_default();
        reached.sort_unstable();
        ensure!(reached == *due, "{word}: told of up to {reached:?} in the input partitions, and not {due:?}");
    }
    Ok(())
}

/// Makes sure that the state of a connector that does not run is the model's.
pub async fn check_state(broker: &dyn Broker, group: &str, connector: &str, topic: &str, model: &Counts) -> Result<()> {
    let spec = SessionSpec {
        worker_group: group.to_owned(),
        connector: connector.to_owned(),
        task: 0,
        input: None,
        topic_settings: TopicSettings::default(),
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: Duration::from_secs(10),
    };
    let mut session = broker.session(spec).await?;
    for (partition, due) in model {
        let place = StatePlace::Partition(TopicPartition::new(topic, *partition));
        let pairs = session.load_state(&StateScope { stage: "".into(), place }).await?;
        let mut held = HashMap::new();
        for (word, count) in pairs {
            held.insert(String::from_utf8(word.to_vec())?, std::str::from_utf8(&count)?.parse()?);
        }
        for (word, count) in due {
            let held: Option<&u64> = held.get(word);
            ensure!(held == Some(count), "state of {topic}-{partition}: {word} is {held:?} and not {count}");
        }
        ensure!(held.len() == due.len(), "state of {topic}-{partition}: {} words and not {}", held.len(), due.len());
    }
    session.close().await?;
    Ok(())
}
