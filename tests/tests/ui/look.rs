//! How the page looks: light and dark, wide and narrow. Screenshots are for people; here is what can be measured.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::browser::{Browser, id};
use crate::looked_at;

/// A laptop, and a telephone.
const SIZES: [(u32, u32); 2] = [(1280, 800), (420, 800)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dark_mode_follows_the_system_until_the_switch_is_used() -> Result<()> {
    looked_at(async |_, browser| {
        let light = background(browser).await?;
        browser.attribute_becomes(&id("theme-switch"), "aria-checked", "false").await?;
        browser.prefer_dark(true).await?;
        browser.attribute_becomes(&id("theme-switch"), "aria-checked", "true").await?;
        let dark = background(browser).await?;
        ensure!(light != dark, "both are {light}");
        browser.click(&id("theme-switch")).await?;
        browser.attribute_becomes(&id("theme-switch"), "aria-checked", "false").await?;
        ensure!(background(browser).await? == light, "the switch has not made it light");
        // The choice is kept.
        browser.reload().await?;
        ensure!(background(browser).await? == light, "the choice is forgotten");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_fits_a_laptop_and_a_telephone_in_both_themes() -> Result<()> {
    looked_at(async |page, browser| {
        let views = [
            ("list", "connectors".to_owned(), id("connector-row")),
            ("tasks", format!("connectors/{}", page.running), id("task-row")),
            ("logs", format!("connectors/{}/logs", page.running), id("log-line")),
            ("letters", format!("connectors/{}/dead-letters", page.letters), id("letter-row")),
            ("config", format!("connectors/{}/config", page.running), id("config-row")),
            ("plugins", "plugins".to_owned(), id("plugin-version")),
        ];
        for (width, height) in SIZES {
            browser.resize(width, height).await?;
            for dark in [false, true] {
                browser.prefer_dark(dark).await?;
                for (view, route, sign) in &views {
                    browser.go(page, route).await?;
                    browser.see(sign).await?;
                    let script = "return document.documentElement.scrollWidth <= innerWidth";
                    browser.until_true(&format!("{view} fits {width} pixels"), script).await?;
                    let theme = if dark { "dark" } else { "light" };
                    browser.shot(&format!("{view}-{theme}-{width}")).await?;
                }
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_nobody_but_its_host() -> Result<()> {
    looked_at(async |page, browser| {
        browser.see(&id("connector-row")).await?;
        let script = "return performance.getEntriesByType('resource').map((entry) => entry.name)";
        let asked = browser.run(script, Vec::new()).await?;
        let origin = page.url.trim_end_matches("/ui");
        for url in asked.as_array().into_iter().flatten().filter_map(Value::as_str) {
            ensure!(url.starts_with(&format!("{origin}/")) || url.starts_with("data:"), "it asked for {url}");
        }
        Ok(())
    })
    .await
}

async fn background(browser: &Browser) -> Result<String> {
    let script = "return getComputedStyle(document.documentElement).backgroundColor";
    Ok(browser.run(script, Vec::new()).await?.to_string())
}
