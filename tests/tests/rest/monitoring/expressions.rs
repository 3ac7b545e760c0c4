//! What an expression of PromQL asks for: metrics, labels and their values. It is searched, not parsed: the parsers there are
//! rest on crates that nobody keeps any more. Whether it is PromQL at all `promtool` says, where there is one.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use regex::Regex;

/// The metrics that are ours, with their matchers.
static SELECTOR: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(sandbar_\w+)(?:\{([^}]*)\})?").ok());
static MATCHER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).ok());
/// What results are told apart by: of what follows in parentheses, or of both sides.
static GROUPING: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(by|on)\s*\(([^)]*)\)").ok());

/// One use of a metric.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// The series.
    pub(super) series: String,
    /// Labels that it has to have.
    pub(super) labels: BTreeSet<String>,
    /// Values that labels have to have at some time.
    pub(super) values: BTreeSet<(String, String)>,
}

/// All uses in an expression.
pub(super) fn uses(text: &str) -> Result<Vec<Use>> {
    let wrong = "a pattern of this file is none";
    let (selector, matcher) = (SELECTOR.as_ref().context(wrong)?, MATCHER.as_ref().context(wrong)?);
    let mut groups = Vec::new();
    for found in GROUPING.as_ref().context(wrong)?.captures_iter(text) {
        let labels: Vec<_> = found[2].split(',').map(|label| label.trim().to_owned()).collect();
        let end = found.get(0).map_or(0, |whole| whole.end());
        let reach = if &found[1] == "by" { end..closing(text, end) } else { 0..text.len() };
        groups.push((reach, labels));
    }
    let mut uses = Vec::new();
    for found in selector.captures_iter(text) {
        let at = found.get(0).map_or(0, |whole| whole.start());
        let around = groups.iter().filter(|(reach, _)| reach.contains(&at));
        let labels = around.flat_map(|(_, labels)| labels.clone()).collect();
        let mut one = Use { series: found[1].to_owned(), labels, ..Use::default() };
        for found in matcher.captures_iter(found.get(2).map_or("", |inner| inner.as_str())) {
            let (label, value) = (found[1].to_owned(), &found[3]);
            one.labels.insert(label.clone());
            // A variable of the dashboard may be anything.
            if !value.contains('$') {
                let values = value.split('|').take(if found[2].ends_with('~') { usize::MAX } else { 1 });
                one.values.extend(values.map(|value| (label.clone(), value.to_owned())));
            }
        }
        uses.push(one);
    }
    Ok(uses)
}

/// Where the parenthesis that opens next closes.
fn closing(text: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in text[from..].char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 1 => return from + at,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

#[test]
fn what_an_expression_asks_for_is_found() -> Result<()> {
    let text = "sum by (a) (rate(sandbar_x_total{b=\"1|2\", c=~\"3|4\", d=~\"$d\"}[$__rate_interval])) \
                / on (e) (sandbar_y{f!~\"5|6\"} or vector(0))";
    let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    let shown: Vec<_> =
        uses(text)?.iter().map(|one| format!("{} {} {}", one.series, names(&one.labels), one.values.len())).collect();
    assert_eq!(shown, ["sandbar_x_total a b c d e 3", "sandbar_y e f 2"]);
    Ok(())
}
