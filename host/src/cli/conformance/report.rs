//! The report for people: a line for each rule, then every failure in full, then a sum.

use std::time::Duration;

use crate::cli::text::{Table, counted, grouped, shown};
use crate::conformance::{Growth, Report, RuleReport, Verdict};

/// How wide the column of rules and reasons is, so that the table fits most terminals.
const WIDTH: usize = 84;

/// The page.
pub(super) fn text(report: &Report) -> String {
    let mut page = String::new();
    if let Some(plugin) = &report.plugin {
        let kinds: Vec<_> = plugin.kinds.iter().map(|kind| kind.name()).collect();
        page.push_str(&format!("{} {} ({})\n", plugin.name, plugin.version, kinds.join(", ")));
    }
    for rules in report.rules.chunk_by(|a, b| a.place == b.place) {
        let heading = rules.first().and_then(|rule| rule.place.split_once(", ")).map_or("", |(_, heading)| heading);
        page.push_str(&format!("\n{heading}\n"));
        let mut table = Table::plain();
        for rule in rules {
            let reason = rule.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            table.row_wrapped(
                [word(rule.verdict), &format!("{:<3}", rule.rule)],
                &format!("{}{reason}", rule.says),
                WIDTH,
            );
        }
        page.push_str(&table.text("  "));
    }
    for growth in &report.growth {
        page.push_str(&format!("\n{}\n", grown(growth)));
    }
    for rule in report.rules.iter().filter(|rule| rule.verdict == Verdict::Fail) {
        page.push_str(&failure(rule));
    }
    page.push_str(&format!("\n{}\n", summary(report)));
    page
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Skipped => "skip",
        Verdict::Host => "host",
    }
}

fn failure(rule: &RuleReport) -> String {
    let mut text = format!("\n{} failed: {}\n", rule.rule, rule.says);
    for finding in &rule.findings {
        let case = finding.case.map(|case| format!("case {case}")).unwrap_or_default();
        let kind = finding.kind.map(|kind| format!(", as a {}", kind.name())).unwrap_or_default();
        let by = if case.is_empty() { String::new() } else { format!(" ({case}{kind})") };
        text.push_str(&format!("  seen: {}{by}\n", shown(&finding.seen)));
    }
    text.push_str(&format!("  rule: {} in {}\n", rule.rule, rule.place));
    text
}

fn grown(growth: &Growth) -> String {
    let records = counted(usize::try_from(growth.records).unwrap_or(usize::MAX), "record");
    format!(
        "{} calls with {records} as a {} in {}: {} bytes of memory after the warm-up, {} at the end",
        grouped(growth.calls),
        growth.kind.name(),
        seconds(growth.took),
        grouped(growth.bytes_before as u64),
        grouped(growth.bytes_after as u64),
    )
}

fn summary(report: &Report) -> String {
    let sum = report.summary;
    format!(
        "{} passed, {} failed, {} skipped, {} are the host's, in {}",
        sum.passed,
        sum.failed,
        sum.skipped,
        sum.host,
        seconds(report.took)
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
