//! Directories that are renamed, moved or exchanged while a guest uses them.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Result, ensure};

use super::{FIRST, NOENT, OK, PERM, Place, READ, SECOND, Script};
use crate::grant;

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
