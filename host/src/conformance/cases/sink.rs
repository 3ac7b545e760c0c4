//! What is a sink's own: where records were read, flushes, partitions that come and go.

use sandbar_abi::message::AssignedPartition;

use crate::conformance::TOPIC;
use crate::conformance::records::Made;
use crate::conformance::trial::{Blame, Step, Stop, Trial};
use crate::sandbox::Instance;

pub(super) async fn places(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    trial.work(&mut instance).await?;
    let plain = trial.feed.samples(4);
    let gaps: Vec<_> =
        plain.iter().zip([0, 1, 1000, 1 << 40]).map(|(made, gap)| Made { gap, ..made.clone() }).collect();
    let nowhere: Vec<_> = plain.iter().map(|made| Made { no_place: true, ..made.clone() }).collect();
    for records in [gaps, nowhere] {
        let batch = trial.feed.batch(&records)?;
        trial.blame = Blame::Breaks(20);
        match trial.put(&mut instance, &batch).await {
            Ok(_) => {}
            Err(Stop::Refused(_)) => instance = trial.open().await?,
            Err(stop) => return Err(stop),
        }
        trial.blame = Blame::Nothing;
    }
    trial.end(instance).await
}

pub(super) async fn flush(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    flush_once(trial, &mut instance).await?;
    // Flushes say nothing of a sink that takes nothing.
    trial.sure(&mut instance).await?;
    for records in [0, 3, 0, 0, 10] {
        if records > 0 {
            let batch = trial.feed.ordinary(records)?;
            trial.put(&mut instance, &batch).await?;
        }
        flush_once(trial, &mut instance).await?;
    }
    trial.end(instance).await
}

async fn flush_once(trial: &mut Trial<'_>, instance: &mut Instance) -> Step {
    let flushed = instance.flush().await;
    trial.blame = Blame::Breaks(21);
    trial.judge(instance, flushed)?;
    trial.blame = Blame::Nothing;
    Ok(())
}

pub(super) async fn assigned(trial: &mut Trial<'_>) -> Step {
    if !trial.subject.optional.assigned {
        return Err(Stop::Skip("the plugin does not export sandbar_assigned".to_owned()));
    }
    let partitions = |range: std::ops::Range<i32>| -> Vec<_> {
        range.map(|partition| AssignedPartition { topic: TOPIC.to_owned(), partition, offset: None }).collect()
    };
    for _ in 0..2 {
        let mut instance = trial.open().await?;
        for assigned in [0..3, 0..0, 0..2] {
            trial.blame = Blame::Breaks(25);
            let result = instance.assigned(partitions(assigned.clone())).await;
            if let Some(answer) = trial.judge(&instance, result)?
                && let Some(other) = answer.iter().find(|a| a.topic != TOPIC || !assigned.contains(&a.partition))
            {
                let seen = format!("it answered for {}-{}, which it was not assigned", other.topic, other.partition);
                return Err(trial.broken(25, seen));
            }
        }
        trial.blame = Blame::Nothing;
        trial.sure(&mut instance).await?;
        let flushed = instance.flush().await;
        trial.judge(&instance, flushed)?;
        let revoked = instance.revoked(partitions(1..2)).await;
        trial.judge(&instance, revoked)?;
        trial.work(&mut instance).await?;
        trial.end(instance).await?;
    }
    Ok(())
}
