//! A disk that is too small and grows on demand: a file system in memory, in a mount namespace of its own, that a host can
//! be started in. It takes no rights but those of Linux's user namespaces.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Mounts `$1`, of `$2` bytes, says so, and holds the namespace until its standard input ends.
const HOLD: &str = r#"mount -t tmpfs -o "size=$2" sandbar "$1" && echo mounted && exec cat"#;

/// The disk. It is gone when it is dropped.
pub struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes at a folder; `None` where the system lets nobody do that.
    pub fn mount(at: &Path, bytes: u64) -> Result<Option<Self>> {
        let spawned = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", HOLD, "sh"])
            .arg(at)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut holder) = spawned else { return Ok(None) };
        let told = holder.stdout.take().context("it has no standard output")?;
        let is_mounted = matches!(BufReader::new(told).lines().next(), Some(Ok(line)) if line == "mounted");
        let disk = Self { holder, at: at.to_owned() };
        Ok(is_mounted.then_some(disk))
    }

    /// The command line in front of a program that is to see the disk.
    #[must_use]
    pub fn inside(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        ["nsenter", "--target", &target, "--user", "--mount", "--preserve-credentials"].map(str::to_owned).to_vec()
    }

    /// Makes it as large as this.
    pub fn resize(&self, bytes: u64) -> Result<()> {
        let at = self.at.display().to_string();
        self.run(&["mount", "-o", &format!("remount,size={bytes}"), &at])
    }

    /// Copies what is on it to a folder on another disk, which must not exist.
    pub fn copy_to(&self, folder: &Path) -> Result<()> {
        self.run(&["cp", "-a", &self.at.display().to_string(), &folder.display().to_string()])
    }

    fn run(&self, command: &[&str]) -> Result<()> {
        let inside = self.inside();
        let (program, args) = inside.split_first().context("a program")?;
        let out = Command::new(program).args(args).args(command).output()?;
        ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
