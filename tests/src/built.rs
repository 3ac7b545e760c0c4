//! Builds what tests run that is not part of their own program: the `sandbar` binary, and the example plugins. Each is
//! built once a process, where the tests themselves were built, so that nothing stale is ever tested.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// What plugins are compiled for.
const PLUGIN_TARGET: &str = "wasm32-wasip1";

/// The `sandbar` binary, built as the tests are.
pub fn sandbar() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, || {
        let place = Place::of_this_process()?;
        let mut build = cargo(&place.target);
        // All of them: for one package alone cargo would choose other features of its dependencies, and build those anew.
        build.args(["--workspace", "--bins"]);
        if place.is_release {
            build.arg("--release");
        }
        run(build)?;
        let binary = place.profile.join(format!("sandbar{}", env::consts::EXE_SUFFIX));
        ensure!(binary.is_file(), "cargo built no {}", binary.display());
        Ok(binary)
    })
}

/// The folder of the compiled example plugins.
pub fn plugins() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, || {
        let place = Place::of_this_process()?;
        let mut build = cargo(&place.target);
        build.args(["--release", "--target", PLUGIN_TARGET]);
        for package in example_plugins()? {
            build.arg("--package").arg(package);
        }
        run(build)?;
        Ok(place.target.join(PLUGIN_TARGET).join("release"))
    })
}

/// The packages of the example plugins, which have the names of their folders.
fn example_plugins() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples-plugins");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let mut packages = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            packages.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(!packages.is_empty(), "there is no plugin in {}", folder.display());
    Ok(packages)
}

/// Where cargo puts what it builds.
struct Place {
    /// The target folder.
    target: PathBuf,
    /// In it, the folder of the profile the tests were built with.
    profile: PathBuf,
    is_release: bool,
}

impl Place {
    /// Test programs lie in `<target>/<profile>/deps`, whatever chose the target folder.
    fn of_this_process() -> Result<Self> {
        let program = env::current_exe()?;
        let profile = program.parent().filter(|deps| deps.ends_with("deps")).and_then(Path::parent);
        let profile = profile.with_context(|| format!("{} was not built by cargo", program.display()))?;
        let target = profile.parent().with_context(|| format!("{} has no parent", profile.display()))?;
        Ok(Self { target: target.to_owned(), profile: profile.to_owned(), is_release: profile.ends_with("release") })
    }
}

fn cargo(target: &Path) -> Command {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--target-dir"]).arg(target);
    // What cargo tells a test about its package it would pass on to build scripts, and build anew what looks at it.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    build
}

fn run(mut build: Command) -> Result<()> {
    let output = build.output().with_context(|| format!("{build:?}"))?;
    if !output.status.success() {
        bail!("{build:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// An error of the one who builds is the error of all who wait.
fn once(cell: &OnceLock<Result<PathBuf, String>>, build: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    cell.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone().map_err(|error| anyhow!(error))
}
