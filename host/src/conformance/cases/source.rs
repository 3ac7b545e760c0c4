//! What is a source's own: how much it returns, whether it waits, how it ends, what it is told.

use std::time::{Duration, Instant};

use crate::conformance::trial::{Blame, Step, Stop, Trial};

/// Limits of polls: records and bytes.
const LIMITS: &[(usize, usize)] =
    &[(1, 1 << 20), (3, 1 << 20), (1000, 1), (10_000, 1 << 20), (500, 64), (1, 1), (7, 4096)];
/// How often each pair of limits is tried: a source may have something only now and then.
const ROUNDS: usize = 5;
/// How long no poll may take that does not compute, requests left out.
const SLEEPY: Duration = Duration::from_millis(250);
/// A poll that burns more than this computes, whatever the clock says.
const BUSY_FUEL: u64 = 50_000_000;
/// How many polls it takes to know that a source does not end soon.
const POLLS: u64 = 200;

pub(super) async fn limits(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    let mut returned = 0;
    for (records, bytes) in LIMITS.iter().copied().cycle().take(LIMITS.len() * ROUNDS) {
        let Some(reply) = trial.poll(&mut instance, records, bytes).await? else { continue };
        if let Some(batch) = &reply.output {
            returned += batch.len();
        }
        if reply.end_of_data {
            instance = trial.open().await?;
        }
    }
    trial.end(instance).await?;
    if returned == 0 { Err(Stop::Skip("the source had no records".to_owned())) } else { Ok(()) }
}

pub(super) async fn pace(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    // With what a poll waits for answers to its requests, and without: another system may take its time.
    let (mut in_all, mut own) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let start = Instant::now();
        let reply = trial.poll(&mut instance, 100, 1 << 20).await?;
        let (took, call) = (start.elapsed(), instance.last_call());
        in_all.push(took);
        own.push((took.saturating_sub(call.waited), call.fuel));
        if reply.is_some_and(|reply| reply.end_of_data) {
            break;
        }
    }
    if let Some((took, fuel)) = own.into_iter().min()
        && took >= SLEEPY
    {
        if fuel < BUSY_FUEL {
            let seen = format!(
                "each poll took {} ms or more besides its requests, and the shortest burnt no more than {fuel} fuel",
                took.as_millis()
            );
            return Err(trial.broken(16, seen));
        }
    } else {
        trial.notes.waits = in_all.into_iter().min().filter(|took| *took >= SLEEPY);
    }
    trial.end(instance).await
}

pub(super) async fn end_of_data(trial: &mut Trial<'_>) -> Step {
    trial.unless_polls_take_long()?;
    let mut instance = trial.open().await?;
    let mut batches = 0;
    for _ in 0..POLLS {
        let Some(reply) = trial.poll(&mut instance, 1000, 1 << 20).await? else { continue };
        batches += u64::from(reply.output.is_some());
        if !reply.end_of_data {
            continue;
        }
        if batches > 0 {
            let told = instance.committed(batches).await;
            trial.judge(&instance, told)?;
        }
        for _ in 0..3 {
            let more = trial.poll(&mut instance, 1000, 1 << 20).await?;
            if let Some(output) = more.and_then(|more| more.output) {
                return Err(trial.broken(17, format!("{} records after the end of data", output.len())));
            }
        }
        return trial.end(instance).await;
    }
    Err(Stop::Skip(format!("the source did not come to an end in {POLLS} polls")))
}

pub(super) async fn committed(trial: &mut Trial<'_>) -> Step {
    if !trial.subject.optional.committed {
        return Err(Stop::Skip("the plugin does not export sandbar_committed".to_owned()));
    }
    let mut instance = trial.open().await?;
    let mut batches = 0;
    for _ in 0..20 {
        let Some(reply) = trial.poll(&mut instance, 2, 1 << 20).await? else { continue };
        batches += u64::from(reply.output.is_some());
        if batches > 0 {
            for _ in 0..2 {
                let told = instance.committed(batches).await;
                trial.blame = Blame::Breaks(18);
                trial.judge(&instance, told)?;
                trial.blame = Blame::Nothing;
            }
        }
        if reply.end_of_data {
            break;
        }
    }
    trial.end(instance).await?;
    if batches == 0 { Err(Stop::Skip("the source had no records".to_owned())) } else { Ok(()) }
}
