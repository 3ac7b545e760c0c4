//! A chromedriver of the test's own, on a port that is free. It ends when it is dropped.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Debian's package `chromium-driver` puts it there, and it finds the browser of `chromium` by itself.
const PROGRAM: &str = "chromedriver";
/// It starts in much less than a second, on a machine with nothing else to do.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// What it says once it listens; the port follows.
const STARTED: &str = "was started successfully on port ";

/// A running chromedriver.
pub(crate) struct Driver {
    url: String,
    _process: Child,
}

impl Driver {
    /// Starts one; `None` where there is none on this machine.
    pub async fn start() -> Result<Option<Self>> {
        let mut command = Command::new(PROGRAM);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("start chromedriver"),
        };
        let stdout = process.stdout.take().context("chromedriver has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let port = timeout(STARTS_WITHIN, port(&mut lines)).await.context("chromedriver does not say its port")??;
        // Read on, or what it says next would end it.
        drop(tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} }));
        Ok(Some(Self { url: format!("http://127.0.0.1:{port}"), _process: process }))
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn port(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<u16> {
    while let Some(line) = lines.next_line().await? {
        if let Some((_, rest)) = line.split_once(STARTED) {
            return rest.trim_end_matches('.').parse().with_context(|| format!("chromedriver says: {line}"));
        }
    }
    bail!("chromedriver ended before it listened")
}
