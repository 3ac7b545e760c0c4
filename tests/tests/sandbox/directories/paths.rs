//! Paths and links: only what lies inside is reached.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{FIRST, INVAL, LOOP, NAMETOOLONG, NOENT, NOTDIR, OK, PERM, Place, Script, reads};
use crate::grant;

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
