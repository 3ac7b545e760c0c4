//! The same requests to a real Kafka Connect and to Sandbar: where their answers differ, `differences.md` says so and why.
//! A difference that it does not name, and one that is none any more, fail the test.

mod compare;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::in_process::example;
use sandbar_tests::kafka_or_skip;
use sandbar_tests::own_connect::OwnConnect;
use sandbar_tests::rest::Rest;
use sandbar_tests::wait::{self, Seen};
use serde_json::Value;

use compare::{Normal, normal};
use steps::{Action, Side, Step};

use crate::workers::start;

const DIFFERENCES: &str = include_str!("differences.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbar_answers_as_kafka_connect_does() -> Result<()> {
    let bootstrap = kafka_or_skip!(Ok(()));
    let Some(connect) = OwnConnect::start_or_say("contract", &bootstrap).await? else { return Ok(()) };
    let (mut worker, sandbar) = start(&bootstrap, &format!("contract-sandbar-{}", std::process::id())).await?;
    let folder = Arc::clone(worker.folder());
    for plugin in ["file_source", "file_sink"] {
        worker.put(&format!("{plugin}.wasm"), &example(plugin)?)?;
    }
    worker.status(|status| status.ready && status.world.registry.iter().count() == 2).await?;
    std::fs::create_dir(folder.path().join("in"))?;
    std::fs::create_dir(folder.path().join("out"))?;
    let sides = [Side::connect(folder.path()), Side::sandbar(folder.path())];
    let (theirs, ours) = (answers(connect.rest(), &sides[0]).await?, answers(&sandbar, &sides[1]).await?);
    let declared = declared()?;
    let mut wrong = Vec::new();
    for (id, theirs) in &theirs {
        let ours = ours.get(id).with_context(|| format!("{id} has no answer"))?;
        match (theirs == ours, declared.contains_key(id.as_str())) {
            (true, true) => wrong.push(format!("{id} is no difference any more")),
            (false, false) => wrong.push(format!("{id}\n  Kafka Connect: {theirs}\n  Sandbar:       {ours}")),
            _ => {}
        }
    }
    for id in declared.keys().filter(|id| !theirs.contains_key(**id)) {
        wrong.push(format!("{id} is in differences.md, and is no step"));
    }
    ensure!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    worker.stop().await?;
    Ok(())
}

/// The steps that `differences.md` names, each with a reason.
fn declared() -> Result<BTreeMap<&'static str, &'static str>> {
    let rows = DIFFERENCES.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let id = cells.next().map(|id| id.trim_matches('`')).context("an id")?;
        let why = cells.next_back().filter(|why| !why.is_empty()).with_context(|| format!("{id}: why?"))?;
        Ok((id, why))
    })
    .collect()
}

async fn answers(rest: &Rest, side: &Side) -> Result<BTreeMap<String, Normal>> {
    let mut answers = BTreeMap::new();
    let mut kept = Value::Null;
    for Step { id, action } in steps::all(side) {
        match action {
            Action::Send(method, path, body) => {
                let body = body.with(&kept);
                let body = body.as_ref().map(|(bytes, kind)| (bytes.clone(), kind.as_str()));
                let answer = rest.send_bytes(method.clone(), &path, body).await.with_context(|| id.to_owned())?;
                answers.insert(id.to_owned(), normal(id, &answer, side));
            }
            Action::Keep(path) => kept = rest.get(&path).await?.expect(200)?,
            Action::Until(path, is_so) => {
                wait::until(id, wait::WITHIN, async || {
                    let answer = rest.get(&path).await?;
                    let seen = answer.json().unwrap_or_default();
                    Ok(if is_so(&seen) { Seen::Done(()) } else { Seen::NotYet(answer.text()) })
                })
                .await?;
            }
        }
    }
    Ok(answers)
}
