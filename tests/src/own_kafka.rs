//! An Apache Kafka of a test's own, which it may stop, kill, freeze and cut off without being in anybody's way.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::chance::Chance;
use crate::proxy::Proxy;

static STARTED: AtomicU32 = AtomicU32::new(0);

/// How often a broker is started anew where another process took its port between the look and the start.
const ATTEMPTS: u32 = 3;
/// Ports below the range that outgoing connections use, as `scripts/kafka.sh` takes them.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// A broker that the test starts, ends and revives. It is stopped, and its data deleted, when it is dropped.
pub struct OwnKafka {
    name: String,
    bootstrap: String,
}

impl OwnKafka {
    /// Starts one, with these properties on top of those that all tests have.
    pub fn start(what: &str, properties: &[&str]) -> Result<Self> {
        let name = format!("{what}-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let bootstrap = script(&[&["start", &name], properties].concat())?;
        Ok(Self { name, bootstrap })
    }

    /// Starts one whose clients can come by way of a proxy: who asks the proxy for the broker's address is told the
    /// proxy's. The broker's own address leads past it.
    pub async fn start_behind_proxy(what: &str, properties: &[&str]) -> Result<(Self, Proxy)> {
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
            let own = [
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT".to_owned(),
                format!(
                    "listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,\
                     PROXIED://127.0.0.1:{port}"
                ),
                format!("advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,PROXIED://{}", proxy.address()),
            ];
            let all: Vec<&str> = own.iter().map(String::as_str).chain(properties.iter().copied()).collect();
            match Self::start(what, &all) {
                Ok(kafka) => return Ok((kafka, proxy)),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
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

fn script(args: &[&str]) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out = Command::new(root.join("scripts/kafka.sh")).args(args).current_dir(&root).output()?;
    ensure!(out.status.success(), "kafka.sh {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

fn free_port() -> Result<u16> {
    let mut chance = Chance::new()?;
    let ports = (0..PORTS.end - PORTS.start).map(|_| chance.among(PORTS));
    let mut ports = ports.filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).context("there is no free port")
}
