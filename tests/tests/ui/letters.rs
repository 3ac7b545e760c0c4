//! Dead letters: what they tell, and that they are sent again.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::browser::{Browser, id};
use crate::host::Page;
use crate::looked_at;

/// Those that nobody has handled.
const OPEN: &str = "[data-testid=letter-row]:not(.handled)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_tells_its_error_and_what_it_is() -> Result<()> {
    looked_at(async |page, browser| {
        let letter = first(page, browser).await?;
        browser.text(&format!("{letter} .error .message"), |text| !text.is_empty()).await?;
        browser.click(&format!("{letter} {}", id("letter-expand"))).await?;
        browser.see(&format!("{letter} {}", id("letter-detail"))).await?;
        browser.text(&format!("{letter} {}", id("letter-detail")), |text| text.contains("Plugin")).await?;
        browser.shot("letter").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_dead_letter_is_sent_again() -> Result<()> {
    looked_at(async |page, browser| {
        let letter = first(page, browser).await?;
        browser.click(&format!("{letter} {}", id("letter-select"))).await?;
        browser.text(&id("letters-replay"), |text| text == "Replay 1").await?;
        browser.click(&id("letters-replay")).await?;
        browser.text(&format!("{letter} {}", id("letter-handled")), |text| text == "replayed").await?;
        browser.shot("replayed").await?;
        // The host knows it too, not the page alone.
        browser.reload().await?;
        browser.text(&format!("{letter} {}", id("letter-handled")), |text| text == "replayed").await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_dead_letters_are_dropped_once_that_is_confirmed() -> Result<()> {
    looked_at(async |page, browser| {
        let letter = first(page, browser).await?;
        browser.click(&id("letters-select-all")).await?;
        browser.click(&id("letters-drop")).await?;
        // Nothing is done by accident: Cancel has the focus.
        browser.focus_is_at(&id("dialog-cancel")).await?;
        browser.click(&id("dialog-confirm")).await?;
        browser.text(&format!("{letter} {}", id("letter-handled")), |text| text == "dropped").await.map(drop)
    })
    .await
}

/// Opens the dead letters, and answers a selector of the first that nobody has handled: it stays the same letter when
/// others come on top.
async fn first(page: &Page, browser: &Browser) -> Result<String> {
    browser.go(page, &format!("connectors/{}/dead-letters", page.letters)).await?;
    let script = format!("return document.querySelector('{OPEN}')?.dataset.id ?? null");
    let found = browser.until("there is a dead letter", &script, Value::is_string).await?;
    let place = found.as_str().context("it is a text")?;
    Ok(format!("[data-testid=letter-row][data-id=\"{place}\"]"))
}
