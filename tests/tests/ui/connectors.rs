//! The list of connectors: their states and their rates, what a click does to them, and the filter.

use anyhow::{Result, ensure};

use crate::browser::{id, row};
use crate::looked_at;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_are_listed_with_state_plugin_and_rate() -> Result<()> {
    looked_at(async |page, browser| {
        let (running, paused) = (row(&page.running), row(&page.paused));
        browser.attribute_becomes(&format!("{running} {}", id("connector-state")), "data-state", "RUNNING").await?;
        browser.attribute_becomes(&format!("{paused} {}", id("connector-state")), "data-state", "PAUSED").await?;
        // Told in words too, not by colour alone.
        browser.text(&format!("{running} {}", id("connector-state")), |text| text == "Running").await?;
        let (plugin, version) = &page.plugin;
        let expected = format!("{plugin} {version}");
        browser.text(&format!("{running} {}", id("connector-plugin")), |text| text.contains(&expected)).await?;
        let rate = browser.text(&format!("{running} {}", id("rate-out")), |text| text != "–" && text != "0").await?;
        ensure!(rate.starts_with(|first: char| first.is_ascii_digit() || first == '<'), "{rate}");
        // A line needs two points, so three answers.
        let chart = format!("{running} .spark.out .line");
        let script = format!("return document.querySelector('{chart}').getAttribute('d').includes('L')");
        browser.until_true("the chart has a line", &script).await?;
        browser.shot("list").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_summary_counts_states_and_shows_those_of_one() -> Result<()> {
    looked_at(async |page, browser| {
        browser.see(&row(&page.running)).await?;
        browser.click("[data-testid=state-filter][data-state=PAUSED]").await?;
        browser.count_becomes(&row(&page.running), 0).await?;
        browser.see(&row(&page.paused)).await?;
        browser.click("[data-testid=state-filter][data-state=ALL]").await?;
        browser.see(&row(&page.running)).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_pauses_a_connector_and_another_resumes_it() -> Result<()> {
    looked_at(async |page, browser| {
        let connector = row(&page.running);
        let state = format!("{connector} {}", id("connector-state"));
        browser.click(&format!("{connector} {}", id("action-pause"))).await?;
        browser.attribute_becomes(&state, "data-state", "PAUSED").await?;
        browser.text(&state, |text| text == "Paused").await?;
        // Whoever cannot see it hears it.
        let told = format!("{}: Paused", page.running);
        browser.text(&id("live"), |text| text.contains(&told)).await?;
        browser.click(&format!("{connector} {}", id("action-resume"))).await?;
        browser.attribute_becomes(&state, "data-state", "RUNNING").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_is_stopped_by_its_menu_and_by_its_page() -> Result<()> {
    looked_at(async |page, browser| {
        let connector = row(&page.running);
        let state = format!("{connector} {}", id("connector-state"));
        browser.attribute_becomes(&state, "data-state", "RUNNING").await?;
        browser.click(&format!("{connector} {}", id("action-more"))).await?;
        browser.click(&format!("{} {}", id("menu"), id("action-stop"))).await?;
        browser.attribute_becomes(&state, "data-state", "STOPPED").await?;
        browser.click(&format!("{connector} {}", id("connector-link"))).await?;
        browser.text(&id("connector-title"), |text| text == page.running).await?;
        browser.click(&id("action-resume")).await?;
        browser.attribute_becomes(&id("connector-state"), "data-state", "RUNNING").await?;
        browser.see(&id("task-row")).await?;
        browser.shot("connector").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_leaves_what_matches() -> Result<()> {
    looked_at(async |page, browser| {
        browser.see(&row(&page.paused)).await?;
        browser.write(&id("filter"), &page.running).await?;
        browser.count_becomes(&row(&page.paused), 0).await?;
        browser.see(&row(&page.running)).await?;
        browser.write(&id("filter"), " and-nothing-else").await?;
        browser.click(&id("clear-filter")).await?;
        browser.see(&row(&page.paused)).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_shown() -> Result<()> {
    looked_at(async |page, browser| {
        browser.go(page, &format!("connectors/{}/config", page.running)).await?;
        let class = "[data-testid=config-row][data-key=\"connector.class\"]";
        browser.text(class, |text| text.contains(&page.plugin.0)).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_host_refuses_is_shown_in_the_form() -> Result<()> {
    looked_at(async |_, browser| {
        browser.click(&id("new-connector")).await?;
        browser.click(&id("create-submit")).await?;
        browser.text(&id("create-errors"), |text| text.contains("needs a name")).await?;
        browser.write(&id("create-name"), "unwanted").await?;
        // The configuration that the form begins with names no plugin.
        browser.click(&id("create-submit")).await?;
        browser.text(&id("create-errors"), |text| text.contains("no connector type")).await?;
        browser.shot("refused").await?;
        browser.click(&id("dialog-cancel")).await?;
        browser.count_becomes(&row("unwanted"), 0).await?;
        browser.expect_refusals().await
    })
    .await
}
