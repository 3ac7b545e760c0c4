//! What the kit found, rule by rule: the same for people and for programs.

use std::time::Duration;

use sandbar_abi::Manifest;
use sandbar_abi::manifest::Kind;
use serde::Serialize;

use crate::digest::Digest;

/// The version of the JSON. Fields are added under the same number; any other change makes it another.
pub const FORMAT: u32 = 1;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// See [`FORMAT`].
    pub format: u32,
    /// The plugin; nothing where the file is not one.
    pub plugin: Option<Tested>,
    /// How many rules there are of each verdict.
    pub summary: Summary,
    /// Every rule, in the order of the document's sections.
    pub rules: Vec<RuleReport>,
    /// Where one rule was asked for: the others that were seen broken on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<RuleReport>,
    /// What the calls of the memory case came to, for each kind.
    pub growth: Vec<Growth>,
    /// How long all of it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// Why it could not be opened as a kind: it refused, or broke a rule.
    pub not_opened: Vec<NotOpened>,
}

/// The plugin that was tested.
#[derive(Clone, Debug, Serialize)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its content.
    pub sha256: Digest,
    /// As what it was opened.
    pub kinds: Vec<Kind>,
}

impl Tested {
    pub(super) fn new(manifest: &Manifest, sha256: Digest, kinds: Vec<Kind>) -> Self {
        Self { name: manifest.name.clone(), version: manifest.version.to_string(), sha256, kinds }
    }
}

/// A kind the plugin could not be opened as.
#[derive(Clone, Debug, Serialize)]
pub struct NotOpened {
    /// The kind.
    pub kind: Kind,
    /// What it said, or what was seen.
    pub reason: String,
}

/// How many rules there are of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Kept.
    pub passed: usize,
    /// Broken.
    pub failed: usize,
    /// Not tried.
    pub skipped: usize,
    /// Not the plugin's to keep.
    pub host: usize,
}

/// What became of a rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    /// `R13`
    pub rule: String,
    /// Where it stands: `docs/abi.md, section 3, Exports`.
    #[serde(rename = "where")]
    pub place: String,
    /// What it says, in short.
    pub says: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How it was broken, each way once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was tried and is kept.
    Pass,
    /// It is broken.
    Fail,
    /// It was not tried.
    Skipped,
    /// It is the host's.
    Host,
}

/// A way in which a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The case that found it; nothing where it is read from the file's bytes.
    pub case: Option<&'static str>,
    /// As what the plugin was opened.
    pub kind: Option<Kind>,
    /// What was seen.
    pub seen: String,
}

/// What many calls came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// As what the plugin was opened.
    pub kind: Kind,
    /// How many calls were made.
    pub calls: u64,
    /// How many records were taken, or returned; refused ones do not count.
    pub records: u64,
    /// Linear memory once it had seen every size of input.
    pub bytes_before: usize,
    /// Linear memory at the end.
    pub bytes_after: usize,
    /// How long the calls took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

impl Report {
    /// Whether no rule is broken.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.summary.failed == 0
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}
