//! What a seed runs: two sources, a transform that counts, one that meets a poison record, a sink; and how large all is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// Where the sources write.
pub(super) const LINES: &str = "lines";
/// Where counts are told.
pub(super) const COUNTS: &str = "counts";
/// Where everything is but the poison.
pub(super) const KEPT: &str = "kept";
/// Where the poison is.
pub(super) const DEAD: &str = "dead";
/// Words that are counted have so many letters; the text around them has none.
pub(super) const LETTERS: usize = 8;
/// Words of a record of the first source.
const WORDS: u32 = 2;
/// How long a record is tried again that asks for it, in milliseconds.
const RETRY_MS: u64 = 3_000;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// Partitions of every topic: who comes first creates it.
    pub(super) partitions: i32,
    /// Records of the first source, with words, and of the second, without.
    pub(super) records: [u32; 2],
    /// The number of the record of the second source that breaks its transform.
    pub(super) poison: u32,
    /// How it breaks it.
    mode: &'static str,
    /// Whether there is a second host at times. A sink that writes files is then left out: two hosts must not share a file.
    pub(super) two_hosts: bool,
    /// Where the sink writes.
    folder: PathBuf,
}

impl Scenario {
    pub(super) fn draw(chance: &mut Chance, folder: &Path) -> Self {
        let mut among = |from: u64, to: u64| u32::try_from(chance.among(from..to + 1)).unwrap_or(0);
        let records = [among(5, 60), among(5, 40)];
        Self {
            partitions: among(1, 3).cast_signed(),
            records,
            poison: among(0, u64::from(records[1]) - 1),
            mode: ["fail-record", "panic", "trap", "retry-record"][among(0, 3) as usize],
            two_hosts: among(0, 4) == 0,
            folder: folder.to_owned(),
        }
    }

    /// How many counts are told in all.
    pub(super) fn updates(&self) -> u32 {
        self.records[0] * WORDS
    }

    /// How many records the sources make in all.
    pub(super) fn lines(&self) -> u32 {
        self.records.iter().sum()
    }

    /// The value of the poison.
    pub(super) fn poison(&self) -> String {
        json!({ "n": self.poison, "s": "b" }).to_string()
    }

    /// Where the sink writes the counts.
    pub(super) fn archive(&self) -> PathBuf {
        self.folder.join(COUNTS)
    }

    /// The connectors.
    pub(super) fn connectors(&self) -> Vec<&'static str> {
        let mut connectors = vec!["source-a", "source-b", "count", "sieve"];
        if !self.two_hosts {
            connectors.push("archive");
        }
        connectors
    }

    /// A definition of a connector, with another pace each time.
    pub(super) fn define(&self, connector: &str, state: &str, chance: &mut Chance) -> Result<Arc<[u8]>> {
        let mut config = match connector {
            "source-a" => self.source(
                self.records[0],
                &json!({ "n": "{{seq}}", "s": "a", "w": "{{pick absolute breaking champion}} {{pick daughter elephant}}" }),
            ),
            "source-b" => self.source(self.records[1], &json!({ "n": "{{seq}}", "s": "b" })),
            "count" => json!({
                "connector.class": "word-count", "topics": LINES, "topic": COUNTS, "min.length": LETTERS,
                "topic.creation.default.partitions": self.partitions,
            }),
            "sieve" => json!({
                "connector.class": "faulty", "connector.type": "transform", "topics": LINES, "topic": KEPT,
                "topic.creation.default.partitions": self.partitions, "mode": self.mode, "poison": self.poison(),
                "errors.tolerance": "all", "errors.deadletterqueue.topic.name": DEAD,
                "errors.retry.timeout": RETRY_MS, "errors.retry.delay.max.ms": RETRY_MS,
            }),
            _ => json!({
                "connector.class": "file-sink", "topics": COUNTS, "topic.creation.default.partitions": self.partitions,
                "path": self.folder.join("{topic}/{partition}.jsonl"), "sandbox.fs.write": self.folder,
            }),
        };
        if let Some(config) = config.as_object_mut() {
            pace(connector, config, chance);
        }
        Ok(serde_json::to_vec(&json!({ "name": connector, "config": config, "initial_state": state }))?.into())
    }

    fn source(&self, count: u32, template: &Value) -> Value {
        json!({
            "connector.class": "datagen", "topic": LINES, "topic.creation.default.partitions": self.partitions,
            "count": count, "rate": 0, "key": "{{int 0 9}}", "template": template.to_string(),
        })
    }
}

/// How fast a connector works, and with how many tasks.
fn pace(connector: &str, config: &mut Map<String, Value>, chance: &mut Chance) {
    config.insert("batch.max.records".to_owned(), chance.among(1..9).into());
    config.insert("commit.interval.ms".to_owned(), (1 + chance.among(0..300)).into());
    config.insert("commit.max.records".to_owned(), (1 + chance.among(0..20)).into());
    match connector {
        "source-a" | "source-b" => {
            drop(config.insert("poll.interval.ms".to_owned(), (1 + chance.among(0..100)).into()))
        }
        _ => drop(config.insert("tasks.max".to_owned(), (1 + chance.among(0..3)).into())),
    }
}
