//! The conformance kit: what keeps to the ABI passes, what breaks a rule is found, and the rule is named.

mod answers;
mod calls;
mod cli;
mod examples;
mod files;
mod http;

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar::conformance::{self, Options, Report, Subject, Verdict};
use sandbar::plugins::inspect;
use sandbar::sandbox::{Compiled, Engine, Grants, Limits};
use sandbar_abi::manifest::Kind;
use sandbar_abi::names;
use sandbar_tests::wat::Guest;
use serde_json::json;

/// Few calls are enough for leaks of pages.
const CALLS: u64 = 2000;

/// The engine that all tests share.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().expect("an engine"))
}

/// Tests a guest as a kind.
pub(crate) async fn test(guest: &Guest, kind: Kind, only: Option<u16>) -> Result<Report> {
    let wasm = guest.build()?;
    let inspection = inspect(&wasm).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let subject = Subject {
        plugin: inspection.manifest.name.clone(),
        version: inspection.manifest.version.to_string(),
        compiled: Compiled::new(engine(), &wasm, None)?,
        optional: inspection.optional,
        kind,
        connector: "orders".to_owned(),
        config: json!({}),
        limits: Limits {
            fuel_per_call: 50_000_000,
            call_timeout: Duration::from_secs(10),
            memory_max_bytes: 64 << 20,
            state_max_bytes: 1 << 20,
        },
        grants: Grants::default(),
        batch_records: 100,
    };
    let options = Options { calls: CALLS, only, records: None };
    Ok(conformance::run(&inspection, &[subject], &options).await)
}

/// The numbers of the rules that are broken.
pub(crate) fn failed(report: &Report) -> BTreeSet<u16> {
    let failed = report.rules.iter().filter(|rule| rule.verdict == Verdict::Fail);
    failed.filter_map(|rule| rule.rule.strip_prefix('R')?.parse().ok()).collect()
}

/// What became of a rule, and why it was skipped.
pub(crate) fn verdict(report: &Report, number: u16) -> Option<(Verdict, &str)> {
    let rule = report.rules.iter().find(|rule| rule.rule == format!("R{number}"))?;
    Some((rule.verdict, rule.reason.as_deref().unwrap_or_default()))
}

/// The guest breaks these rules, as this kind, and no other.
pub(crate) async fn breaks(guest: Guest, kind: Kind, rules: &[u16]) -> Result<()> {
    let report = test(&guest, kind, None).await?;
    let findings: Vec<_> = report.rules.iter().flat_map(|rule| &rule.findings).collect();
    let expected = rules.iter().copied().collect();
    ensure!(failed(&report) == expected, "{rules:?} expected, {:?} found: {findings:#?}", failed(&report));
    Ok(())
}

#[tokio::test]
async fn a_guest_that_keeps_to_the_contract_passes_as_every_kind() -> Result<()> {
    for kind in [Kind::Source, Kind::Sink, Kind::Transform] {
        breaks(Guest::new(), kind, &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_rule_can_be_asked_for() -> Result<()> {
    let guest = Guest::new().with(names::RESERVE, "(i32.const 4097)");
    let report = test(&guest, Kind::Sink, Some(13)).await?;
    assert_eq!(report.rules.len(), 1);
    assert_eq!(failed(&report), BTreeSet::from([13]));
    assert!(report.growth.is_empty(), "a million calls are no part of it");
    Ok(())
}
