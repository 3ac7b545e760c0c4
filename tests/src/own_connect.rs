//! A real Apache Kafka Connect of a test's own, to hold Sandbar against.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::rest::Rest;

/// A worker of Kafka Connect. It is stopped when it is dropped.
pub struct OwnConnect {
    name: String,
    rest: Rest,
}

impl OwnConnect {
    /// Whether there is a Kafka Connect that could be started; `scripts/connect.sh fetch` gets one.
    #[must_use]
    pub fn is_there() -> bool {
        root().join(".kafka/connect-lib/pom.xml").exists()
    }

    /// Starts one on a broker, and waits until it answers.
    pub fn start(what: &str, bootstrap: &str) -> Result<Self> {
        let name = format!("{what}-{}", std::process::id());
        let address = script(&["start", &name, bootstrap])?;
        Ok(Self { name, rest: Rest::at(&address) })
    }

    /// Its REST interface.
    #[must_use]
    pub fn rest(&self) -> &Rest {
        &self.rest
    }
}

impl Drop for OwnConnect {
    fn drop(&mut self) {
        if let Err(error) = script(&["stop", &self.name]) {
            eprintln!("Kafka Connect {} was not stopped: {error:#}", self.name);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn script(args: &[&str]) -> Result<String> {
    let out = Command::new(root().join("scripts/connect.sh")).args(args).current_dir(root()).output()?;
    ensure!(out.status.success(), "connect.sh {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}
