//! A real Apache Kafka Connect of a test's own, to hold Sandbar against.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::kafka::REQUIRE_VARIABLE;
use crate::rest::Rest;

/// A worker of Kafka Connect. It is stopped when it is dropped.
pub struct OwnConnect {
    name: String,
    rest: Rest,
}

impl OwnConnect {
    /// Starts one on a broker, and waits until it answers. Where there is none that could be started
    /// (`scripts/connect.sh fetch` gets one), says on standard error that the test does not run.
    pub async fn start_or_say(what: &'static str, bootstrap: &str) -> Result<Option<Self>> {
        if !root().join(".kafka/connect-lib/pom.xml").exists() {
            ensure!(std::env::var(REQUIRE_VARIABLE).as_deref() != Ok("1"), "there is no Kafka Connect");
            // Nobody to tell is no failure.
            let _ = writeln!(io::stderr(), "not run: {what}, with Kafka Connect (scripts/connect.sh fetch gets it)");
            return Ok(None);
        }
        let name = format!("{what}-{}", std::process::id());
        let bootstrap = bootstrap.to_owned();
        let started = tokio::task::spawn_blocking(move || {
            let address = script(&["start", &name, &bootstrap])?;
            anyhow::Ok(Self { name, rest: Rest::at(&address) })
        });
        Ok(Some(started.await??))
    }

    /// The topic of its source offsets.
    #[must_use]
    pub fn offsets_topic(&self) -> String {
        format!("{}-offsets", self.name)
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
