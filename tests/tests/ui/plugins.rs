//! Plugins: the list, and files that are dropped on the page.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::browser::{Browser, id};
use crate::looked_at;

/// Drops a file, its name and its bytes in base64, on the heading: as the system does it, one event after the other.
const DROP: &str = "
    const bytes = Uint8Array.from(atob(arguments[1]), (byte) => byte.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], arguments[0], { type: 'application/wasm' }));
    const target = document.querySelector('main h1');
    for (const type of arguments[2]) {
        target.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
    }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_are_listed_with_their_versions_and_users() -> Result<()> {
    looked_at(async |page, browser| {
        browser.click(&id("nav-plugins")).await?;
        let (name, version) = &page.plugin;
        let row = version_of(name, version);
        browser.see(&row).await?;
        browser.text(&row, |text| text.contains(&page.running)).await?;
        let sha = browser.text(&format!("{row} .sha code"), |text| text.len() == 12).await?;
        ensure!(sha.chars().all(|digit| digit.is_ascii_hexdigit()), "{sha}");
        // What is in use cannot be deleted.
        let script = format!("return document.querySelector('{row} {}').disabled", id("delete-version"));
        browser.until_true("it cannot be deleted", &script).await?;
        browser.shot("list").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_promoted_by_a_click() -> Result<()> {
    looked_at(async |page, browser| {
        browser.click(&id("nav-plugins")).await?;
        let (name, version) = &page.plugin;
        browser.click(&format!("{} {}", version_of(name, version), id("promote"))).await?;
        browser.see(&format!("{} {}", version_of(name, version), id("promoted"))).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_dropped_on_the_page_is_uploaded() -> Result<()> {
    looked_at(async |page, browser| {
        let (file, name, version) = &page.upload;
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        drop_file(browser, "new.wasm", &bytes, &["dragenter", "dragover"]).await?;
        browser.see(&id("drop-overlay")).await?;
        browser.shot("above").await?;
        drop_file(browser, "new.wasm", &bytes, &["drop"]).await?;
        // What is told goes again after seconds. The page goes to the plugins by itself.
        let told = format!("new.wasm is uploaded: plugin {name}");
        browser.text(&id("toasts"), |text| text.contains(&told)).await?;
        browser.see(&version_of(name, version)).await?;
        browser.shot("uploaded").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_plugin_is_refused_and_the_reason_can_be_dismissed() -> Result<()> {
    looked_at(async |_, browser| {
        drop_file(browser, "notes.txt", b"no plugin", &["dragenter", "dragover", "drop"]).await?;
        browser.text(&id("alert"), |text| text.contains("notes.txt")).await?;
        browser.click(&id("alert-dismiss")).await?;
        browser.count_becomes(&id("alert"), 0).await?;
        drop_file(browser, "bad.wasm", b"no plugin", &["dragenter", "dragover", "drop"]).await?;
        browser.text(&id("alert"), |text| text.contains("Upload of bad.wasm")).await?;
        browser.attribute_becomes(&id("alert"), "role", "alert").await?;
        browser.shot("refused").await?;
        browser.click(&id("alert-dismiss")).await?;
        browser.count_becomes(&id("alert"), 0).await?;
        browser.expect_refusals().await
    })
    .await
}

async fn drop_file(browser: &Browser, name: &str, bytes: &[u8], events: &[&str]) -> Result<()> {
    let arguments = vec![json!(name), json!(STANDARD.encode(bytes)), json!(events)];
    browser.run(DROP, arguments).await.map(drop)
}

fn version_of(plugin: &str, version: &str) -> String {
    format!("[data-testid=plugin][data-name=\"{plugin}\"] [data-testid=plugin-version][data-version=\"{version}\"]")
}
