//! The page at `/ui` in a real browser, against a real host: what an operator sees, clicks and types.

mod browser;
mod connectors;
mod console;
mod driver;
mod host;
mod keyboard;
mod letters;
mod logs;
mod look;
mod plugins;

use std::env;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;

use crate::browser::Browser;
use crate::driver::Driver;
use crate::host::{Page, host};

/// Set to `1` where these tests may not be left out, as in CI.
const REQUIRE_VARIABLE: &str = "REQUIRE_BROWSER";

/// Shows the page of a new host to a new browser, and has a test look at it. Whatever comes of it, the browser ends.
/// What the browser's console tells is an error, unless the test took it (see [`Browser::expect_refusals`]).
pub(crate) async fn looked_at(test: impl AsyncFnOnce(&Page, &Browser) -> Result<()>) -> Result<()> {
    let name = thread::current().name().unwrap_or("ui").replace("::", "-");
    let Some(driver) = Driver::start().await? else { return left_out(&name) };
    let page = host().await.context("start the host")?;
    let browser = Browser::open(driver, &name).await?;
    let look = async {
        browser.go(&page, "connectors").await?;
        test(&page, &browser).await?;
        let faults = browser.faults().await?;
        ensure!(faults.is_empty(), "the console of the browser tells: {faults:#?}");
        anyhow::Ok(())
    };
    let outcome = AssertUnwindSafe(look).catch_unwind().await;
    if !matches!(outcome, Ok(Ok(()))) {
        // For whoever looks into it; if it does not come about, the failure is told all the same.
        let _ = browser.shot("failed").await;
    }
    let closed = browser.close().await;
    match outcome {
        Ok(outcome) => outcome.and(closed),
        Err(panic) => resume_unwind(panic),
    }
}

/// Says aloud that a test does not run: it must not look like one that passed.
fn left_out(test: &str) -> Result<()> {
    let required = env::var(REQUIRE_VARIABLE).as_deref() == Ok("1");
    ensure!(!required, "{test}: {REQUIRE_VARIABLE} is set, but there is no `chromedriver`");
    // Not `eprintln!`: the test runner keeps that for itself unless the test fails. Nobody to tell is no failure.
    let _ = writeln!(io::stderr(), "not run: {test} (there is no `chromedriver`)");
    Ok(())
}
