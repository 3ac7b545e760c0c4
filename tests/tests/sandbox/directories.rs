//! Granted directories under attack: nothing outside is reached and nothing is written without leave, whatever the path,
//! whatever links there are, and whatever becomes of the directory meanwhile.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sandbar::sandbox::{Grants, Instance};
use sandbar_abi::names;
use sandbar_tests::wat::Guest;
use tempfile::TempDir;

use crate::{LIMITS, grant, open_with};

/// WASI's numbers for what comes of a call.
const OK: u32 = 0;
const BADF: u32 = 8;
const INVAL: u32 = 28;
const LOOP: u32 = 32;
const NAMETOOLONG: u32 = 37;
const NOENT: u32 = 44;
const NOTDIR: u32 = 54;
const PERM: u32 = 63;

/// The first granted directory, and the second.
const FIRST: u32 = 3;
const SECOND: u32 = 4;
/// Rights of `path_open`.
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 6;
/// Flags of `path_open`.
const CREATE: u32 = 1;
const TRUNCATE: u32 = 8;

/// Where answers begin, and how long one is: an error, a descriptor, and the first bytes of a file.
const ANSWERS: usize = 48 << 10;
const ANSWER: usize = 16;
/// Where paths begin.
const PATHS: usize = 1024;

/// WASI calls in a row, as a guest makes them in each flush.
#[derive(Default)]
struct Script {
    data: Vec<u8>,
    body: String,
    calls: usize,
}

impl Script {
    /// A path as two arguments.
    fn path(&mut self, path: &str) -> String {
        let at = PATHS + self.data.len();
        self.data.extend_from_slice(path.as_bytes());
        format!("(i32.const {at}) (i32.const {})", path.len())
    }

    fn call(&mut self, call: &str) -> &mut Self {
        let at = ANSWERS + ANSWER * self.calls;
        self.body.push_str(&format!("(i32.store (i32.const {at}) {call})"));
        self.calls += 1;
        self
    }

    /// Opens a path below a directory, and follows links as guests do.
    fn open(&mut self, directory: u32, path: &str, flags: u32, rights: u64) -> &mut Self {
        let at = ANSWERS + ANSWER * self.calls;
        let path = self.path(path);
        self.call(&format!(
            "(call $path_open (i32.const {directory}) (i32.const 1) {path} (i32.const {flags}) (i64.const {rights})
                (i64.const 0) (i32.const 0) (i32.const {}))",
            at + 4
        ))
    }

    /// Opens a path, reads the first bytes of the file, and closes it.
    fn read(&mut self, directory: u32, path: &str) -> &mut Self {
        let at = ANSWERS + ANSWER * self.calls;
        self.open(directory, path, 0, READ);
        self.body.push_str(&format!(
            "(i32.store (i32.const 16) (i32.const {0})) (i32.store (i32.const 20) (i32.const 8))
            (if (i32.eqz (i32.load (i32.const {at}))) (then
                (drop (call $fd_read (i32.load (i32.const {1})) (i32.const 16) (i32.const 1) (i32.const 24)))
                (drop (call $fd_close (i32.load (i32.const {1}))))))",
            at + 8,
            at + 4,
        ));
        self
    }

    /// A call of two paths: the first below one directory, the second below another.
    fn two(&mut self, function: &str, [from, to]: [u32; 2], [old, new]: [&str; 2]) -> &mut Self {
        let (old, new) = (self.path(old), self.path(new));
        let flags = if function == "path_link" { "(i32.const 0)" } else { "" };
        self.call(&format!("(call ${function} (i32.const {from}) {flags} {old} (i32.const {to}) {new})"))
    }

    /// A call of one path.
    fn one(&mut self, function: &str, directory: u32, path: &str) -> &mut Self {
        let path = self.path(path);
        self.call(&format!("(call ${function} (i32.const {directory}) {path})"))
    }

    /// Makes a link to a target.
    fn symlink(&mut self, target: &str, directory: u32, path: &str) -> &mut Self {
        let (target, path) = (self.path(target), self.path(path));
        self.call(&format!("(call $path_symlink {target} (i32.const {directory}) {path})"))
    }

    async fn start(&self, grants: Grants) -> Result<Started> {
        ensure!(PATHS + self.data.len() < 32 << 10 && self.calls < 500, "too much for one guest");
        let escaped: String = self.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let body = format!(
            "{} (drop (call $state_put (i32.const 0) (i32.const 1) (i32.const {ANSWERS}) (i32.const {})))
            (memory.fill (i32.const {ANSWERS}) (i32.const 0) (i32.const {})) (i64.const 0)",
            self.body,
            ANSWER * self.calls,
            ANSWER * self.calls,
        );
        let guest = Guest::new().field(&format!("(data (i32.const {PATHS}) \"{escaped}\")")).with(names::FLUSH, &body);
        Ok(Started { instance: open_with(&guest, LIMITS, grants).await? })
    }

    async fn run(&self, grants: Grants) -> Result<Vec<(u32, String)>> {
        self.start(grants).await?.again().await
    }

    async fn errors(&self, grants: Grants) -> Result<Vec<u32>> {
        Ok(self.run(grants).await?.into_iter().map(|(error, _)| error).collect())
    }
}

struct Started {
    instance: Instance,
}

impl Started {
    /// Makes the calls, and returns the error of each with what was read.
    async fn again(&mut self) -> Result<Vec<(u32, String)>> {
        self.instance.flush().await?;
        let (_, state) = self.instance.ledger().take_staged();
        let answers = state.first().and_then(|change| change.value.clone()).context("answers")?;
        let answer = |answer: &[u8]| {
            let error = u32::from_le_bytes([answer[0], answer[1], answer[2], answer[3]]);
            (error, String::from_utf8_lossy(&answer[8..]).trim_end_matches('\0').to_owned())
        };
        Ok(answers.chunks_exact(ANSWER).map(answer).collect())
    }
}

/// A folder with a secret, and in it a directory to grant.
struct Place {
    folder: TempDir,
    granted: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let granted = folder.path().join("granted");
        fs::create_dir_all(granted.join("sub"))?;
        fs::write(granted.join("file"), "mine")?;
        fs::write(granted.join("sub/deep"), "deep")?;
        fs::write(folder.path().join("secret"), "secret")?;
        Ok(Self { folder, granted })
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What comes of reading paths below the first grant.
async fn reads(grants: &Grants, paths: &[(&str, u32)]) -> Result<()> {
    let mut script = Script::default();
    for (path, _) in paths {
        script.read(FIRST, path);
    }
    for ((path, expected), (error, text)) in paths.iter().zip(script.run(grants.clone()).await?) {
        ensure!(error == *expected, "{path:?} ends with {error}, expected {expected}");
        ensure!(text != "secret", "{path:?} reached outside");
    }
    Ok(())
}

#[tokio::test]
async fn paths_that_mean_well_and_others() -> Result<()> {
    let place = Place::new()?;
    let absolute = place.granted.join("file");
    let long = "a/".repeat(3000);
    reads(
        &grant(std::slice::from_ref(&place.granted), &[]),
        &[
            ("file", OK),
            ("./file", OK),
            ("sub//deep", OK),
            ("sub/./../file", OK),
            ("file/", NOTDIR),
            ("file/.", NOTDIR),
            ("file/../file", NOTDIR),
            ("", NOENT),
            ("..", PERM),
            ("../", PERM),
            ("sub/../..", PERM),
            ("sub/../../granted/file", PERM),
            ("/", PERM),
            ("//", PERM),
            ("///etc/passwd", PERM),
            (absolute.to_str().context("UTF-8")?, PERM),
            ("file\0", INVAL),
            ("sub/deep\0/../../secret", INVAL),
            (&long, NAMETOOLONG),
        ],
    )
    .await
}

#[tokio::test]
async fn links_that_lead_outside_or_nowhere() -> Result<()> {
    let place = Place::new()?;
    let link = |target: &str, name: &str| symlink(target, place.granted.join(name));
    link("file", "inside")?;
    link("sub", "directory")?;
    link("../secret", "outside")?;
    link("..", "parent")?;
    link("../..", "grandparent")?;
    link("sub/../../secret", "winding")?;
    link("../granted/file", "there-and-back")?;
    link(place.granted.join("file").to_str().context("UTF-8")?, "absolute")?;
    link("/", "root")?;
    link("/proc/self/root", "proc-root")?;
    link("/proc/self/cwd", "proc-cwd")?;
    link("/dev/stdin", "stdin")?;
    link("itself", "itself")?;
    link("b", "a")?;
    link("a", "b")?;
    link("missing", "dangling")?;
    for n in 0..50 {
        link(&format!("chain-{}", n + 1), &format!("chain-{n}"))?;
    }
    link("file", "chain-50")?;
    reads(
        &grant(std::slice::from_ref(&place.granted), &[]),
        &[
            ("inside", OK),
            ("directory/deep", OK),
            ("directory/../file", OK),
            ("inside/", NOTDIR),
            ("outside", PERM),
            ("parent/secret", PERM),
            ("parent/", PERM),
            ("parent/granted/file", PERM),
            ("grandparent/etc/passwd", PERM),
            ("winding", PERM),
            ("there-and-back", PERM),
            ("absolute", PERM),
            ("root/etc/passwd", PERM),
            ("proc-root/etc/passwd", PERM),
            ("proc-cwd/Cargo.toml", PERM),
            ("stdin", PERM),
            ("itself", LOOP),
            ("a", LOOP),
            ("chain-0", LOOP),
            ("chain-45", OK),
            ("dangling", NOENT),
        ],
    )
    .await
}

#[tokio::test]
async fn a_grant_of_proc_is_no_door() -> Result<()> {
    // The links there are no paths, the kernel jumps: even granted, they lead nowhere.
    let mine = PathBuf::from(format!("/proc/{}", std::process::id()));
    reads(
        &grant(std::slice::from_ref(&mine), &[]),
        &[("comm", OK), ("root/etc/passwd", LOOP), ("cwd/Cargo.toml", LOOP), ("exe", LOOP), ("fd/0", LOOP)],
    )
    .await
}

#[tokio::test]
async fn a_directory_that_is_renamed_in_use_stays_the_one_granted() -> Result<()> {
    let place = Place::new()?;
    let mut script = Script::default();
    script.read(FIRST, "file").read(FIRST, "../secret").read(FIRST, "sub/deep");
    let mut guest = script.start(grant(std::slice::from_ref(&place.granted), &[])).await?;
    let answers = |deep: &str| vec![(OK, "mine".to_owned()), (PERM, String::new()), (OK, deep.to_owned())];
    assert_eq!(guest.again().await?, answers("deep"));

    // Another directory takes its place: it was not granted.
    fs::rename(&place.granted, place.outside("moved"))?;
    fs::create_dir(&place.granted)?;
    fs::write(place.granted.join("file"), "other")?;
    assert_eq!(guest.again().await?, answers("deep"));

    // The directory above goes elsewhere.
    fs::create_dir(place.outside("above"))?;
    fs::rename(place.outside("moved"), place.outside("above/moved"))?;
    fs::rename(place.outside("above"), place.outside("elsewhere"))?;
    fs::write(place.outside("elsewhere/secret"), "secret")?;
    assert_eq!(guest.again().await?, answers("deep"));

    // A directory below becomes a link to the outside.
    fs::remove_dir_all(place.outside("elsewhere/moved/sub"))?;
    fs::create_dir(place.outside("hidden"))?;
    fs::write(place.outside("hidden/deep"), "secret")?;
    symlink(place.outside("hidden"), place.outside("elsewhere/moved/sub"))?;
    assert_eq!(guest.again().await?[2], (PERM, String::new()));
    Ok(())
}

#[tokio::test]
async fn a_directory_that_is_moved_out_while_open_shows_nothing_above_it() -> Result<()> {
    let place = Place::new()?;
    // The guest opens `sub` once, as its next descriptor, and goes through it from then on.
    let mut script = Script::default();
    script.open(FIRST, "sub", 2, READ).read(SECOND, "deep").read(SECOND, "../secret").read(SECOND, "../file");
    let mut guest = script.start(grant(std::slice::from_ref(&place.granted), &[])).await?;
    let expected = [(OK, "deep".to_owned()), (PERM, String::new()), (PERM, String::new())];
    assert_eq!(guest.again().await?[1..], expected);
    fs::rename(place.granted.join("sub"), place.outside("sub"))?;
    assert_eq!(guest.again().await?[1..], expected);
    Ok(())
}

#[tokio::test]
async fn a_race_of_a_directory_against_a_link_is_not_won() -> Result<()> {
    let place = Place::new()?;
    fs::create_dir(place.outside("hidden"))?;
    fs::write(place.outside("hidden/deep"), "secret")?;
    let (link, real) = (place.granted.join("link"), place.granted.join("sub"));
    symlink(place.outside("hidden"), &link)?;
    let swapped = place.granted.join("swapped");
    fs::create_dir(&swapped)?;
    let mut script = Script::default();
    for _ in 0..100 {
        script.read(FIRST, "swapped/deep");
    }
    let mut guest = script.start(grant(std::slice::from_ref(&place.granted), &[])).await?;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, from, to) = (std::sync::Arc::clone(&stop), real.clone(), swapped.clone());
    let racer = std::thread::spawn(move || {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let mut swaps = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            for other in [&from, &link] {
                renameat_with(CWD, other, CWD, &to, RenameFlags::EXCHANGE).expect("both are there");
                swaps += 1;
            }
        }
        swaps
    });
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..50 {
        for (error, text) in guest.again().await? {
            ensure!(text.is_empty() || text == "deep", "reached outside: {text}");
            *seen.entry(error).or_insert(0) += 1;
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let swaps: usize = racer.join().map_err(|_| anyhow::anyhow!("the racer ended"))?;
    ensure!(swaps > 100, "{swaps} swaps");
    ensure!(seen.keys().all(|error| [OK, PERM, NOENT, 6].contains(error)), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_written_through_a_grant_to_read() -> Result<()> {
    let place = Place::new()?;
    let before = fs::metadata(place.granted.join("file"))?;
    let mut script = Script::default();
    script
        .open(FIRST, "new", CREATE, WRITE)
        .open(FIRST, "new", CREATE, READ)
        .open(FIRST, "file", TRUNCATE, WRITE)
        .open(FIRST, "file", TRUNCATE, READ)
        .open(FIRST, "file", 0, WRITE)
        .open(FIRST, "file", 0, READ | WRITE)
        .one("path_create_directory", FIRST, "made")
        .one("path_unlink_file", FIRST, "file")
        .one("path_remove_directory", FIRST, "sub")
        .two("path_rename", [FIRST, FIRST], ["file", "renamed"])
        .two("path_link", [FIRST, FIRST], ["file", "linked"])
        .symlink("file", FIRST, "symbolic");
    let path = script.path("file");
    script.call(&format!(
        "(call $path_filestat_set_times (i32.const {FIRST}) (i32.const 1) {path} (i64.const 1) (i64.const 1) (i32.const 5))"
    ));
    let errors = script.errors(grant(std::slice::from_ref(&place.granted), &[])).await?;
    assert!(errors.iter().all(|error| *error == PERM), "{errors:?}");
    assert_eq!(fs::read(place.granted.join("file"))?, b"mine");
    let after = fs::metadata(place.granted.join("file"))?;
    assert_eq!((before.mtime_nsec(), before.nlink()), (after.mtime_nsec(), after.nlink()));
    assert_eq!(names_in(&place.granted)?, ["file", "sub"]);
    Ok(())
}

#[tokio::test]
async fn what_is_open_to_read_takes_no_bytes() -> Result<()> {
    let place = Place::new()?;
    let mut script = Script::default();
    script.open(FIRST, "file", 0, READ);
    // Writes to the descriptor that was just opened, which is the next one.
    script.call(&format!("(call $fd_write (i32.const {SECOND}) (i32.const 0) (i32.const 1) (i32.const 64))"));
    let errors = script.errors(grant(&[], std::slice::from_ref(&place.granted))).await?;
    assert_eq!(errors[0], OK);
    assert!([BADF, PERM].contains(&errors[1]), "{errors:?}");
    Ok(())
}

#[tokio::test]
async fn what_may_be_written_is_written_inside() -> Result<()> {
    let place = Place::new()?;
    symlink("..", place.granted.join("parent"))?;
    symlink("../planted", place.granted.join("dangling"))?;
    let mut script = Script::default();
    script
        .open(FIRST, "../planted", CREATE, WRITE)
        .open(FIRST, "parent/planted", CREATE, WRITE)
        .open(FIRST, "dangling", CREATE, WRITE)
        .one("path_create_directory", FIRST, "../planted")
        .one("path_unlink_file", FIRST, "../secret")
        .one("path_unlink_file", FIRST, "parent/secret")
        .one("path_remove_directory", FIRST, "..")
        .two("path_rename", [FIRST, FIRST], ["file", "../planted"])
        .two("path_rename", [FIRST, FIRST], ["../secret", "stolen"])
        .two("path_rename", [FIRST, FIRST], ["parent/secret", "stolen"])
        .two("path_link", [FIRST, FIRST], ["../secret", "stolen"])
        .two("path_link", [FIRST, FIRST], ["parent/secret", "stolen"])
        .two("path_link", [FIRST, FIRST], ["file", "../planted"])
        .symlink("file", FIRST, "../planted");
    let grants = grant(&[], std::slice::from_ref(&place.granted));
    let errors = script.errors(grants.clone()).await?;
    assert!(errors.iter().all(|error| *error == PERM), "{errors:?}");
    assert_eq!(names_in(place.folder.path())?, ["granted", "secret"]);
    assert_eq!(fs::metadata(place.outside("secret"))?.nlink(), 1);

    // A link of the guest's own to the outside is a link, and leads nowhere.
    let mut script = Script::default();
    let secret = place.outside("secret");
    script.symlink("../secret", FIRST, "relative").read(FIRST, "relative");
    script.symlink(secret.to_str().context("UTF-8")?, FIRST, "absolute").read(FIRST, "absolute");
    script.two("path_link", [FIRST, FIRST], ["relative", "again"]).read(FIRST, "again");
    script.two("path_rename", [FIRST, FIRST], ["relative", "sub/relative"]).read(FIRST, "sub/relative");
    let answers = script.run(grants).await?;
    for at in [1, 3, 5, 7] {
        assert!(answers[at].0 != OK && answers[at].1.is_empty(), "{answers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_goes_from_one_kind_of_grant_to_the_other() -> Result<()> {
    let (place, other) = (Place::new()?, tempfile::tempdir()?);
    let writable = other.path().join("writable");
    fs::create_dir(&writable)?;
    fs::write(writable.join("own"), "own")?;
    let mut script = Script::default();
    script
        .two("path_link", [FIRST, SECOND], ["file", "linked"])
        .two("path_rename", [FIRST, SECOND], ["file", "moved"])
        .two("path_link", [SECOND, FIRST], ["own", "linked"])
        .two("path_rename", [SECOND, FIRST], ["own", "moved"]);
    let errors = script.errors(grant(std::slice::from_ref(&place.granted), std::slice::from_ref(&writable))).await?;
    assert!(errors.iter().all(|error| *error == PERM), "{errors:?}");
    assert_eq!(
        (names_in(&place.granted)?, names_in(&writable)?),
        (vec!["file".into(), "sub".into()], vec!["own".into()])
    );

    // A directory to write inside of one to read: each door keeps its own rule.
    let mut script = Script::default();
    script
        .open(FIRST, "sub/new", CREATE, WRITE)
        .open(SECOND, "new", CREATE, WRITE)
        .open(SECOND, "../new", CREATE, WRITE);
    let grants = grant(std::slice::from_ref(&place.granted), &[place.granted.join("sub")]);
    assert_eq!(script.errors(grants).await?, [PERM, OK, PERM]);
    Ok(())
}

#[tokio::test]
async fn a_hard_link_in_the_directory_is_a_file_of_the_directory() -> Result<()> {
    // The operator made it: it cannot be told from any other file. This is what docs/abi.md says, not a way out.
    let place = Place::new()?;
    fs::hard_link(place.outside("secret"), place.granted.join("linked"))?;
    let mut script = Script::default();
    script.read(FIRST, "linked");
    let answers = script.run(grant(std::slice::from_ref(&place.granted), &[])).await?;
    assert_eq!(answers, [(OK, "secret".to_owned())]);
    Ok(())
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    Ok(names)
}
