//! Lines that begin with their number, of one source: all of them once, and in order.

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::Broker;

use crate::topics;

/// Makes sure that the numbers from 0 to `count` are in a topic once each, and rise within every partition.
pub async fn numbered_lines(broker: &dyn Broker, topic: &str, count: u32, partitions: i32) -> Result<()> {
    let mut seen = vec![false; count as usize];
    let mut last = vec![None; usize::try_from(partitions)?];
    topics::for_each(broker, topic, |partition, record| {
        let number = topics::value(record)?.split(' ').next().unwrap_or_default();
        let number: usize = number.parse().with_context(|| format!("{number:?} is no number"))?;
        let last = last.get_mut(usize::try_from(partition)?).context("there is no such partition")?;
        let before = last.replace(number);
        ensure!(before < Some(number), "{number} follows {before:?} in partition {partition}");
        let seen = seen.get_mut(number).context("it was never sent")?;
        ensure!(!std::mem::replace(seen, true), "{number} comes twice");
        Ok(())
    })
    .await?;
    let lost = seen.iter().filter(|seen| !**seen).count();
    ensure!(lost == 0, "{lost} records of the source are lost");
    Ok(())
}
