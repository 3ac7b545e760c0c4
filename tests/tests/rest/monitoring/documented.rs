//! What `docs/rest.md` says of metrics.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

/// The part of the page that is about them.
const SECTION: &str = "\n## Metrics\n";

/// A metric, as it is documented.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Documented {
    pub(super) kind: String,
    pub(super) labels: BTreeSet<String>,
}

/// All metrics of the page. Each table stands below a sentence that names the labels of all in it.
pub(super) fn read(page: &str) -> Result<BTreeMap<String, Documented>> {
    let (_, section) = page.split_once(SECTION).context("the page has no such part")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let (mut all, mut shared, mut has_labels) = (BTreeMap::new(), BTreeSet::new(), false);
    for paragraph in section.split("\n\n") {
        if !paragraph.starts_with('|') {
            let sentence = paragraph.split_once(". ").map_or(paragraph, |(sentence, _)| sentence);
            shared = quoted(sentence);
            continue;
        }
        for row in paragraph.lines() {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            match cells.as_slice() {
                ["metric", "type", third, ..] => has_labels = third.contains("labels"),
                [name, kind, third, ..] if name.starts_with('`') => {
                    let own = if has_labels { quoted(third) } else { BTreeSet::new() };
                    let labels = shared.iter().cloned().chain(own).collect();
                    all.insert(name.trim_matches('`').to_owned(), Documented { kind: (*kind).to_owned(), labels });
                }
                _ => {}
            }
        }
    }
    Ok(all)
}

/// What stands in back quotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
