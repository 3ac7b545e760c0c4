//! Records that number themselves: `{"n": 7, "s": "a"}`, the number in its source and the name of that.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use sandbar::broker::Broker;
use sandbar::broker::partitioner::partition_of_key;
use serde::Deserialize;

use crate::{files, topics};

/// How many records an error names.
const SHOWN: usize = 5;

/// A record that numbers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Numbered {
    /// The number, from 0, rising.
    pub n: u32,
    /// Its source.
    pub s: char,
}

/// The records of each partition, in order.
pub type Partitions = BTreeMap<i32, Vec<Numbered>>;

/// Reads a topic, and makes sure that keys are where Kafka's own clients would have put them.
pub async fn read(broker: &dyn Broker, topic: &str, partitions: i32) -> Result<Partitions> {
    let mut read = Partitions::new();
    topics::for_each(broker, topic, |partition, record| {
        let key = record.key.context("it has no key")?;
        ensure!(partition_of_key(key, partitions) == partition, "key {key:?} is not of partition {partition}");
        read.entry(partition).or_default().push(parse(topics::value(record)?)?);
        Ok(())
    })
    .await?;
    Ok(read)
}

/// Reads what the `file-sink` plugin made of each partition.
pub fn in_files(folder: &Path, partitions: i32) -> Result<Partitions> {
    let mut read = Partitions::new();
    for partition in 0..partitions {
        let lines = files::lines_of(folder, partition)?;
        let records = lines.iter().map(|line| parse(line)).collect::<Result<Vec<_>>>()?;
        if !records.is_empty() {
            read.insert(partition, records);
        }
    }
    Ok(read)
}

fn parse(value: &str) -> Result<Numbered> {
    serde_json::from_str(value).with_context(|| format!("{value:?} does not number itself"))
}

/// Makes sure that each source's numbers from 0 to its count are there once, and rise within every partition.
pub fn complete(what: &str, partitions: &Partitions, sources: &[(char, u32)]) -> Result<()> {
    for (source, count) in sources {
        let mut seen = vec![0_u8; *count as usize];
        for (partition, records) in partitions {
            let mut last = None;
            for record in records.iter().filter(|record| record.s == *source) {
                ensure!(last < Some(record.n), "{what}: {} follows {last:?} in partition {partition}", record.n);
                last = Some(record.n);
                let Some(times) = seen.get_mut(record.n as usize) else {
                    bail!("{what}: {record:?} was never sent, there are {count}");
                };
                *times = times.saturating_add(1);
            }
        }
        let numbers = |wrong: fn(u8) -> bool| -> Vec<usize> {
            (0..seen.len()).filter(|n| seen.get(*n).copied().is_some_and(wrong)).collect()
        };
        let (lost, doubled) = (numbers(|times| times == 0), numbers(|times| times > 1));
        ensure!(
            lost.is_empty() && doubled.is_empty(),
            "{what}, source {source}: {} lost {:?}, {} doubled {:?}",
            lost.len(),
            lost.get(..SHOWN).unwrap_or(&lost),
            doubled.len(),
            doubled.get(..SHOWN).unwrap_or(&doubled)
        );
    }
    let known = |record: &&Numbered| sources.iter().any(|(source, _)| record.s == *source);
    let strangers = partitions.values().flatten().filter(|record| !known(record)).count();
    ensure!(strangers == 0, "{what}: {strangers} records of sources that do not exist");
    Ok(())
}

/// Makes sure that two hold the same records in the same order, partition by partition.
pub fn same(what: &str, one: &Partitions, other: &Partitions) -> Result<()> {
    let keys: Vec<_> = one.keys().collect();
    ensure!(keys == other.keys().collect::<Vec<_>>(), "{what}: other partitions");
    for (partition, records) in one {
        let others = other.get(partition).map_or(&[][..], Vec::as_slice);
        if let Some(at) = records.iter().zip(others).position(|(one, other)| one != other) {
            bail!("{what}, partition {partition}: at {at} {:?} and {:?}", records.get(at), others.get(at));
        }
        ensure!(
            records.len() == others.len(),
            "{what}, partition {partition}: {} records and {}",
            records.len(),
            others.len()
        );
    }
    Ok(())
}
