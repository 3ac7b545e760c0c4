//! Tells the differ stories of a folder, scan by scan, and checks after which scan each change counts.

use std::path::Path;

use super::*;
use crate::discovery::problem::ScanProblem;
use crate::discovery::snapshot::{FileKind, Fingerprint};

/// The wall clock at the start of each story, in seconds since 1970.
const START: u64 = 1_800_000_000;

/// A file as one scan sees it: length, mtime in milliseconds since the start, inode.
type Seen = (u64, i64, u64);

fn entry((len, mtime, inode): Seen) -> Entry {
    let mtime = (i128::from(START) * 1000 + i128::from(mtime)) * 1_000_000;
    Entry {
        kind: FileKind::Plugin,
        fingerprint: Fingerprint { len, mtime, ctime: mtime, device: 1, inode },
        signature: None,
        problem: None,
    }
}

fn snapshot(files: &[(&str, Seen)]) -> Snapshot {
    Snapshot { entries: files.iter().map(|(name, seen)| (PathBuf::from(name), entry(*seen))).collect() }
}

/// A folder under observation, whose clock the story moves.
struct Story {
    start: Instant,
    settled: Snapshot,
    pending: Pending,
    due: Option<Duration>,
}

impl Story {
    fn of(settled: &[(&str, Seen)]) -> Self {
        Self { start: Instant::now(), settled: snapshot(settled), pending: Pending::default(), due: None }
    }

    fn compare(&mut self, at_ms: u64, current: &Snapshot) -> Vec<Difference> {
        let elapsed = Duration::from_millis(at_ms);
        let wall = UNIX_EPOCH + Duration::from_secs(START) + elapsed;
        let outcome = diff(&self.settled, current, &self.pending, Now { monotonic: self.start + elapsed, wall });
        self.pending = outcome.pending;
        self.due = outcome.due.map(|due| due - self.start);
        outcome.differences
    }

    /// Scans at `at_ms`, accepts what has come to rest and checks that it is `expected`: `+` new, `~` other, `-` gone.
    #[track_caller]
    fn scan(&mut self, at_ms: u64, files: &[(&str, Seen)], expected: &[&str]) -> &mut Self {
        let found = self.compare(at_ms, &snapshot(files));
        let mut shown = Vec::new();
        for Difference { path, before, after } in found {
            let sign = match (&before, &after) {
                (None, _) => '+',
                (_, None) => '-',
                _ => '~',
            };
            shown.push(format!("{sign}{}", path.display()));
            match after {
                Some(entry) => self.settled.entries.insert(path, entry),
                None => self.settled.entries.remove(&path),
            };
        }
        assert_eq!(shown, expected, "at {at_ms} ms");
        self
    }

    #[track_caller]
    fn due(&mut self, at_ms: impl Into<Option<u64>>) -> &mut Self {
        assert_eq!(self.due, at_ms.into().map(Duration::from_millis));
        self
    }
}

/// Long before any story starts.
const OLD: i64 = -60_000;

#[test]
fn a_file_that_is_written_counts_once_it_stays_the_same() {
    Story::of(&[])
        .scan(0, &[("a", (0, 0, 7))], &[])
        .due(50)
        .scan(20, &[("a", (100, 19, 7))], &[])
        .due(70)
        .scan(60, &[("a", (200, 55, 7))], &[])
        .due(110)
        .scan(109, &[("a", (200, 55, 7))], &[])
        .due(110)
        .scan(110, &[("a", (200, 55, 7))], &["+a"])
        .due(None)
        .scan(500, &[("a", (200, 55, 7))], &[])
        .due(None);
}

#[test]
fn a_file_that_is_old_counts_at_first_sight() {
    Story::of(&[]).scan(0, &[("a", (9, OLD, 7)), ("b", (9, -9_999, 8))], &["+a"]).due(50);
}

#[test]
fn a_rename_over_a_file_is_one_change() {
    Story::of(&[("a", (9, OLD, 7))]).scan(0, &[("a", (9, 0, 8))], &[]).scan(50, &[("a", (9, 0, 8))], &["~a"]).scan(
        51,
        &[("a", (9, 0, 8))],
        &[],
    );
}

#[test]
fn a_touch_is_a_difference_that_the_content_has_to_decide() {
    Story::of(&[("a", (9, OLD, 7))]).scan(0, &[("a", (9, 0, 7))], &[]).scan(50, &[("a", (9, 0, 7))], &["~a"]);
}

#[test]
fn a_removal_waits_as_well() {
    Story::of(&[("a", (9, OLD, 7))]).scan(0, &[], &[]).due(50).scan(50, &[], &["-a"]).due(None).scan(99, &[], &[]);
}

#[test]
fn removal_and_quick_re_creation_are_a_modification() {
    Story::of(&[("a", (9, OLD, 7))]).scan(0, &[], &[]).scan(30, &[("a", (8, 29, 8))], &[]).due(80).scan(
        80,
        &[("a", (8, 29, 8))],
        &["~a"],
    );
}

#[test]
fn a_file_that_comes_back_as_it_was_has_not_changed() {
    Story::of(&[("a", (9, OLD, 7))])
        .scan(0, &[], &[])
        .scan(30, &[("a", (9, OLD, 7))], &[])
        .due(None)
        .scan(90, &[], &[])
        .due(140);
}

#[test]
fn a_link_turned_to_an_old_file_counts_at_once() {
    Story::of(&[("a", (9, OLD, 7))]).scan(0, &[("a", (9, OLD - 5, 8))], &["~a"]);
}

#[test]
fn an_mtime_that_goes_back_is_a_change() {
    let mut restored = snapshot(&[("a", (9, OLD - 999_000, 7))]);
    let ctime = entry((9, 0, 7)).fingerprint.ctime;
    restored.entries.values_mut().for_each(|entry| entry.fingerprint.ctime = ctime);
    let mut story = Story::of(&[("a", (9, OLD, 7))]);
    // The kernel's own time of change is new, whatever the tool set the other one to: it has to settle.
    assert_eq!(story.compare(0, &restored), []);
    assert_eq!(story.compare(50, &restored).len(), 1);
}

#[test]
fn an_mtime_in_the_future_does_not_hold_a_file_back() {
    Story::of(&[]).scan(0, &[("a", (9, 86_400_000, 7))], &[]).scan(50, &[("a", (9, 86_400_000, 7))], &["+a"]);
}

#[test]
fn files_wait_for_themselves_only() {
    Story::of(&[])
        .scan(0, &[("a", (9, 0, 7)), ("b", (1, 0, 8))], &[])
        .scan(50, &[("a", (9, 0, 7)), ("b", (2, 49, 8))], &["+a"])
        .due(100)
        .scan(100, &[("a", (9, 0, 7)), ("b", (2, 49, 8))], &["+b"]);
}

#[test]
fn a_difference_that_was_not_accepted_comes_again() {
    let mut story = Story::of(&[]);
    let current = snapshot(&[("a", (9, 0, 7))]);
    assert_eq!(story.compare(0, &current), []);
    assert_eq!(story.compare(50, &current).len(), 1);
    assert_eq!(story.compare(51, &current).len(), 1);
}

#[test]
fn a_problem_is_a_state_like_any_other() {
    let mut story = Story::of(&[("a", (9, OLD, 7))]);
    let mut current = snapshot(&[("a", (9, 0, 7))]);
    let path = Path::new("a");
    current.entries.get_mut(path).expect("it is there").problem = Some(ScanProblem::PermissionDenied);
    assert_eq!(story.compare(0, &current), []);
    let found = story.compare(50, &current);
    assert_eq!(found[0].after.as_ref().and_then(|entry| entry.problem.clone()), Some(ScanProblem::PermissionDenied));
}

#[test]
fn a_file_and_its_signature_come_to_rest_together() {
    let signed = |mtime| {
        let mut snapshot = snapshot(&[("a", (9, OLD, 7))]);
        let signature = entry((3, mtime, 8)).fingerprint;
        snapshot.entries.values_mut().for_each(|entry| entry.signature = Some(signature));
        snapshot
    };
    // A new signature of an old file has to settle.
    let mut story = Story::of(&[("a", (9, OLD, 7))]);
    assert_eq!(story.compare(0, &signed(0)), []);
    assert_eq!(story.compare(30, &signed(29)), []);
    assert_eq!(story.compare(79, &signed(29)), []);
    assert_eq!(story.compare(80, &signed(29)).len(), 1);
    // So has its absence, which may be half of a replacement.
    story.settled = signed(29);
    assert_eq!(story.compare(1000, &snapshot(&[("a", (9, OLD, 7))])), []);
    assert_eq!(story.compare(1050, &snapshot(&[("a", (9, OLD, 7))])).len(), 1);
    // Both old: at a start they count at first sight.
    let mut story = Story::of(&[]);
    assert_eq!(story.compare(0, &signed(OLD)).len(), 1);
}
