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

/// Makes sure that a topic holds each update of each word once: of a word that came `n` times in an input partition the
/// counts 1 to `n`.
pub async fn check_updates(broker: &dyn Broker, topic: &str, model: &Counts) -> Result<()> {
    let mut told: HashMap<String, Vec<u64>> = HashMap::new();
    topics::for_each(broker, topic, |_, record| {
        let update: Update<'_> = serde_json::from_str(topics::value(record)?)?;
        ensure!(topics::key(record)? == update.word, "the key is not the word");
        if let Some(counts) = told.get_mut(update.word) {
            counts.push(update.count);
        } else {
            told.insert(update.word.to_owned(), vec![update.count]);
        }
        Ok(())
    })
    .await?;
    let mut due: HashMap<&str, Vec<u64>> = HashMap::new();
    for (word, count) in model.values().flatten() {
        due.entry(word).or_default().extend(1..=*count);
    }
    ensure!(told.len() == due.len(), "{} words were told of and not {}", told.len(), due.len());
    for (word, mut due) in due {
        let mut told = told.remove(word).with_context(|| format!("{word} was never told of"))?;
        due.sort_unstable();
        told.sort_unstable();
        let first = due.iter().zip(&told).position(|(due, told)| due != told);
        ensure!(
            due == told,
            "{word}: {} updates and not {}, they differ from the {first:?}th smallest on",
            told.len(),
            due.len()
        );
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
