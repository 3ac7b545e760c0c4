//! What may be written is written, and nothing else.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use anyhow::{Context as _, Result};

use super::{BADF, CREATE, FIRST, OK, PERM, Place, READ, SECOND, Script, TRUNCATE, WRITE, names_in};
use crate::grant;

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
