//! Follows real folders through what people and tools do to them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;

use tokio::time::timeout;

use super::*;

/// Longer than any test: what is told was told because of events.
const NEVER: Duration = Duration::from_secs(3600);
/// How long a change may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

struct Folder {
    _root: tempfile::TempDir,
    path: PathBuf,
    discovery: Discovery,
}

impl Folder {
    /// A folder with these files, which have not been told yet.
    fn with(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = root.path().join("connectors");
        fs::create_dir(&path).expect("a folder");
        files.iter().for_each(|(name, content)| fs::write(path.join(name), content).expect("a file"));
        let discovery = Discovery::new(&path, NEVER).expect("it can be followed");
        Self { _root: root, path, discovery }
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path.join(name), content).expect("a file");
    }

    /// As careful tools do it: beside the file, then over it.
    fn replace(&self, name: &str, content: &str) {
        self.write(".new", content);
        fs::rename(self.path.join(".new"), self.path.join(name)).expect("a rename");
    }

    async fn next(&mut self) -> Vec<String> {
        let changes = timeout(LIMIT, self.discovery.next()).await.expect("there are changes");
        changes.iter().map(show).collect()
    }

    /// The next changes, past the empty answer that the first scan may give.
    async fn changes(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.next().await);
        }
        all
    }
}

fn show(change: &Change) -> String {
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let content = |file: &FoundFile| {
        let content = file.read().expect("it is still there");
        assert_eq!(file.sha256, crate::digest::Digest::of(&content));
        String::from_utf8(content).expect("text")
    };
    match change {
        Change::Appeared(file) => format!("+{} {}", name(&file.path), content(file)),
        Change::Modified(file) => format!("~{} {}", name(&file.path), content(file)),
        Change::Removed { path, .. } => format!("-{}", name(path)),
        Change::Problem { path, problem, .. } => format!("!{} {problem}", name(path)),
        Change::FolderLost(error) => format!("lost {error}"),
        Change::FolderFound => "found".to_owned(),
    }
}

#[tokio::test]
async fn the_first_scan_of_an_empty_folder_is_told() {
    let mut folder = Folder::with(&[("notes.txt", "")]);
    assert!(folder.next().await.is_empty());
}

/// Also where it was put there just now.
#[tokio::test]
async fn what_is_there_is_told_at_once_plugins_before_definitions() {
    let mut folder = Folder::with(&[("a.json", "1"), ("z.wasm", "2"), ("b.toml", "3")]);
    assert_eq!(folder.next().await, ["+z.wasm 2", "+a.json 1", "+b.toml 3"]);
}

#[tokio::test]
async fn a_file_goes_through_its_life() {
    let mut folder = Folder::with(&[]);
    assert!(folder.next().await.is_empty());
    folder.write("a.json", "one");
    assert_eq!(folder.next().await, ["+a.json one"]);
    folder.replace("a.json", "two");
    assert_eq!(folder.next().await, ["~a.json two"]);
    fs::remove_file(folder.path.join("a.json")).expect("a removal");
    assert_eq!(folder.next().await, ["-a.json"]);
}

#[tokio::test]
async fn the_same_content_again_is_no_news() {
    let mut folder = Folder::with(&[("a.json", "one")]);
    assert_eq!(folder.changes(1).await, ["+a.json one"]);
    folder.replace("a.json", "one");
    folder.write("b.json", "two");
    assert_eq!(folder.next().await, ["+b.json two"]);
}

#[tokio::test]
async fn a_file_that_grows_is_told_when_it_is_whole() {
    let mut folder = Folder::with(&[]);
    assert!(folder.next().await.is_empty());
    let mut file = File::create(folder.path.join("a.json")).expect("a file");
    let mut told = Vec::new();
    for _ in 0..20 {
        file.write_all(b"x").expect("it grows");
        // A slow writer, whose pauses are shorter than the time a file has to stay the same. On a machine that stalls one
        // may look like the end; then the rest is told as a modification.
        told.extend(timeout(SETTLE / 5, folder.discovery.next()).await.unwrap_or_default());
    }
    let is_whole = |change: &Change| match change {
        Change::Appeared(file) | Change::Modified(file) => file.len() == 20,
        _ => panic!("{change:?}"),
    };
    while !told.last().is_some_and(is_whole) {
        told.extend(timeout(LIMIT, folder.discovery.next()).await.expect("the whole file is told"));
    }
    assert_eq!(show(told.last().expect("it was told"))[1..], format!("a.json {}", "x".repeat(20)));
}

#[tokio::test]
async fn a_link_turned_to_another_file_is_a_modification() {
    let mut folder = Folder::with(&[(".one", "1"), (".two", "2")]);
    let turn = |target: &str, path: &Path| {
        std::os::unix::fs::symlink(target, path.join(".link")).expect("a link");
        fs::rename(path.join(".link"), path.join("a.json")).expect("a rename");
    };
    turn(".one", &folder.path);
    assert_eq!(folder.changes(1).await, ["+a.json 1"]);
    turn(".two", &folder.path);
    assert_eq!(folder.next().await, ["~a.json 2"]);
    turn(".none", &folder.path);
    assert!(folder.next().await[0].contains("which does not exist"));
    turn(".two", &folder.path);
    assert_eq!(folder.next().await, ["~a.json 2"]);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_told_unread() {
    let mut folder = Folder::with(&[]);
    let file = File::create(folder.path.join("a.wasm")).expect("a file");
    file.set_len(200 << 20).expect("a sparse file");
    let told = folder.changes(1).await;
    assert!(told[0].starts_with("!a.wasm the file has 209715200 bytes"), "{told:?}");
    fs::remove_file(folder.path.join("a.wasm")).expect("a removal");
    assert_eq!(folder.next().await, ["-a.wasm"]);
}

#[tokio::test]
async fn a_folder_that_vanishes_takes_nothing_with_it() {
    let mut folder = Folder::with(&[("a.json", "one"), ("b.json", "two")]);
    assert_eq!(folder.changes(2).await.len(), 2);
    let away = folder.path.with_extension("away");
    fs::rename(&folder.path, &away).expect("a rename");
    assert!(folder.next().await[0].starts_with("lost folder"));
    fs::write(away.join("b.json"), "three").expect("a file");
    fs::rename(&away, &folder.path).expect("a rename");
    assert_eq!(folder.changes(2).await, ["found", "~b.json three"]);
    folder.write("c.json", "four");
    assert_eq!(folder.next().await, ["+c.json four"]);
}

#[tokio::test]
async fn a_folder_that_comes_later_is_found() {
    let mut folder = Folder::with(&[]);
    fs::remove_dir(&folder.path).expect("a removal");
    assert!(folder.next().await[0].contains("does not exist"));
    fs::create_dir(&folder.path).expect("a folder");
    folder.write("a.json", "one");
    assert_eq!(folder.changes(2).await, ["found", "+a.json one"]);
}

#[tokio::test]
async fn nothing_is_lost_when_next_is_dropped() {
    let mut folder = Folder::with(&[]);
    assert!(folder.next().await.is_empty());
    let count = 40;
    let mut told = BTreeMap::new();
    let mut written = 0;
    let start = Instant::now();
    while told.len() < count {
        assert!(start.elapsed() < LIMIT, "{} of {count} were told", told.len());
        if written < count {
            folder.write(&format!("{written}.json"), "{}");
            written += 1;
        }
        // Limits of all lengths, so that it is dropped at each of its waiting points.
        let limit = Duration::from_micros((told.len() + written) as u64 * 137 % 9_000);
        for change in timeout(limit, folder.discovery.next()).await.unwrap_or_default() {
            let Change::Appeared(file) = change else { panic!("{change:?}") };
            assert_eq!(told.insert(file.path, file.sha256), None, "told twice");
        }
    }
}

#[tokio::test]
async fn a_signature_makes_its_plugin_news_whenever_it_comes() {
    let signature = |change: &Change| match change {
        Change::Appeared(file) | Change::Modified(file) => file.read_signature().expect("it is still there"),
        _ => panic!("{change:?}"),
    };
    let mut folder = Folder::with(&[]);
    assert!(folder.next().await.is_empty());
    folder.write("a.wasm", "code");
    assert_eq!(folder.next().await, ["+a.wasm code"]);
    for content in ["one", "two"] {
        folder.replace("a.wasm.minisig", content);
        let changes = timeout(LIMIT, folder.discovery.next()).await.expect("there are changes");
        assert_eq!(signature(&changes[0]).as_deref(), Some(content.as_bytes()));
    }
    fs::remove_file(folder.path.join("a.wasm.minisig")).expect("a removal");
    let changes = timeout(LIMIT, folder.discovery.next()).await.expect("there are changes");
    assert_eq!(signature(&changes[0]), None);
}

#[tokio::test]
async fn what_could_not_be_read_as_it_was_told_is_told_again() {
    let mut folder = Folder::with(&[("a.wasm", "one")]);
    assert_eq!(folder.changes(1).await, ["+a.wasm one"]);
    // Somebody read it while it was something else for a moment; no scan has seen that.
    let path = std::path::absolute(folder.path.join("a.wasm")).expect("a path");
    folder.discovery.doubt(&path);
    assert_eq!(folder.next().await, ["+a.wasm one"]);
    folder.discovery.doubt(&path);
    fs::remove_file(&path).expect("a removal");
    assert_eq!(folder.next().await, ["-a.wasm"]);
}
