//! Chains through a worker group that is under fire: a source that numbers its records and says when it made each, a
//! transform, and a sink that writes files. Each end proves what became of the other.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rest::Rest;
use crate::scenario::Home;
use crate::wait::{self, Seen};
use crate::{checks, files};

/// Partitions of each topic, and tasks of whatever reads one: each task has a partition to itself.
const PARTITIONS: i32 = 2;
/// Records a second of each source.
const RATE: u32 = 5;
/// How long what is on its way may take to arrive once the sources have stopped.
const REST: Duration = Duration::from_secs(120);
/// More than two of the lines that sinks write.
const TAIL_BYTES: u64 = 512;

/// Some chains.
pub struct Chains {
    chains: Vec<Chain>,
}

/// A source, a transform, a sink, and the topics between them.
struct Chain {
    /// By which its records go.
    name: char,
    source: String,
    transform: String,
    sink: String,
    made: String,
    passed: String,
    /// Where the sink writes.
    folder: PathBuf,
}

/// What the checks of arrivals read of a line.
#[derive(Deserialize)]
struct Made {
    /// When the source made it, in milliseconds since the epoch.
    at: u64,
}

impl Chains {
    /// So many chains, three connectors each, defined over REST.
    pub async fn define(home: &Home, rest: &Rest, count: u8) -> Result<Self> {
        let chains: Vec<Chain> = (0..count).map(|nth| Chain::new(home, char::from(b'a' + nth))).collect();
        for chain in &chains {
            for (name, config) in [chain.source(), chain.transform(), chain.sink(&home.out())] {
                let body = json!({"name": name, "config": config});
                rest.send(Method::POST, "/connectors", Some(&body)).await?.expect(201)?;
            }
        }
        Ok(Self { chains })
    }

    /// How many tasks each connector has to have, by its name.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, usize)> {
        let readers = PARTITIONS.unsigned_abs() as usize;
        self.chains.iter().flat_map(move |chain| {
            [(chain.source.as_str(), 1), (chain.transform.as_str(), readers), (chain.sink.as_str(), readers)]
        })
    }

    /// When the newest record was made that has come out at the end of each partition of each chain, in milliseconds since
    /// the epoch; zero where none has.
    pub fn newest(&self) -> Result<Vec<(String, u64)>> {
        let mut newest = Vec::new();
        for chain in &self.chains {
            for partition in 0..PARTITIONS {
                let file = chain.folder.join(format!("{partition}.jsonl"));
                let made = last_line(&file).with_context(|| file.display().to_string())?;
                let made = made.map(|line| serde_json::from_str::<Made>(&line)).transpose()?;
                newest.push((format!("{}-{partition}", chain.name), made.map_or(0, |made| made.at)));
            }
        }
        Ok(newest)
    }

    /// Stops the sources, waits until all they have made has come through, and returns how many records each has made, as its
    /// committed offset tells.
    pub async fn finish(&self, rest: &Rest) -> Result<Vec<u32>> {
        for chain in &self.chains {
            ensure!(rest.send(Method::PUT, &format!("/connectors/{}/stop", chain.source), None).await?.status == 204);
        }
        let mut made = Vec::new();
        for chain in &self.chains {
            wait::until(&format!("{} has stopped", chain.source), REST, async || {
                let status = rest.get(&format!("/connectors/{}/status", chain.source)).await?.expect(200)?;
                let has_ended = status["tasks"].as_array().is_some_and(Vec::is_empty);
                Ok(Seen::when(has_ended && status["connector"]["state"] == "STOPPED", || status.to_string()))
            })
            .await?;
            let offsets = wait::until(&format!("it is known where {} stands", chain.source), REST, async || {
                let answer = rest.get(&format!("/connectors/{}/offsets", chain.source)).await?;
                // The topic of offsets is read to its end: not before a transaction is over that others left in it.
                let is_known = answer.status != 503;
                Ok(if is_known { Seen::Done(answer.expect(200)?) } else { Seen::NotYet(format!("{answer:?}")) })
            })
            .await?;
            let next = offsets["offsets"][0]["offset"]["seq"].as_u64().with_context(|| offsets.to_string())?;
            made.push(u32::try_from(next)?);
        }
        for (chain, made) in self.chains.iter().zip(&made) {
            let mut lines = files::Lines::of(&chain.folder);
            wait::until(&format!("all records of chain {} are written", chain.name), REST, async || {
                let count = lines.count()?;
                Ok(Seen::when(count >= u64::from(*made), || format!("{count} of {made}")))
            })
            .await?;
        }
        Ok(made)
    }

    /// Proves, once nothing runs any more, that each record of each source is in both topics and in the files once, and in
    /// order.
    pub async fn check(&self, home: &Home, made: &[u32]) -> Result<()> {
        let broker = home.broker().await?;
        for (chain, made) in self.chains.iter().zip(made) {
            let by_source = checks::read(&*broker, &chain.made, PARTITIONS).await?;
            checks::complete(&chain.made, &by_source, &[(chain.name, *made)])?;
            let by_transform = checks::read(&*broker, &chain.passed, PARTITIONS).await?;
            checks::same(&chain.passed, &by_source, &by_transform)?;
            let written = checks::in_files(&chain.folder, PARTITIONS)?;
            checks::same(&chain.folder.display().to_string(), &by_transform, &written)?;
        }
        Ok(())
    }
}

impl Chain {
    fn new(home: &Home, name: char) -> Self {
        let called = |what: &str| home.name(&format!("{what}-{name}"));
        let passed = called("passed");
        Self {
            name,
            source: called("source"),
            transform: called("transform"),
            sink: called("sink"),
            made: called("made"),
            folder: home.out().join(&passed),
            passed,
        }
    }

    fn source(&self) -> (&str, Value) {
        let template = json!({"n": "{{seq}}", "s": self.name, "at": "{{now_ms}}"});
        let config = json!({
            "connector.class": "datagen", "topic": self.made, "rate": RATE.to_string(), "key": "{{int 0 999}}",
            "template": template.to_string(), "topic.creation.default.partitions": PARTITIONS.to_string(),
        });
        (&self.source, config)
    }

    fn transform(&self) -> (&str, Value) {
        let operations = json!([{"op": "set", "field": "passed", "value": true}]);
        let config = json!({
            "connector.class": "json-transform", "topics": self.made, "topic": self.passed,
            "operations": operations.to_string(), "tasks.max": PARTITIONS.to_string(),
            "topic.creation.default.partitions": PARTITIONS.to_string(),
        });
        (&self.transform, config)
    }

    fn sink(&self, out: &Path) -> (&str, Value) {
        let config = json!({
            "connector.class": "file-sink", "topics": self.passed, "path": out.join("{topic}/{partition}.jsonl"),
            "sandbox.fs.write": out, "tasks.max": PARTITIONS.to_string(),
            "topic.creation.default.partitions": PARTITIONS.to_string(),
        });
        (&self.sink, config)
    }
}

/// The last line of a file that is whole.
fn last_line(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let whole = tail.rfind('\n').and_then(|end| tail.get(..end)).filter(|whole| !whole.is_empty());
    Ok(whole.map(|whole| whole.rsplit('\n').next().unwrap_or(whole).to_owned()))
}
