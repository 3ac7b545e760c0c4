//! How fast things start, and what they cost at rest: a plugin dropped into a running host until its first record is
//! committed, a host with cached plugins until it is ready, memory of an idle host with ten connectors.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, bail};
use sandbar_bench::{Host, commits, plugin, resident, row, table};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const DROPS: usize = 20;
const STARTS: usize = 10;
const CONNECTORS: usize = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let datagen = std::fs::read(plugin("datagen")?)?;
    table("Drop to first record committed, embedded broker");
    let (compiling, cached) = drops(&datagen).await?;
    row("compiling", "ms", &compiling);
    row("from the compile cache", "ms", &cached);
    println!("\nratio compiling / cached: {:.2}", sandbar_bench::median(compiling) / sandbar_bench::median(cached));

    let folder = tempfile::tempdir()?;
    idle_folder(folder.path(), &datagen)?;
    let mut starts = Vec::new();
    for _ in 0..=STARTS {
        let started = Instant::now();
        let mut host = IdleHost::start(folder.path(), CONNECTORS)?;
        host.says("ready").await?;
        starts.push(started.elapsed().as_secs_f64() * 1e3);
        host.end().await?;
    }
    table("Start of a host with ten connectors until it is ready");
    row("first start, compiling", "ms", &starts[..1]);
    row("plugins cached", "ms", &starts[1..]);

    let mut memory = Vec::new();
    for connectors in [0, CONNECTORS] {
        let mut host = IdleHost::start(folder.path(), connectors)?;
        host.says("idle").await?;
        #[allow(clippy::cast_precision_loss)] // some megabytes
        memory.push(resident(host.pid()?)? as f64 / f64::from(1 << 20));
        host.end().await?;
    }
    table("Resident memory of an idle host, embedded broker");
    row("no connector", "MiB", &memory[..1]);
    row("ten connectors", "MiB", &memory[1..]);
    Ok(())
}

/// Drops the plugin and a definition into a running host: first with code the cache has not seen, then again with code it
/// has.
async fn drops(datagen: &[u8]) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let folder = tempfile::tempdir()?;
    let mut host = Host::start(folder.path()).await?;
    host.wait("ready", |s| s.ready).await?;
    let (mut compiling, mut cached) = (Vec::new(), Vec::new());
    for n in 0..DROPS {
        // A custom section of its own makes it code the cache has not seen.
        let wasm = [datagen, &[0, 9, 4], b"drop", &u32::try_from(n)?.to_le_bytes()].concat();
        for times in [&mut compiling, &mut cached] {
            let name = format!("drop-{n}-{}", times.len());
            let files = [
                (host.plugins.join("datagen.wasm"), wasm.clone()),
                (host.plugins.join(format!("{name}.json")), definition(&name)),
            ];
            for (path, bytes) in &files {
                std::fs::write(path.with_extension("part"), bytes)?;
            }
            let started = Instant::now();
            for (path, _) in &files {
                std::fs::rename(path.with_extension("part"), path)?;
            }
            host.wait("first record", |s| commits(s, &name) > 0).await?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            for (path, _) in &files {
                std::fs::remove_file(path)?;
            }
            host.wait("gone", |s| s.connectors.is_empty()).await?;
        }
    }
    host.stop().await?;
    Ok((compiling, cached))
}

fn definition(name: &str) -> Vec<u8> {
    let config = serde_json::json!({
        "connector.class": "datagen",
        "topic": format!("{name}-topic"),
        "rate": "1000",
        "template": "{\"n\": \"{{seq}}\"}",
    });
    serde_json::json!({ "name": name, "config": config }).to_string().into_bytes()
}

/// Ten connectors with nothing to do: sources that have come to a pause, at one record an hour.
fn idle_folder(folder: &Path, datagen: &[u8]) -> anyhow::Result<()> {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins)?;
    std::fs::write(plugins.join("datagen.wasm"), datagen)?;
    for n in 0..CONNECTORS {
        let name = format!("idle-{n}");
        let text = String::from_utf8(definition(&name))?.replace("\"1000\"", "\"0.0003\"");
        std::fs::write(plugins.join(format!("{name}.json")), text)?;
    }
    Ok(())
}

/// A host in a process of its own, killed when it is dropped: this one has compiled, and holds what its allocator keeps.
struct IdleHost {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl IdleHost {
    fn start(folder: &Path, connectors: usize) -> anyhow::Result<Self> {
        let empty = folder.join("empty");
        std::fs::create_dir_all(&empty)?;
        let plugins = if connectors == 0 { empty } else { folder.join("plugins") };
        let mut child = Command::new(std::env::current_exe()?.with_file_name("idle-host"))
            .arg(plugins)
            .arg(folder.join("data"))
            .arg(connectors.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("idle-host is built with this benchmark")?;
        let out = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, out })
    }

    async fn says(&mut self, line: &str) -> anyhow::Result<()> {
        while let Some(said) = self.out.next_line().await? {
            if said == line {
                return Ok(());
            }
        }
        bail!("the host ended before it said {line}")
    }

    /// Kills it, and waits until it has let go of its folder.
    async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the host ended")
    }
}
