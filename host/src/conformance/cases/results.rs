//! Dispositions under repetition, and inputs that carry numbers of an earlier call.

use crate::conformance::records::Made;
use crate::conformance::trial::{Blame, Step, Stop, Trial};

/// How many records come again.
const RECORDS: usize = 8;

pub(super) async fn again(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    let batch = trial.feed.ordinary(RECORDS)?;
    trial.put(&mut instance, &batch).await?;
    trial.blame = Blame::Breaks(28);
    let ends = [0..batch.len(), batch.len() / 2..batch.len()];
    for range in ends.into_iter().chain((0..batch.len()).map(|n| n..n + 1)) {
        let part = batch.subset(range)?;
        match trial.put(&mut instance, &part).await {
            Ok(_) => {}
            Err(Stop::Refused(_)) => instance = trial.open().await?,
            Err(stop) => return Err(stop),
        }
    }
    trial.blame = Blame::Nothing;
    trial.end(instance).await
}

pub(super) async fn carried_input(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    trial.sure(&mut instance).await?;
    let plain = trial.feed.samples(RECORDS);
    let carried: Vec<_> = plain.into_iter().zip(1000..).map(|(made, n)| Made { input: Some(n), ..made }).collect();
    let batch = trial.feed.batch(&carried)?;
    trial.blame = Blame::All(24);
    trial.put(&mut instance, &batch).await?;
    trial.blame = Blame::Nothing;
    trial.end(instance).await
}
