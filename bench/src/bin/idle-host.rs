//! A host in a process of its own, for `lifecycle` to look at: says `ready` when it is, and `idle` once it has been so for
//! five seconds.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use sandbar_bench::Host;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (plugins, data) = (args.next().context("plugins")?, args.next().context("data")?);
    let mut host = Host::start_in(Path::new(&plugins), Path::new(&data)).await?;
    let connectors = args.next().context("connectors")?.parse::<usize>()?;
    host.wait("ready", |s| s.ready && s.connectors.len() == connectors).await?;
    println!("ready");
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("idle");
    std::future::pending().await
}
