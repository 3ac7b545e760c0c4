//! How a plugin starts and ends, keeps its input buffer, and answers what it is asked.

use sandbar_abi::manifest::Kind;
use serde_json::{Value, json};

use crate::conformance::trial::{Blame, Step, Stop, Trial};
use crate::sandbox::Instance;

/// Sizes of input buffers, growing and shrinking; none that a plugin may say it has no memory for.
const SIZES: &[u32] = &[0, 1, 7, 8, 100, 4096, 16, 0];
/// Sizes that a plugin may have no memory for.
const LARGE_SIZES: &[u32] = &[1 << 20, (1 << 20) + 3, 64, i32::MAX.cast_unsigned()];
/// What is written over the input buffer.
const SCRIBBLE: [u8; 3] = [0xa5, 0xff, 0x00];
/// A reason to be closed that no version has.
const UNKNOWN_REASON: i32 = 77;

pub(super) async fn start(trial: &mut Trial<'_>) -> Step {
    let instance = trial.open().await?;
    trial.end(instance).await
}

pub(super) async fn buffer(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    for size in SIZES {
        if reserve(trial, &mut instance, *size).await? == 0 && *size > 0 {
            return Err(trial.broken(13, format!("sandbar_reserve({size}) returned 0: there is no memory for it")));
        }
    }
    for size in LARGE_SIZES {
        reserve(trial, &mut instance, *size).await?;
    }
    // The host writes inputs here whenever it likes: nothing of the guest's own may be in it.
    reserve(trial, &mut instance, 4096).await?;
    for byte in SCRIBBLE {
        trial.sure(&mut instance).await?;
        instance.fill_input(byte);
        trial.blame = Blame::All(14);
        trial.work(&mut instance).await?;
        trial.blame = Blame::Nothing;
    }
    trial.end(instance).await
}

/// Asks for a buffer, and checks that what is returned is one.
async fn reserve(trial: &mut Trial<'_>, instance: &mut Instance, size: u32) -> Step<u32> {
    let result = instance.reserve_input(size).await;
    let ptr = trial.judge(instance, result)?.unwrap_or(0);
    let end = u64::from(ptr) + u64::from(size);
    let memory = instance.memory_bytes();
    if ptr != 0 && end > memory as u64 {
        let seen = format!("sandbar_reserve({size}) returned {ptr:#x}; that much is not in memory of {memory} bytes");
        return Err(trial.broken(13, seen));
    }
    Ok(ptr)
}

pub(super) async fn close(trial: &mut Trial<'_>) -> Step {
    for reason in [0, 1, 2, UNKNOWN_REASON] {
        let mut instance = trial.open().await?;
        trial.work(&mut instance).await?;
        let closed = instance.close_for(reason).await;
        if reason == UNKNOWN_REASON {
            trial.blame = Blame::Breaks(76);
        }
        match trial.judge(&instance, closed) {
            Ok(_) | Err(Stop::Refused(_)) => {}
            Err(stop) => return Err(stop),
        }
        trial.blame = Blame::Nothing;
    }
    Ok(())
}

pub(super) async fn abandoned(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    trial.work(&mut instance).await?;
    trial.work(&mut instance).await?;
    let mut ledger = instance.into_ledger();
    let (offsets, state) = ledger.take_staged();
    trial.blame = Blame::Breaks(37);
    let mut instance = trial.open_from(ledger, |_| {}).await?;
    trial.work(&mut instance).await?;
    trial.blame = Blame::Nothing;
    let has_read = instance.has_read_kept();
    trial.end(instance).await?;
    if has_read {
        return Ok(());
    }
    // That it was opened again says that it needs no close, and nothing of where it went on.
    trial.kept(12);
    Err(Stop::Skip(match offsets.is_empty() && state.is_empty() {
        true => "the plugin put no offset and no state to go on from".to_owned(),
        false => "the fresh instance read no committed offset or state before it put its own".to_owned(),
    }))
}

pub(super) async fn errors(trial: &mut Trial<'_>) -> Step {
    let wrong_types: Value = match &trial.subject.config {
        Value::Object(keys) => keys.keys().map(|key| (key.clone(), json!([{"unexpected": null}]))).collect(),
        _ => json!({}),
    };
    for config in [json!({}), json!({"no.such.key": "x"}), wrong_types, json!(null), json!("text")] {
        let ledger = trial.ledger();
        match trial.open_from(ledger, |open| open.config = config).await {
            Ok(_) | Err(Stop::Refused(_)) => {}
            Err(stop) => return Err(stop),
        }
    }
    match trial.notes.kept.contains(&29) {
        true => Ok(()),
        false => Err(Stop::Skip("the plugin returned no error".to_owned())),
    }
}

pub(super) async fn questions(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    let checked = instance.check().await;
    match trial.judge(&instance, checked) {
        Ok(_) => {}
        // That the other system cannot be reached is an answer too.
        Err(Stop::Refused(_)) => instance = trial.open().await?,
        Err(stop) => return Err(stop),
    }
    if trial.kind() != Kind::Source {
        return Err(Stop::Skip("it is about a source".to_owned()));
    }
    let discovered = instance.discover().await;
    match trial.judge(&instance, discovered) {
        Ok(Some(Some(_))) => [26, 27].into_iter().for_each(|rule| trial.kept(rule)),
        Ok(_) => {}
        Err(Stop::Refused(_)) => instance = trial.open().await?,
        Err(stop) => return Err(stop),
    }
    let mut has_answered = false;
    for max in [1, 3, 100] {
        let split = instance.task_configs(max).await;
        let Some(Some(configs)) = trial.judge(&instance, split)? else { continue };
        has_answered = true;
        [26, 27].into_iter().for_each(|rule| trial.kept(rule));
        if configs.is_empty() || configs.len() > max as usize {
            return Err(trial.broken(75, format!("task_configs({max}) answered with {} of them", configs.len())));
        }
    }
    trial.end(instance).await?;
    if has_answered { Ok(()) } else { Err(Stop::Skip("the source does not split its work".to_owned())) }
}
