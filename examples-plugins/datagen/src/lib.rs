//! `datagen`: a source that needs no other system. Where demonstrations, load and the tests of delivery get their records.
//!
//! A record is a function of the seed, the task and its sequence number; the sequence number is the source offset. So a
//! task that crashed makes the very records it would have made, and a gap or a double shows at the reader.

mod moment;
mod pacer;
mod placeholder;
mod random;
mod template;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sandbar_plugin::host::offsets;
use sandbar_plugin::serde_json::{self, Value, json};
use sandbar_plugin::{Error, PollLimits, Result, Source, SourceBatch, Task};
use serde::{Deserialize, Serialize};

use moment::Moment;
use pacer::Pacer;
use random::Random;
use template::Template;

/// The configuration; `manifest.json` describes the keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Records a second; 0 is no limit.
    pub rate: f64,
    /// Records in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The value.
    pub template: Value,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where chance starts.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        let template = json!({"seq": "{{seq}}", "id": "{{uuid}}", "time": "{{now}}"});
        Self { rate: 1.0, count: None, template, key: None, seed: 0 }
    }
}

/// The source.
pub struct Datagen {
    config: Config,
    partition: Partition,
    value: Template,
    key: Option<Template>,
    /// The sequence number of the next record.
    next: u64,
    pacer: Pacer,
    opened: Instant,
    /// The records under construction, kept for their memory.
    value_text: Vec<u8>,
    key_text: Vec<u8>,
}

/// The source partition: sequence numbers count for each task by itself.
#[derive(Serialize)]
struct Partition {
    task: u32,
}

/// The source offset: the sequence number of the next record.
#[derive(Serialize, Deserialize)]
struct Offset {
    seq: u64,
}

impl Source for Datagen {
    type Config = Config;

    fn open(config: Config, task: &Task) -> Result<Self> {
        let value = Template::json(&config.template).map_err(|what| invalid("template", &what))?;
        let key = config.key.as_deref().map(Template::text).transpose().map_err(|what| invalid("key", &what))?;
        let partition = Partition { task: task.number };
        let next = offsets::get::<Offset>(&partition)?.map_or(0, |offset| offset.seq);
        let pacer = Pacer::new(config.rate).map_err(|what| invalid("rate", what))?;
        Ok(Self {
            config,
            partition,
            value,
            key,
            next,
            pacer,
            opened: Instant::now(),
            value_text: Vec::new(),
            key_text: Vec::new(),
        })
    }

    fn poll(&mut self, limits: &PollLimits, out: &mut SourceBatch) -> Result<()> {
        let left = self.config.count.map_or(u64::MAX, |count| count.saturating_sub(self.next));
        let due = self.pacer.due(self.opened.elapsed()).min(left).min(limits.records as u64);
        let moment = Moment::at(since_epoch_millis());
        let mut made = 0;
        while made < due && !out.is_full() {
            self.record(&moment, out);
            made += 1;
        }
        self.pacer.take(made);
        if made > 0 {
            offsets::put(&self.partition, &Offset { seq: self.next })?;
        }
        if made == left {
            out.end_of_data();
        }
        Ok(())
    }

    fn task_configs(&mut self, max: u32) -> Result<Option<Vec<Value>>> {
        let tasks = u64::from(max).min(self.config.count.unwrap_or(u64::MAX)).max(1);
        let configs = (0..tasks).map(|task| serde_json::to_value(self.share(task, tasks)));
        Ok(Some(configs.collect::<Result<_, _>>()?))
    }
}

impl Datagen {
    fn record(&mut self, moment: &Moment, out: &mut SourceBatch) {
        let mut random = Random::new(self.config.seed, self.partition.task, self.next);
        self.value_text.clear();
        self.value.render(&mut self.value_text, self.next, moment, &mut random);
        let key = self.key.as_ref().map(|key| {
            self.key_text.clear();
            key.render(&mut self.key_text, self.next, moment, &mut random);
            self.key_text.as_slice()
        });
        out.record(key, Some(&self.value_text)).timestamp(moment.millis());
        self.next += 1;
    }

    /// One task's part of the work: the first tasks take what does not divide.
    fn share(&self, task: u64, tasks: u64) -> Config {
        #[allow(clippy::cast_precision_loss)] // a number of tasks
        let rate = self.config.rate / tasks as f64;
        let count = self.config.count.map(|count| count / tasks + u64::from(task < count % tasks));
        Config { rate, count, ..self.config.clone() }
    }
}

fn invalid(key: &str, what: &str) -> Error {
    Error::fatal(format!("configuration key \"{key}\": {what}"))
}

fn since_epoch_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

sandbar_plugin::export! {
    source: Datagen,
    manifest: include_str!("../manifest.json"),
}
