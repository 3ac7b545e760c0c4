//! An Apache Kafka of a test's own, which it may stop, kill, freeze and cut off without being in anybody's way.

mod cluster;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

pub use cluster::{Node, OwnCluster};

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A broker that the test starts, ends and revives. It is stopped, and its data deleted, when it is dropped.
pub struct OwnKafka {
    name: String,
    bootstrap: String,
}

impl OwnKafka {
    /// Starts one, with these properties on top of those that all tests have.
    pub fn start(what: &str, properties: &[&str]) -> Result<Self> {
        let name = unique(what);
        let bootstrap = script(&[&["start", &name], properties].concat())?;
        Ok(Self { name, bootstrap })
    }

    /// One that runs already under this name.
    fn started(name: String, address: &str) -> Self {
        Self { name, bootstrap: address.to_owned() }
    }

    /// Its own address, as `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Kills it, and keeps its data.
    pub fn crash(&self) -> Result<()> {
        self.tell("crash")
    }

    /// Stops it in good order, and keeps its data.
    pub fn halt(&self) -> Result<()> {
        self.tell("halt")
    }

    /// Starts it again, and waits until it answers.
    pub fn revive(&self) -> Result<()> {
        self.tell("revive")
    }

    /// Stops its process where it stands.
    pub fn freeze(&self) -> Result<()> {
        self.tell("freeze")
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.tell("thaw")
    }

    fn tell(&self, what: &str) -> Result<()> {
        script(&[what, &self.name]).map(drop)
    }
}

impl Drop for OwnKafka {
    fn drop(&mut self) {
        if let Err(error) = self.tell("stop") {
            eprintln!("the broker {} was not stopped: {error:#}", self.name);
        }
    }
}

/// A name that no other broker of this checkout has.
fn unique(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed))
}

fn script(args: &[&str]) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out = Command::new(root.join("scripts/kafka.sh")).args(args).current_dir(&root).output()?;
    ensure!(out.status.success(), "kafka.sh {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}
