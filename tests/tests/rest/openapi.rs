//! The OpenAPI document, held against what is answered: schemathesis makes requests of it, good ones and bad ones.

use std::sync::Arc;

use anyhow::{Result, ensure};
use hyper::Method;
use sandbar::control::ConnectorState;
use sandbar_tests::in_process::config;

use crate::Served;
use crate::clients::{is_there, run};

/// Which requests are made follows from it.
const SEED: &str = "1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_what_the_document_says() -> Result<()> {
    if !is_there("openapi")? {
        return Ok(());
    }
    let folder = Arc::new(tempfile::tempdir()?);
    let mut settings = config(folder.path());
    // All of it comes from one address.
    settings.rest.rate_per_second = 0;
    let mut served = Served::start_with(folder, settings, &["datagen", "json_transform"]).await?;
    // The name is that of the document's examples, so that some requests meet something.
    served.add_letters("orders").await?;
    served.create("clicks", &[("connector.class", "datagen"), ("topic", "clicks"), ("rate", "5")]).await?;
    served.worker.wait("clicks", |clicks| clicks.state == ConnectorState::Running).await?;
    served.generate("doomed", "doomed", 7).await?;
    ensure!(served.rest.send(Method::PUT, "/connectors/doomed/pause", None).await?.status == 202);
    let url = format!("http://{}", served.rest.address());
    let kept = served.path("kept");
    std::fs::create_dir(&kept)?;
    run("openapi", &[&url, SEED, &kept.display().to_string()]).await
}
