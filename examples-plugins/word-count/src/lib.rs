//! `word-count`: a transform with state, the smallest that is of use. Where a plugin's author sees how state is kept.
//!
//! The counts live with the host, under the word. A call reads each of its words once and writes it once; the host makes
//! the counts durable together with the records they came from, so no word is counted twice or lost.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sandbar_plugin::host::{metric, state};
use sandbar_plugin::serde_json;
use sandbar_plugin::{Error, InputRecord, Records, Result, Task, Transform, TransformBatch};
use serde::{Deserialize, Serialize};

/// Longer words are no words: a key of state may have so many bytes.
const MAX_WORD_BYTES: usize = 1024;

/// The configuration; `manifest.json` describes the keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Whether case is no difference.
    pub lowercase: bool,
    /// The least number of letters.
    #[serde(rename = "min.length")]
    pub min_length: usize,
    /// When counts are told.
    pub emit: Emit,
}

impl Default for Config {
    fn default() -> Self {
        Self { lowercase: true, min_length: 1, emit: Emit::Updates }
    }
}

/// When counts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emit {
    /// At each word.
    Updates,
    /// At the end of a call, for each of its words.
    BatchEnd,
}

/// The transform.
pub struct WordCount {
    config: Config,
}

/// A word of the call in progress.
struct Tally<'a> {
    count: u64,
    /// The last record that holds it.
    last: InputRecord<'a>,
}

/// What is emitted of a word.
#[derive(Serialize)]
struct Count<'a> {
    word: &'a str,
    count: u64,
}

impl Transform for WordCount {
    type Config = Config;

    fn open(config: Config, _task: &Task) -> Result<Self> {
        Ok(Self { config })
    }

    fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> Result<()> {
        let mut tallies: HashMap<String, Tally<'_>> = HashMap::new();
        for record in records {
            let Some(value) = record.value else { continue };
            let text = match std::str::from_utf8(value) {
                Ok(text) => text,
                Err(error) => {
                    out.fail(&record, format!("the value is not text: {error}"));
                    continue;
                }
            };
            for word in self.words(text) {
                let count = count(&mut tallies, &word, record)?;
                if self.config.emit == Emit::Updates {
                    emit(out, &record, &word, count)?;
                }
            }
        }
        for (word, tally) in &tallies {
            state::put(word.as_bytes(), tally.count.to_string().as_bytes())?;
        }
        if self.config.emit == Emit::BatchEnd {
            let mut ends: Vec<_> = tallies.iter().collect();
            ends.sort_by_key(|(word, tally)| (tally.last.index(), *word));
            for (word, tally) in ends {
                emit(out, &tally.last, word, tally.count)?;
            }
        }
        Ok(())
    }
}

impl WordCount {
    fn words(&self, text: &str) -> impl Iterator<Item = String> {
        let Config { lowercase, min_length, .. } = self.config;
        text.split(|letter: char| !letter.is_alphanumeric())
            .filter(move |word| !word.is_empty() && word.chars().count() >= min_length)
            .map(move |word| if lowercase { word.to_lowercase() } else { word.to_owned() })
            .filter(|word| {
                let fits = word.len() <= MAX_WORD_BYTES;
                if !fits {
                    metric::counter("words_too_long_total", 1.0);
                }
                fits
            })
    }
}

/// Counts a word once more and returns its count; the first time in a call the count so far is read from the state.
fn count<'a>(tallies: &mut HashMap<String, Tally<'a>>, word: &str, record: InputRecord<'a>) -> Result<u64> {
    let tally = match tallies.entry(word.to_owned()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let count = stored(word)?;
            new.insert(Tally { count, last: record })
        }
    };
    tally.count += 1;
    tally.last = record;
    Ok(tally.count)
}

fn stored(word: &str) -> Result<u64> {
    let Some(value) = state::get(word.as_bytes()) else { return Ok(0) };
    let count = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
    count.ok_or_else(|| Error::fatal(format!("the stored count of \"{word}\" is not a number")))
}

fn emit(out: &mut TransformBatch, from: &InputRecord<'_>, word: &str, count: u64) -> Result<()> {
    let value = serde_json::to_vec(&Count { word, count })?;
    out.emit(from, Some(word.as_bytes()), Some(&value));
    Ok(())
}

sandbar_plugin::export! {
    transform: WordCount,
    manifest: include_str!("../manifest.json"),
}
