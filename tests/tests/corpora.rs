//! Replays what fuzzing has found, and what it begins with, on stable Rust: a defect that was mended stays mended.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::fuzzing::{TARGETS, seeds};

/// Set to write the seeds anew, after a change of what they are.
const WRITE_VARIABLE: &str = "SANDBAR_WRITE_SEEDS";
/// Corpora are in the repository: they stay small enough to be cloned and replayed without a thought.
const MAX_FILES: usize = 900;
const MAX_BYTES: usize = 2 << 20;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// The files of a corpus, by name.
fn files(target: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = corpus(target);
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        files.push((path.clone(), fs::read(&path)?));
    }
    files.sort();
    Ok(files)
}

#[test]
fn every_target_has_its_seeds() -> Result<()> {
    for seed in seeds()? {
        let path = corpus(seed.target).join(&seed.name);
        if std::env::var_os(WRITE_VARIABLE).is_some() {
            fs::create_dir_all(corpus(seed.target))?;
            fs::write(&path, &seed.bytes)?;
        }
        let kept = fs::read(&path).with_context(|| path.display().to_string())?;
        ensure!(kept == seed.bytes, "{} is another than the seed: {WRITE_VARIABLE}=1 writes it anew", path.display());
    }
    Ok(())
}

#[test]
fn nothing_of_the_corpora_breaks_anything() -> Result<()> {
    let (mut count, mut bytes) = (0, 0);
    let mut broken = Vec::new();
    for (target, run) in TARGETS {
        let files = files(target)?;
        ensure!(!files.is_empty(), "the corpus of {target} is empty");
        for (path, data) in files {
            count += 1;
            bytes += data.len();
            if catch_unwind(|| run(&data)).is_err() {
                broken.push(path.display().to_string());
            }
        }
    }
    ensure!(broken.is_empty(), "these broke their target, as is told above: {broken:#?}");
    ensure!(
        count <= MAX_FILES && bytes <= MAX_BYTES,
        "{count} files of {bytes} bytes: minimise with scripts/fuzz.sh keep"
    );
    Ok(())
}

#[test]
fn every_target_is_built_and_every_corpus_has_a_target() -> Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml"))?;
    let mut names = Vec::new();
    for (target, _) in TARGETS {
        ensure!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not built");
        let text = fs::read_to_string(fuzz.join("fuzz_targets").join(format!("{target}.rs")))?;
        ensure!(text.contains(&format!("sandbar_tests::fuzzing::{target}(data)")), "{target} runs something else");
        names.push((*target).to_owned());
    }
    for folder in ["corpus", "fuzz_targets"] {
        for entry in fs::read_dir(fuzz.join(folder))? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).context("a name")?;
            ensure!(names.iter().any(|known| known == name), "{} belongs to no target", path.display());
        }
    }
    Ok(())
}
