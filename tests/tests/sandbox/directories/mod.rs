//! Granted directories under attack: nothing outside is reached and nothing is written without leave, whatever the path,
//! whatever links there are, and whatever becomes of the directory meanwhile.

mod moves;
mod paths;
mod writes;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sandbar::sandbox::{Grants, Instance};
use sandbar_abi::names;
use sandbar_tests::wat::Guest;
use tempfile::TempDir;

use crate::{LIMITS, open_with};

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

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    Ok(names)
}
