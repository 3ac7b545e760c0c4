//! The conformance kit: holds a plugin of any language to the rules of `docs/abi.md`, and says of each what became of it.
//!
//! A case is a few calls on fresh instances, so that what goes wrong in one hides nothing in the next. Calls are made by
//! the functions that tasks use; whatever those would refuse is attributed to the rule that it breaks. What cannot be seen
//! from outside (whether a flush was durable) is not judged: a rule that passes was not seen broken.

mod cases;
mod gate;
mod newer;
mod records;
mod report;
mod rules;
mod trial;

use std::time::Instant;

use sandbar_abi::manifest::Kind;
use serde_json::Value;

pub use cases::Case;
pub use report::{FORMAT, Finding, Growth, NotOpened, Report, RuleReport, Summary, Tested, Verdict};
pub use rules::{Keeper, RULES, Rule, Section};

use crate::batch::Batch;
use crate::plugins::{Inspection, OptionalExports, PluginError};
use crate::sandbox::{Compiled, Grants, Limits};
use records::Feed;
use trial::{Blame, Notes, Stop, Trial};

/// Where the records of cases say they come from.
pub const TOPIC: &str = "sandbar-conformance";
/// The partition they say they come from.
const PARTITION: i32 = 0;

/// A plugin, and how it is opened.
pub struct Subject {
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// Its code.
    pub compiled: Compiled,
    /// The optional calls it takes.
    pub optional: OptionalExports,
    /// As what it is opened.
    pub kind: Kind,
    /// The connector's name.
    pub connector: String,
    /// Its configuration, secrets resolved.
    pub config: Value,
    /// Its budget.
    pub limits: Limits,
    /// Its grants.
    pub grants: Grants,
    /// How many records the largest batch has.
    pub batch_records: usize,
}

/// How it is tested.
pub struct Options {
    /// How many calls the memory case makes.
    pub calls: u64,
    /// The only rule to be tried.
    pub only: Option<u16>,
    /// Ordinary records that the plugin makes sense of.
    pub records: Option<Batch>,
}

/// Tests a plugin that the host would take, as each of these.
pub async fn run(inspection: &Inspection, subjects: &[Subject], options: &Options) -> Report {
    let start = Instant::now();
    let (mut notes, mut not_opened) = (Notes::default(), Vec::new());
    let mut feed = Feed::new(options.records.as_ref());
    for subject in subjects {
        for case in Case::ALL.iter().filter(|case| case.is_for(subject.kind) && asked(**case, options.only)) {
            let mut trial = Trial {
                subject,
                feed: &mut feed,
                notes: &mut notes,
                case: *case,
                blame: Blame::Nothing,
                has_refused: false,
                has_opened: false,
            };
            match case.run(&mut trial, options.calls).await {
                Ok(()) => case.about().iter().for_each(|rule| trial.kept(*rule)),
                Err(Stop::Broken) if *case == Case::Start && !trial.has_opened => {
                    let reason = notes.seen(*case, subject.kind);
                    not_opened.push(NotOpened { kind: subject.kind, reason });
                }
                Err(Stop::Broken) => {}
                Err(Stop::Skip(reason)) => notes.skip(case.about(), &reason),
                Err(Stop::Refused(said)) => {
                    notes.skip(case.about(), &format!("case {} was refused: {said}", case.name()));
                    if *case == Case::Start {
                        not_opened.push(NotOpened { kind: subject.kind, reason: said });
                        break;
                    }
                }
            }
        }
    }
    let kinds: Vec<_> = subjects.iter().map(|subject| subject.kind).collect();
    let verdict = |rule: &Rule| match rule.keeper {
        Keeper::Module => (Verdict::Pass, None),
        Keeper::Host => (Verdict::Host, None),
        Keeper::Plugin if notes.findings.contains_key(&rule.number) => (Verdict::Fail, None),
        Keeper::Plugin if notes.kept.contains(&rule.number) => (Verdict::Pass, None),
        Keeper::Plugin => (Verdict::Skipped, Some(notes.reason(rule, &kinds))),
    };
    let (rules, others, summary) = table(options.only, verdict, &notes);
    let plugin = Some(Tested::new(&inspection.manifest, inspection.sha256, kinds.clone()));
    Report { format: FORMAT, plugin, summary, rules, others, growth: notes.growth, took: start.elapsed(), not_opened }
}

/// What there is to say of a file that the host would not take: none of it is run.
#[must_use]
pub fn refused(errors: &[PluginError], only: Option<u16>) -> Report {
    let start = Instant::now();
    let mut notes = Notes::default();
    for error in errors {
        let finding = Finding { case: None, kind: None, seen: error.to_string() };
        notes.findings.entry(gate::rule(error)).or_default().push(finding);
    }
    // A file that cannot be read as a module says nothing of the rules after the first.
    let is_unread = notes.findings.contains_key(&1);
    let verdict = |rule: &Rule| match rule.keeper {
        _ if notes.findings.contains_key(&rule.number) => (Verdict::Fail, None),
        Keeper::Module if !is_unread => (Verdict::Pass, None),
        Keeper::Host => (Verdict::Host, None),
        _ => (Verdict::Skipped, Some("the host does not take the file, nothing of it was run".to_owned())),
    };
    let (rules, others, summary) = table(only, verdict, &notes);
    Report {
        format: FORMAT,
        plugin: None,
        summary,
        rules,
        others,
        growth: Vec::new(),
        took: start.elapsed(),
        not_opened: Vec::new(),
    }
}

/// Whether a case is needed for what was asked.
fn asked(case: Case, only: Option<u16>) -> bool {
    let Some(rule) = only.and_then(Rule::of) else { return true };
    if rule.keeper != Keeper::Plugin {
        return false;
    }
    case == Case::Start || case.about().contains(&rule.number) || (rule.is_everywhere() && case != Case::Growth)
}

/// What became of the rules that were asked for, which others are broken, and the sum of the former.
fn table(
    only: Option<u16>,
    verdict: impl Fn(&Rule) -> (Verdict, Option<String>),
    notes: &Notes,
) -> (Vec<RuleReport>, Vec<RuleReport>, Summary) {
    let (mut rules, mut others, mut summary) = (Vec::new(), Vec::new(), Summary::default());
    for rule in RULES {
        let (verdict, reason) = verdict(rule);
        let (number, heading) = rule.section.heading();
        let report = RuleReport {
            rule: format!("R{}", rule.number),
            place: format!("docs/abi.md, section {number}, {heading}"),
            says: rule.says,
            verdict,
            reason,
            findings: notes.findings.get(&rule.number).cloned().unwrap_or_default(),
        };
        if only.is_some_and(|only| only != rule.number) {
            others.extend((verdict == Verdict::Fail).then_some(report));
            continue;
        }
        *match verdict {
            Verdict::Pass => &mut summary.passed,
            Verdict::Fail => &mut summary.failed,
            Verdict::Skipped => &mut summary.skipped,
            Verdict::Host => &mut summary.host,
        } += 1;
        rules.push(report);
    }
    (rules, others, summary)
}

impl Notes {
    /// What a case found, opened as this kind.
    fn seen(&self, case: Case, kind: Kind) -> String {
        let mut findings = self.findings.values().flatten();
        let found = findings.find(|finding| finding.case == Some(case.name()) && finding.kind == Some(kind));
        found.map(|finding| finding.seen.clone()).unwrap_or_default()
    }

    fn skip(&mut self, rules: &[u16], reason: &str) {
        for rule in rules {
            self.skipped.entry(*rule).or_insert_with(|| reason.to_owned());
        }
    }

    /// Why a rule was not tried.
    fn reason(&self, rule: &Rule, kinds: &[Kind]) -> String {
        if let Some(reason) = self.skipped.get(&rule.number) {
            return reason.clone();
        }
        let of = rule.kinds();
        if !of.is_empty() && !kinds.iter().any(|kind| of.contains(kind)) {
            let names: Vec<_> = of.iter().map(|kind| kind.name()).collect();
            return format!("it is about a {}", names.join(" or a "));
        }
        match rule.section {
            Section::Frame => "the plugin returned no frame".to_owned(),
            _ if rule.number == 29 => "the plugin returned no error".to_owned(),
            _ => "nothing of it was seen".to_owned(),
        }
    }
}
