//! Scans real folders that hold everything a folder may hold.

use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::discovery::snapshot::{MAX_DEFINITION_BYTES, MAX_PLUGIN_BYTES};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[track_caller]
fn problem(folder: &Path, name: &str) -> Option<ScanProblem> {
    let snapshot = scan(folder).expect("the folder can be read");
    snapshot.entries.get(&folder.join(name)).expect("the file is listed").problem.clone()
}

#[test]
fn files_that_matter_are_listed_and_others_are_not() {
    let folder = folder();
    for name in ["a.wasm", "a.json", "b.toml", "sandbar.toml", "notes.txt", ".a.json", "a.json~"] {
        fs::write(folder.path().join(name), "x").expect("a file");
    }
    fs::create_dir(folder.path().join("nested.wasm")).expect("a folder");
    fs::write(folder.path().join("nested.wasm/c.json"), "x").expect("a file");
    let snapshot = scan(folder.path()).expect("the folder can be read");
    let listed: Vec<_> = snapshot.entries.iter().map(|(path, entry)| (path.file_name(), entry.kind)).collect();
    let name = |name| Some(OsStr::new(name));
    let expected = [
        (name("a.json"), FileKind::Definition),
        (name("a.wasm"), FileKind::Plugin),
        (name("b.toml"), FileKind::Definition),
    ];
    assert_eq!(listed, expected);
    assert!(snapshot.entries.values().all(|entry| entry.problem.is_none() && entry.fingerprint.len == 1));
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_not_an_empty_folder() {
    let folder = folder();
    let missing = folder.path().join("missing");
    assert_eq!(scan(&missing), Err(FolderError::Missing { folder: missing }));
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("a file");
    assert!(matches!(scan(&file), Err(FolderError::Unreadable { .. })));
}

#[test]
fn links_count_as_what_they_point_to() {
    let folder = folder();
    let target = folder.path().join("real");
    fs::write(&target, "content").expect("a file");
    symlink("real", folder.path().join("a.json")).expect("a link");
    let snapshot = scan(folder.path()).expect("the folder can be read");
    let entry = &snapshot.entries[&folder.path().join("a.json")];
    assert_eq!(entry.fingerprint, Fingerprint::of(&fs::metadata(target).expect("metadata")));
    assert_eq!(entry.problem, None);
}

#[test]
fn links_that_lead_nowhere_are_named() {
    let folder = folder();
    symlink("nowhere", folder.path().join("a.json")).expect("a link");
    assert_eq!(problem(folder.path(), "a.json"), Some(ScanProblem::DanglingLink { target: "nowhere".into() }));
    symlink("loop.json", folder.path().join("loop.json")).expect("a link");
    assert!(matches!(problem(folder.path(), "loop.json"), Some(ScanProblem::Unreadable { .. })));
    symlink(".", folder.path().join("folder.json")).expect("a link");
    assert!(!scan(folder.path()).expect("readable").entries.contains_key(&folder.path().join("folder.json")));
}

#[test]
fn files_over_the_limit_are_refused_unread() {
    let folder = folder();
    let sparse = |name: &str, len| File::create(folder.path().join(name)).and_then(|file| file.set_len(len));
    sparse("fits.wasm", MAX_PLUGIN_BYTES).expect("a sparse file");
    sparse("huge.wasm", 200 << 20).expect("a sparse file");
    sparse("huge.json", MAX_DEFINITION_BYTES + 1).expect("a sparse file");
    assert_eq!(problem(folder.path(), "fits.wasm"), None);
    let text = problem(folder.path(), "huge.wasm").expect("it is too large").to_string();
    assert!(text.contains("209715200 bytes") && text.contains("134217728"), "{text}");
    assert!(matches!(
        problem(folder.path(), "huge.json"),
        Some(ScanProblem::TooLarge { limit: MAX_DEFINITION_BYTES, .. })
    ));
}

#[test]
fn sockets_and_pipes_are_never_opened() {
    let folder = folder();
    let _socket = UnixListener::bind(folder.path().join("a.json")).expect("a socket");
    assert_eq!(problem(folder.path(), "a.json"), Some(ScanProblem::NotAFile { what: "socket" }));
    symlink("/dev/zero", folder.path().join("b.wasm")).expect("a link");
    assert_eq!(problem(folder.path(), "b.wasm"), Some(ScanProblem::NotAFile { what: "device" }));
    let pipe = folder.path().join("c.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe");
    assert_eq!(problem(folder.path(), "c.toml"), Some(ScanProblem::NotAFile { what: "named pipe" }));
}

#[test]
fn names_that_are_not_utf8_are_a_problem_of_that_file_only() {
    let folder = folder();
    let name = OsStr::from_bytes(b"caf\xe9.json");
    fs::write(folder.path().join(name), "x").expect("a file");
    fs::write(folder.path().join("fine.json"), "x").expect("a file");
    let snapshot = scan(folder.path()).expect("the folder can be read");
    assert_eq!(snapshot.entries[&folder.path().join(name)].problem, Some(ScanProblem::NameNotUtf8));
    assert_eq!(problem(folder.path(), "fine.json"), None);
}

#[test]
fn a_file_without_permission_is_a_problem() {
    let folder = folder();
    let path = folder.path().join("a.json");
    fs::write(&path, "x").expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("a mode");
    // The superuser may read it all the same, and then there is no problem to report.
    let expected = File::open(&path).is_err().then_some(ScanProblem::PermissionDenied);
    assert_eq!(problem(folder.path(), "a.json"), expected);
}

#[test]
fn a_signature_belongs_to_its_plugin() {
    let folder = folder();
    for name in ["a.wasm", "a.wasm.minisig", "b.wasm", "b.minisig", "c.wasm.minisig", "d.json", "d.json.minisig"] {
        fs::write(folder.path().join(name), name).expect("a file");
    }
    let snapshot = scan(folder.path()).expect("the folder can be read");
    let signatures = snapshot.entries.values().map(|entry| entry.signature.map(|signature| signature.len));
    assert_eq!(signatures.collect::<Vec<_>>(), [Some(14), None, None]);
}

#[test]
fn a_signature_that_cannot_be_looked_at_is_a_problem_of_its_plugin() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for name in ["large.wasm", "link.wasm", "pipe.wasm", "folder.wasm"] {
        fs::write(path(name), "x").expect("a file");
    }
    File::create(path("large.wasm.minisig")).and_then(|file| file.set_len(MAX_SIGNATURE_BYTES + 1)).expect("a file");
    symlink("nowhere", path("link.wasm.minisig")).expect("a link");
    let pipe = path("pipe.wasm.minisig");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe");
    fs::create_dir(path("folder.wasm.minisig")).expect("a folder");
    for (name, part) in
        [("large", "has 16385 bytes, a signature may have 16384"), ("link", "nowhere"), ("pipe", "pipe")]
    {
        let text = problem(folder.path(), &format!("{name}.wasm")).expect("a problem").to_string();
        assert!(text.starts_with("its signature ") && text.contains(part), "{text}");
    }
    assert_eq!(problem(folder.path(), "folder.wasm"), None);
}
