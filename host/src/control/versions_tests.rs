//! What a connector may go back to: the plugins that ran well are kept for as long as it may have to, and no longer.

use std::path::{Path, PathBuf};

use super::super::test_plugins::{own, plugin};
use super::*;
use crate::config::{Definition, WorkerConfig};
use crate::storage::Configs;

/// A folder that holds these versions, each in a file of its own.
fn folder(versions: &[u32]) -> Registry {
    let mut registry = Registry::default();
    for version in versions {
        let file = PathBuf::from(format!("step-{version}.wasm"));
        registry.insert(&file, plugin("step", *version)).map(drop).unwrap();
    }
    registry
}

fn settings() -> ConnectorSettings {
    let text = r#"{"name": "c", "config": {"connector.class": "step", "topics": "in", "topic": "out"}}"#;
    let definition = Definition::parse(Path::new("c.json"), text.as_bytes()).unwrap();
    let (registry, none) = (folder(&[1]), Versions::default());
    ConnectorSettings::resolve(&definition, &none.allowed(&registry, &Configs::default()), &WorkerConfig::default())
        .unwrap()
        .0
}

/// The version that a connector with this folder may run.
fn allowed(versions: &Versions, registry: &Registry) -> Option<u64> {
    versions.allowed(registry, &Configs::default()).find("step", None).map(|plugin| plugin.manifest().version.major)
}

/// Version 2 took over from version 1, and failed.
fn rolled_back(now: Instant) -> Versions {
    let mut versions = Versions::default();
    versions.take_over(&own(2), own(1), true, now);
    let failed = versions.fail(&own(2), &settings(), "it failed");
    assert_eq!(failed.iter().map(|failed| failed.version.as_str()).collect::<Vec<_>>(), ["2.0.0"]);
    versions.take_over(&own(1), own(2), false, now);
    versions
}

/// Long enough for any probation.
fn later(now: Instant) -> Instant {
    now + 10 * PROBATION
}

#[test]
fn probation_takes_time_and_work() {
    let now = Instant::now();
    assert!(!is_over(now, PROBATION_COMMITS, now));
    assert!(!is_over(now, PROBATION_COMMITS - 1, later(now)));
    assert!(is_over(now, PROBATION_COMMITS, now + PROBATION));
}

#[test]
fn what_ran_well_runs_again_though_its_file_was_overwritten() {
    let now = Instant::now();
    let mut versions = rolled_back(now);
    let overwritten = folder(&[2]);
    versions.prune(&overwritten);
    assert_eq!(allowed(&versions, &overwritten), Some(1));
    assert!(!versions.on_probation(PROBATION_COMMITS, later(now)));
    assert_eq!(allowed(&versions, &overwritten), Some(1), "it is all that there is");
}

#[test]
fn what_passed_its_probation_is_what_is_gone_back_to() {
    let now = Instant::now();
    let mut versions = rolled_back(now);
    versions.take_over(&own(3), own(1), true, now);
    assert!(versions.on_probation(PROBATION_COMMITS, now));
    assert!(!versions.on_probation(PROBATION_COMMITS, later(now)));
    // Version 2 is still in quarantine, and all that the folder holds: version 3 has lost its file.
    let left = folder(&[2]);
    versions.prune(&left);
    assert_eq!(allowed(&versions, &left), Some(3));
    versions.take_over(&own(4), own(3), true, later(now));
    versions.fail(&own(4), &settings(), "it failed, too");
    assert_eq!(allowed(&versions, &folder(&[2, 4])), Some(3));
}

#[test]
fn a_failure_that_is_not_the_versions_leaves_what_is_gone_back_to() {
    let now = Instant::now();
    let mut versions = rolled_back(now);
    // Of another plugin there is no version before.
    let other = Plugins { own: plugin("other", 1), transforms: Vec::new() };
    versions.take_over(&other, own(1), true, now);
    assert_eq!(versions.fail(&other, &settings(), "it failed"), []);
    assert_eq!(allowed(&versions, &folder(&[2])), Some(1));
}

#[test]
fn one_of_two_in_quarantine_that_goes_leaves_what_is_gone_back_to() {
    let now = Instant::now();
    let mut versions = rolled_back(now);
    versions.take_over(&own(3), own(1), true, now);
    versions.fail(&own(3), &settings(), "it failed, too");
    versions.take_over(&own(1), own(3), false, now);
    versions.prune(&folder(&[3]));
    assert_eq!(versions.quarantined().map(|one| one.version.as_str()).collect::<Vec<_>>(), ["3.0.0"]);
    assert_eq!(allowed(&versions, &folder(&[3])), Some(1));
}

#[test]
fn nothing_is_kept_when_nothing_is_in_quarantine() {
    let now = Instant::now();
    let mut versions = rolled_back(now);
    versions.prune(&folder(&[]));
    assert_eq!((versions.quarantined().count(), versions.fallback.is_some()), (0, false));

    let mut versions = Versions::default();
    versions.take_over(&own(2), own(1), true, now);
    assert!(!versions.on_probation(PROBATION_COMMITS, later(now)));
    assert!(versions.fallback.is_none());
}

#[test]
fn what_is_gone_before_anything_runs_leaves_what_is_gone_back_to() {
    let now = Instant::now();
    let one = rolled_back(now);
    let kept: Vec<_> = one.quarantined().cloned().collect();
    let mut versions = Versions::with(&kept, Some(own(1)));
    // While the host was down, version 3 took the place of version 2.
    versions.prune(&folder(&[3]));
    versions.begin(&own(3), now);
    assert_eq!(versions.fail(&own(3), &settings(), "it failed").len(), 1);
    assert_eq!(allowed(&versions, &folder(&[3])), Some(1));
}

#[test]
fn what_was_pardoned_may_have_to_hand_back_once_more() {
    let now = Instant::now();
    let mut versions = rolled_back(now);
    versions.pardon();
    let overwritten = folder(&[2]);
    versions.prune(&overwritten);
    assert_eq!(allowed(&versions, &overwritten), Some(2));
    // Version 1 does not run well by now: it is what there is all the same.
    versions.take_over(&own(2), own(1), false, now);
    assert_eq!(versions.fail(&own(2), &settings(), "it failed again").len(), 1);
    assert_eq!(allowed(&versions, &overwritten), Some(1));
}

#[test]
fn a_connector_that_waits_tells_of_the_quarantine() {
    let one = rolled_back(Instant::now());
    let kept: Vec<_> = one.quarantined().cloned().collect();
    let versions = Versions::with(&kept, None);
    assert_eq!(allowed(&versions, &folder(&[2])), None);
    assert_eq!(allowed(&versions, &folder(&[1, 2])), Some(1));
    assert_eq!(
        versions.waits_for("c", &["step", "other"]),
        "plugin step, other; step 2.0.0 is in quarantine: it failed; put another version into the folder, or let it be \
         tried again: sandbar restart c"
    );
    assert_eq!(versions.waits_for("c", &["other"]), "plugin other");
}
