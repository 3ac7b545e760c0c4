//! Records of every sort: what is borne, and what is told apart by a transform that passes it on.

use sandbar_abi::manifest::Kind;
use sandbar_abi::{Disposition, Record};

use crate::batch::Batch;
use crate::conformance::newer::newer;
use crate::conformance::records::Made;
use crate::conformance::trial::{Answer, Blame, Step, Stop, Trial};
use crate::sandbox::Instance;

/// What is large for a record: about what brokers take.
const LARGE: usize = 1 << 20;
/// Bytes that are no UTF-8, with zeros between them.
const BINARY: &[u8] = b"\xff\xfe\x00\x80binary\x00\xc3\x28\xed\xa0\x80\xf8\x00";

pub(super) async fn nulls(trial: &mut Trial<'_>) -> Step {
    let some: &[u8] = b"{\"n\":1}";
    let mut records = Vec::new();
    for key in [None, Some(&b""[..]), Some(b"key")] {
        for value in [None, Some(&b""[..]), Some(some)] {
            records.push(Made::new(key, value).header("null", None).header("empty", Some(b"")));
        }
    }
    offer(trial, vec![records], |given, found| match (given, found) {
        (None, Some(b"")) => Some((44, "null, and passed on as empty")),
        (Some(b""), None) => Some((44, "empty, and passed on as null")),
        _ => None,
    })
    .await
}

pub(super) async fn binary(trial: &mut Trial<'_>) -> Step {
    let all: Vec<u8> = (0..=255).collect();
    let made = |key: &[u8], value: &[u8]| Made::new(Some(key), Some(value)).header("binary", Some(value));
    let records = vec![made(b"key", BINARY), made(BINARY, b"{\"n\":1}"), made(&all, &all), made(&[0], &[0, 0])];
    offer(trial, vec![records], |given, found| {
        let (given, found) = (given?, found?);
        let is_lossy = found == String::from_utf8_lossy(given).as_bytes();
        let is_cut = found.len() < given.len() && given.starts_with(found);
        (given != found && (is_lossy || is_cut)).then_some((46, "bytes that are no text, and passed on changed"))
    })
    .await
}

pub(super) async fn headers(trial: &mut Trial<'_>) -> Step {
    let made = |n: usize| {
        let made = Made::new(Some(b"key"), Some(b"{\"n\":1}"));
        (0..n).fold(made, |made, n| made.header(&format!("header-{}", n % 10), Some(n.to_string().as_bytes())))
    };
    let odd = made(0).header("", None).header("", Some(b"")).header("größer 世界", Some(b"\xff"));
    offer(trial, vec![vec![made(0), made(100), odd, made(1)]], |_, _| None).await
}

pub(super) async fn large(trial: &mut Trial<'_>) -> Step {
    let text = format!(r#"{{"n":1,"text":"{}"}}"#, "x".repeat(LARGE));
    let value = Made::new(Some(b"key"), Some(text.as_bytes()));
    let key = Made::new(Some(&vec![b'k'; LARGE]), Some(b"{\"n\":1}"));
    let small = Made::new(Some(b"key"), Some(b"{\"n\":2}"));
    offer(trial, vec![vec![value], vec![small.clone()], vec![key, small]], |_, _| None).await
}

pub(super) async fn empty(trial: &mut Trial<'_>) -> Step {
    let mut instance = trial.open().await?;
    trial.sure(&mut instance).await?;
    let none = trial.feed.batch(&[])?;
    trial.blame = Blame::All(72);
    let answer = trial.put(&mut instance, &none).await?;
    if answer.and_then(|answer| answer.output).is_some() {
        return Err(trial.broken(72, "it returned records for none"));
    }
    trial.blame = Blame::Nothing;
    trial.work(&mut instance).await?;
    trial.end(instance).await
}

pub(super) async fn full(trial: &mut Trial<'_>) -> Step {
    let records = trial.feed.samples(trial.subject.batch_records);
    let one = trial.feed.samples(1);
    offer(trial, vec![one.clone(), records, one], |_, _| None).await
}

/// Passes batches on, each to an instance that is good. What is refused cleanly is borne.
async fn offer(
    trial: &mut Trial<'_>,
    batches: Vec<Vec<Made>>,
    confused: impl Fn(Option<&[u8]>, Option<&[u8]>) -> Option<(u16, &'static str)>,
) -> Step {
    let mut instance = trial.open().await?;
    let ordinary = trial.feed.ordinary(10)?;
    let passed = match trial.put(&mut instance, &ordinary).await {
        Ok(answer) => answer.map(|answer| Passed::of(&ordinary, &answer)).unwrap_or_default(),
        Err(Stop::Refused(_)) => {
            instance = trial.open().await?;
            Passed::default()
        }
        Err(stop) => return Err(stop),
    };
    for records in batches {
        let batch = trial.feed.batch(&records)?;
        match trial.put(&mut instance, &batch).await {
            Ok(Some(Answer { output: Some(output), .. })) => {
                compare(trial, &passed, &batch, &output, &confused)?;
            }
            Ok(_) => {}
            Err(Stop::Refused(_)) => instance = trial.open().await?,
            Err(stop) => return Err(stop),
        }
    }
    match trial.end(instance).await {
        Err(Stop::Refused(_)) => Ok(()),
        other => other,
    }
}

/// Which parts of ordinary records a transform passes on as they are: those it is held to.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    key: bool,
    value: bool,
    headers: bool,
}

impl Passed {
    fn of(input: &Batch, answer: &Answer) -> Self {
        let Some(output) = &answer.output else { return Self::default() };
        let (input, output) = (input.frame(), output.frame());
        let all = |same: &dyn Fn(&Record<'_>, &Record<'_>) -> bool| {
            output.records().all(|out| out.input.and_then(|i| input.record(i as usize)).is_some_and(|i| same(&i, &out)))
        };
        Self {
            key: all(&|i, o| i.key == o.key),
            value: all(&|i, o| i.value == o.value),
            headers: all(&|i, o| i.headers.eq(o.headers)),
        }
    }
}

fn compare(
    trial: &mut Trial<'_>,
    passed: &Passed,
    input: &Batch,
    output: &Batch,
    confused: &impl Fn(Option<&[u8]>, Option<&[u8]>) -> Option<(u16, &'static str)>,
) -> Step {
    let (input, output) = (input.frame(), output.frame());
    for out in output.records() {
        let Some((index, given)) = out.input.and_then(|i| Some((i, input.record(i as usize)?))) else { continue };
        let mut pairs = Vec::new();
        if passed.key {
            pairs.push(("key", given.key, out.key));
        }
        if passed.value {
            pairs.push(("value", given.value, out.value));
        }
        if passed.headers {
            let headers = given.headers.zip(out.headers).filter(|(given, out)| given.0 == out.0);
            pairs.extend(headers.map(|(given, out)| ("header", given.1, out.1)));
        }
        for (part, given, found) in pairs {
            if let Some((rule, how)) = confused(given, found) {
                return Err(trial.broken(rule, format!("the {part} of input {index} was {how}")));
            }
        }
    }
    Ok(())
}

/// What is said of records that were all refused.
const REFUSED: &str = "a refusal";

pub(super) async fn newer_host(trial: &mut Trial<'_>) -> Step {
    let batch = (trial.kind() != Kind::Source).then(|| trial.feed.ordinary(10)).transpose()?;
    // Twice as ever, so that what changes by itself is not held against the newer frame.
    let first = once(trial, batch.as_ref(), false).await?;
    if first == REFUSED {
        return Err(Stop::Refused("ordinary records are refused".to_owned()));
    }
    let second = once(trial, batch.as_ref(), false).await?;
    trial.blame = Blame::All(55);
    let newer = match &batch {
        Some(batch) => Some(Batch::new(newer(batch.bytes()))?),
        None => None,
    };
    let third = once(trial, newer.as_ref(), true).await?;
    if first == second && first != third {
        let seen = format!("{third} of the frame of a newer minor, {first} of the same records before");
        return Err(trial.broken(55, seen));
    }
    Ok(())
}

/// Opens an instance for one batch, and describes what came of it.
async fn once(trial: &mut Trial<'_>, batch: Option<&Batch>, is_newer: bool) -> Step<String> {
    let ledger = trial.ledger();
    let mut instance = trial
        .open_from(ledger, |open| {
            if is_newer {
                open.abi_minor += 1;
                open.features = vec!["sandbar.conformance".to_owned()];
            }
        })
        .await?;
    let seen = match batch {
        Some(batch) => describe(trial, &mut instance, batch).await?,
        None => {
            if is_newer {
                trial.work(&mut instance).await?;
            } else {
                trial.sure(&mut instance).await?;
            }
            "a poll".to_owned()
        }
    };
    trial.end(instance).await?;
    Ok(seen)
}

async fn describe(trial: &mut Trial<'_>, instance: &mut Instance, batch: &Batch) -> Step<String> {
    let Some(answer) = trial.put(instance, batch).await? else { return Ok(REFUSED.to_owned()) };
    let count = |wanted| answer.count(wanted, batch);
    let outputs = answer.output.as_ref().map_or(0, Batch::len);
    let (ok, filtered, failed) = (count(Disposition::Ok), count(Disposition::Filtered), count(Disposition::Failed));
    Ok(format!("{outputs} outputs, {ok} ok, {filtered} filtered, {failed} failed"))
}
