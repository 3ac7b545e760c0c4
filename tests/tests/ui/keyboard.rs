//! The page without a mouse: keys that work everywhere, and where the focus goes.

use anyhow::Result;
use fantoccini::key::Key;

use crate::browser::{id, row};
use crate::looked_at;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slash_goes_to_the_filter_and_escape_empties_it() -> Result<()> {
    looked_at(async |page, browser| {
        browser.see(&row(&page.paused)).await?;
        browser.press('/').await?;
        browser.focus_is_at(&id("filter")).await?;
        for key in page.running.chars() {
            browser.press(key).await?;
        }
        browser.count_becomes(&row(&page.paused), 0).await?;
        browser.press(Key::Escape).await?;
        browser.see(&row(&page.paused)).await?;
        browser.press(Key::Escape).await?;
        browser.focus_is_at("body").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_key_skips_to_the_content() -> Result<()> {
    looked_at(async |_, browser| {
        browser.press(Key::Tab).await?;
        browser.focus_is_at("#skip").await?;
        browser.shot("skip").await?;
        browser.press(Key::Enter).await?;
        browser.focus_is_at("#main").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_is_opened_and_left_by_keys() -> Result<()> {
    looked_at(async |page, browser| {
        let link = format!("{} {}", row(&page.running), id("connector-link"));
        browser.see(&link).await?;
        browser.run(&format!("document.querySelector('{link}').focus()"), Vec::new()).await?;
        browser.press(Key::Enter).await?;
        // Whoever hears the page hears where the link has led.
        browser.focus_is_at(&id("connector-title")).await?;
        browser.press(Key::Escape).await?;
        browser.see(&row(&page.running)).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pausing_by_key_leaves_the_focus_on_what_resumes() -> Result<()> {
    looked_at(async |page, browser| {
        let connector = row(&page.running);
        browser.see(&format!("{connector} {}", id("action-pause"))).await?;
        let focus = format!("document.querySelector('{connector} {}').focus()", id("action-pause"));
        browser.run(&focus, Vec::new()).await?;
        browser.press(Key::Enter).await?;
        browser.focus_is_at(&format!("{connector} {}", id("action-resume"))).await?;
        browser.press(' ').await?;
        browser.attribute_becomes(&connector, "data-state", "RUNNING").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escape_closes_a_menu_and_a_dialog_and_the_focus_goes_back() -> Result<()> {
    looked_at(async |page, browser| {
        let more = format!("{} {}", row(&page.running), id("action-more"));
        browser.click(&more).await?;
        browser.focus_is_at(&format!("{} [role=menuitem]", id("menu"))).await?;
        browser.press(Key::Escape).await?;
        browser.count_becomes(&id("menu"), 0).await?;
        browser.focus_is_at(&more).await?;
        browser.click(&id("new-connector")).await?;
        browser.focus_is_at(&id("create-name")).await?;
        browser.press(Key::Escape).await?;
        browser.count_becomes(&id("create"), 0).await?;
        browser.focus_is_at(&id("new-connector")).await
    })
    .await
}
