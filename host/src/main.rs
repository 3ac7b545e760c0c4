//! The `sandbar` binary: everything is in the library.
use sandbar::config::WorkerConfig;
use std::sync::Arc;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).init();
    let (tx, rx) = tokio::sync::watch::channel(false);
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_default());
    let mut w = WorkerConfig::default();
    w.plugins = dir.join("plugins");
    w.data = dir.join("data");
    w.cache = w.data.join("cache");
    tokio::spawn(async move {
        tokio::signal::ctrl_c().await.ok();
        tx.send_replace(true);
    });
    let ok = sandbar::wiring::run(Arc::new(w), rx, |mut s| {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                for c in &s.borrow_and_update().connectors {
                    println!("{} {} {:?} {:?}", c.name, c.state, c.totals(), c.reason);
                }
            }
        });
    })
    .await?;
    println!("clean: {ok}");
    Ok(())
}
