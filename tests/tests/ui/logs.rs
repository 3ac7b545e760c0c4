//! The log of a task, as the page follows it.

use anyhow::Result;

use crate::browser::id;
use crate::looked_at;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_task_is_reached_from_the_task() -> Result<()> {
    looked_at(async |page, browser| {
        browser.go(page, &format!("connectors/{}", page.running)).await?;
        browser.click(&format!("[data-testid=task-row][data-task=\"0\"] {}", id("task-logs"))).await?;
        browser.see(&id("log-line")).await?;
        let script = "return document.querySelector('[data-testid=log-task]').value === '0'";
        browser.until_true("task 0 is chosen", script).await?;
        browser.shot("log").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_shows_a_level_and_what_is_worse() -> Result<()> {
    looked_at(async |page, browser| {
        browser.go(page, &format!("connectors/{}/logs/0", page.running)).await?;
        browser.see(&id("log-line")).await?;
        browser.see(&id("log-level")).await?.select_by_value("ERROR").await?;
        let script = "const lines = [...document.querySelectorAll('[data-testid=log-line]')];
            return lines.every((line) => line.dataset.level === 'ERROR')";
        browser.until_true("errors alone are shown", script).await?;
        browser.see(&id("log-level")).await?.select_by_value("TRACE").await?;
        browser.see(&id("log-line")).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_of_the_log_leaves_what_matches() -> Result<()> {
    looked_at(async |page, browser| {
        browser.go(page, &format!("connectors/{}/logs/0", page.running)).await?;
        browser.see(&id("log-line")).await?;
        browser.write(&id("log-filter"), "nothing says this").await?;
        browser.count_becomes(&id("log-line"), 0).await
    })
    .await
}
