//! A million calls: whatever leaks a little in each of them shows in the end.

use std::time::Instant;

use sandbar_abi::manifest::Kind;

use crate::batch::Batch;
use crate::conformance::records::Made;
use crate::conformance::report::Growth;
use crate::conformance::trial::{Step, Stop, Trial};
use crate::sandbox::Instance;

/// The first so many of the calls, as a part, warm it up: buffers and caches find their size.
const WARM_UP: u64 = 10;
/// After so many calls every size of input has been seen.
const CYCLE: u64 = 1000;
/// Calls between two commits.
const COMMIT: u64 = 1000;
/// What memory may still grow by, in bytes: a heap breathes.
const SLACK: usize = 256 << 10;
/// And the part of it that it may grow by, where it is large.
const SLACK_PART: usize = 4;
/// The largest of the inputs, in bytes; a plugin that can take less refuses it.
const LARGE: usize = 64 << 10;
/// Fewer calls than this after the warm-up say nothing.
const FEWEST: u64 = 200;

pub(super) async fn growth(trial: &mut Trial<'_>, calls: u64) -> Step {
    if trial.kind() == Kind::Source {
        trial.unless_polls_take_long()?;
    }
    let start = Instant::now();
    let mut run = Run { instance: trial.open().await?, records: 0, batches: 0, has_ended: false };
    // A million refusals say nothing of what records leave. A source's polls are all counted: none is made beside them.
    if trial.kind() != Kind::Source {
        trial.sure(&mut run.instance).await?;
    }
    let warm_up = (calls / WARM_UP).max(CYCLE).min(calls / 2);
    let (mut made, mut before) = (0, 0);
    while made < calls && !run.has_ended {
        if made == warm_up {
            before = run.instance.memory_bytes();
        }
        run.call(trial, made).await?;
        made += 1;
        if made.is_multiple_of(COMMIT) {
            run.commit(trial).await?;
        }
    }
    if made < warm_up + FEWEST {
        let what = if run.has_ended { "the source came to its end" } else { "no more were asked for" };
        return Err(Stop::Skip(format!("{made} calls say nothing of memory: {what}")));
    }
    let after = run.instance.memory_bytes();
    trial.notes.growth.push(Growth {
        kind: trial.kind(),
        calls: made,
        records: run.records,
        bytes_before: before,
        bytes_after: after,
        took: start.elapsed(),
    });
    if after > before + SLACK.max(before / SLACK_PART) {
        let each = (after - before) as u64 / (made - warm_up);
        let seen = format!(
            "linear memory grew from {before} bytes after {warm_up} calls to {after} after {made}: {each} bytes a call"
        );
        return Err(trial.broken(71, seen));
    }
    let instance = run.instance;
    trial.end(instance).await
}

struct Run {
    instance: Instance,
    /// Records that were taken, or returned.
    records: u64,
    /// Polls that returned records.
    batches: u64,
    has_ended: bool,
}

impl Run {
    async fn call(&mut self, trial: &mut Trial<'_>, n: u64) -> Step {
        if trial.kind() == Kind::Source {
            let most = 1 + usize::try_from(n % 10).unwrap_or(0);
            if let Some(reply) = trial.poll(&mut self.instance, most, LARGE).await? {
                self.records += reply.output.as_ref().map_or(0, Batch::len) as u64;
                self.batches += u64::from(reply.output.is_some());
                self.has_ended = reply.end_of_data;
            }
            return Ok(());
        }
        let batch = input(trial, n)?;
        let answer = trial.put(&mut self.instance, &batch).await?;
        self.records += answer.map_or(0, |answer| answer.taken(&batch)) as u64;
        Ok(())
    }

    /// What a task does when it commits.
    async fn commit(&mut self, trial: &mut Trial<'_>) -> Step {
        match trial.kind() {
            Kind::Sink => {
                let flushed = self.instance.flush().await;
                trial.judge(&self.instance, flushed)?;
            }
            Kind::Source if self.batches > 0 => {
                let told = self.instance.committed(self.batches).await;
                trial.judge(&self.instance, told)?;
            }
            Kind::Source | Kind::Transform => {}
        }
        self.instance.ledger().take_staged();
        Ok(())
    }
}

/// Mostly single records, some batches, and now and then a large one.
fn input(trial: &mut Trial<'_>, n: u64) -> Step<Batch> {
    let at = n % CYCLE;
    if at == CYCLE / 2 {
        let text = format!(r#"{{"n":{at},"text":"{}"}}"#, "x".repeat(LARGE));
        return Ok(trial.feed.batch(&[Made::new(Some(b"key"), Some(text.as_bytes()))])?);
    }
    let count = if at.is_multiple_of(100) { at / 10 + 1 } else { 1 };
    Ok(trial.feed.ordinary(usize::try_from(count).unwrap_or(1))?)
}
