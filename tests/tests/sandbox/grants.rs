//! What guests reach of the world: nothing, but for what was granted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};
use sandbar::sandbox::Grants;
use sandbar_abi::names;
use sandbar_tests::wat::Guest;

use crate::{LIMITS, WHO, grant, open, open_with};

/// WASI's numbers for what went wrong.
const BADF: u32 = 8;
const NOENT: u32 = 44;
const PERM: u32 = 63;
/// The first descriptor after the standard ones.
const FIRST: u32 = 3;

/// What a WASI function answers, and what it writes to address 2048. `data` lies at 1024.
async fn ask(grants: Grants, data: &str, call: &str) -> Result<(u32, u32)> {
    let escaped: String = data.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let body = format!(
        "(i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) {call})
        (drop (call $state_put (i32.const 2052) (i32.const 4) (i32.const 2048) (i32.const 4))) (i64.const 0)"
    );
    let guest = Guest::new().field(&format!("(data (i32.const 1024) \"{escaped}\")")).with(names::FLUSH, &body);
    let mut instance = open_with(&guest, LIMITS, grants).await?;
    instance.flush().await?;
    let (_, state) = instance.ledger().take_staged();
    let change = state.first().context("an answer")?;
    let number = |bytes: &[u8]| anyhow::Ok(u32::from_le_bytes(bytes.try_into()?));
    Ok((number(&change.key)?, number(change.value.as_deref().context("a value")?)?))
}

/// The error of opening a path below the first granted directory. `flags` are those of `path_open`: 1 creates.
async fn path_open(grants: &Grants, path: &str, flags: u32) -> Result<u32> {
    let (rights, len) = (if flags == 0 { 1 << 1 } else { 1 << 6 }, path.len());
    let call = format!(
        "(call $path_open (i32.const {FIRST}) (i32.const 1) (i32.const 1024) (i32.const {len}) (i32.const {flags})
            (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 2048))"
    );
    Ok(ask(grants.clone(), path, &call).await?.0)
}

#[tokio::test]
async fn nothing_granted_is_nothing_there() -> Result<()> {
    let nothing = Grants::default();
    let prestat = format!("(call $fd_prestat_get (i32.const {FIRST}) (i32.const 2048))");
    assert_eq!(ask(nothing.clone(), "", &prestat).await?, (BADF, 0));
    let environment = "(call $environ_sizes_get (i32.const 2048) (i32.const 2056))";
    assert_eq!(ask(nothing.clone(), "", environment).await?, (0, 0));
    let arguments = "(call $args_sizes_get (i32.const 2048) (i32.const 2056))";
    assert_eq!(ask(nothing.clone(), "", arguments).await?, (0, 0));
    assert_eq!(path_open(&nothing, "etc/passwd", 0).await?, BADF);
    // Ten bytes to address 3120, of an input that is closed: none come.
    let input = "(call $fd_read (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 2048))";
    assert_eq!(ask(nothing, "\x30\x0c\0\0\x0a\0\0\0", input).await?, (0, 0));
    Ok(())
}

#[tokio::test]
async fn only_granted_variables_are_there() -> Result<()> {
    let grants = Grants { env: vec![("REGION".to_owned(), "west".to_owned())], ..Grants::default() };
    let environment = "(call $environ_sizes_get (i32.const 2048) (i32.const 2056))";
    assert_eq!(ask(grants, "", environment).await?, (0, 1));
    Ok(())
}

/// A granted directory with one file and several ways out of it, beside a file that is nobody's business.
fn directory() -> Result<(tempfile::TempDir, std::path::PathBuf)> {
    let folder = tempfile::tempdir()?;
    let granted = folder.path().join("granted");
    fs::create_dir_all(granted.join("sub"))?;
    fs::write(granted.join("file"), "open")?;
    fs::write(folder.path().join("secret"), "closed")?;
    fs::create_dir(folder.path().join("granted-too"))?;
    fs::write(folder.path().join("granted-too/file"), "closed")?;
    symlink("../secret", granted.join("relative"))?;
    symlink(folder.path().join("secret"), granted.join("absolute"))?;
    symlink("..", granted.join("up"))?;
    symlink("/", granted.join("root"))?;
    symlink("file", granted.join("inside"))?;
    Ok((folder, granted))
}

#[tokio::test]
async fn a_granted_directory_is_left_by_no_path() -> Result<()> {
    let (folder, granted) = directory()?;
    let grants = grant(&[granted], &[]);
    for path in ["file", "inside", "sub/../file", "./file", "sub/../inside"] {
        assert_eq!(path_open(&grants, path, 0).await?, 0, "{path}");
    }
    assert_eq!(path_open(&grants, "missing", 0).await?, NOENT);
    let absolute = folder.path().join("secret");
    for path in [
        "../secret",
        "..",
        "sub/../../secret",
        "../granted/file",
        "../granted-too/file",
        absolute.to_str().context("UTF-8")?,
        "/etc/passwd",
        "relative",
        "absolute",
        "up/secret",
        "root/etc/passwd",
    ] {
        assert_eq!(path_open(&grants, path, 0).await?, PERM, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_directory_granted_to_read_is_not_written_to() -> Result<()> {
    let (_folder, granted) = directory()?;
    let read = grant(std::slice::from_ref(&granted), &[]);
    for (path, flags) in [("new", 1), ("file", 8), ("file", 1)] {
        assert_ne!(path_open(&read, path, flags).await?, 0, "{path} with {flags}");
    }
    assert!(!granted.join("new").exists());
    assert_eq!(fs::read(granted.join("file"))?, b"open");

    let write = grant(&[], std::slice::from_ref(&granted));
    assert_eq!(path_open(&write, "new", 1).await?, 0);
    assert!(granted.join("new").exists());
    assert_eq!(path_open(&write, "../new", 1).await?, PERM);
    Ok(())
}

#[tokio::test]
async fn a_grant_of_what_is_not_there_says_which() -> Result<()> {
    let grants = grant(&[Path::new("/no/such/folder").to_owned()], &[]);
    let error = open_with(&Guest::new(), LIMITS, grants).await.err().context("it must not start")?.to_string();
    let expected = format!("{WHO}: start: cannot be started: sandbox.fs.read: /no/such/folder: ");
    assert!(error.starts_with(&expected), "{error}");
    Ok(())
}

/// Open file descriptors of this process.
fn descriptors() -> Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

#[tokio::test]
async fn a_flood_of_open_files_is_bounded_and_ends_with_the_instance() -> Result<()> {
    let (_folder, granted) = directory()?;
    let body = format!(
        "(loop $again (br_if $again (i32.eqz
            (call $path_open (i32.const {FIRST}) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 2048)))))
        unreachable"
    );
    let guest = Guest::new().field("(data (i32.const 1024) \"file\")").with(names::FLUSH, &body);
    let mut instance = open_with(&guest, LIMITS, grant(&[granted], &[])).await?;
    let before = descriptors()?;
    let error = instance.flush().await.err().context("it must end")?.to_string();
    assert!(error.starts_with(&format!("{WHO}: flush: trapped: ")), "{error}");
    let open_files = descriptors()?.saturating_sub(before);
    // Other tests of this program open files too.
    assert!(open_files < 300, "{open_files} more than before");
    drop(instance);
    assert!(descriptors()? < before + 50, "{} files, {before} before", descriptors()?);
    open(&Guest::new()).await?.flush().await?;
    Ok(())
}
