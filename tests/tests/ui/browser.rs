//! A browser as the tests of the page use it: what is looked for is waited for, and everything goes by `data-testid`.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use sandbar_tests::wait::{self, Seen};
use serde_json::{Value, json};

use crate::console;
use crate::driver::Driver;
use crate::host::Page;

/// Names the folder for screenshots. Without it there are none.
const SHOTS_VARIABLE: &str = "SANDBAR_TEST_SHOTS";

/// A browser with one tab.
pub(crate) struct Browser {
    client: Client,
    /// The test, for the names of its screenshots.
    test: String,
    shots: Option<PathBuf>,
    _driver: Driver,
}

/// What has this `data-testid`.
pub(crate) fn id(testid: &str) -> String {
    format!("[data-testid={testid}]")
}

/// The row of a connector in the list. Names in these tests need no escaping.
pub(crate) fn row(connector: &str) -> String {
    format!("[data-testid=connector-row][data-name=\"{connector}\"]")
}

impl Browser {
    /// Opens one, without a window, at the size of a small laptop, on a system that is light.
    pub async fn open(driver: Driver, test: &str) -> Result<Self> {
        // The sandbox of the browser needs what a container often has not; all it will see is our own page.
        let args = json!(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        let capabilities = json!({"goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}});
        let Value::Object(capabilities) = capabilities else { bail!("capabilities are an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(driver.url())
            .await
            .context("open a browser")?;
        let browser = Self { client, test: test.to_owned(), shots: shots()?, _driver: driver };
        browser.resize(1280, 800).await?;
        browser.prefer_dark(false).await?;
        Ok(browser)
    }

    /// Ends it.
    pub async fn close(self) -> Result<()> {
        self.client.close().await.context("close the browser")
    }

    /// Opens the page anew at an address behind its `#/`.
    pub async fn go(&self, page: &Page, route: &str) -> Result<()> {
        // Another address first: a step behind # alone is no new page.
        self.client.goto("about:blank").await?;
        self.client.goto(&format!("{}#/{route}", page.url)).await?;
        self.attribute_becomes(&id("connection"), "data-state", "live").await
    }

    /// Loads the page again.
    pub async fn reload(&self) -> Result<()> {
        self.client.refresh().await?;
        self.attribute_becomes(&id("connection"), "data-state", "live").await
    }

    /// The first element that a selector finds and that can be seen.
    pub async fn see(&self, selector: &str) -> Result<Element> {
        wait::until(&format!("{selector} is seen"), wait::WITHIN, async || {
            for element in self.client.find_all(Locator::Css(selector)).await? {
                // What has gone meanwhile is not seen.
                if element.is_displayed().await.unwrap_or(false) {
                    return Ok(Seen::Done(element));
                }
            }
            Ok(Seen::NotYet("it is not".to_owned()))
        })
        .await
    }

    /// Clicks on it.
    pub async fn click(&self, selector: &str) -> Result<()> {
        wait::until(&format!("{selector} is clicked"), wait::WITHIN, async || {
            let element = self.see(selector).await?;
            // Else it may lie below the bar that stays on top.
            let arguments = vec![serde_json::to_value(&element)?];
            let clicked = async {
                self.client.execute("arguments[0].scrollIntoView({block: 'center'})", arguments).await?;
                element.click().await
            };
            match clicked.await {
                Ok(()) => Ok(Seen::Done(())),
                // It was drawn anew in between.
                Err(error) if error.is_stale_element_reference() => Ok(Seen::NotYet(error.to_string())),
                Err(error) => Err(error).with_context(|| format!("click {selector}")),
            }
        })
        .await
    }

    /// Types into it.
    pub async fn write(&self, selector: &str, text: &str) -> Result<()> {
        self.see(selector).await?.send_keys(text).await.with_context(|| format!("write into {selector}"))
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: impl Into<char>) -> Result<()> {
        let value = key.into();
        let keys = KeyActions::new("keys".to_owned()).then(KeyAction::Down { value }).then(KeyAction::Up { value });
        self.client.perform_actions(keys).await.with_context(|| format!("press {value:?}"))
    }

    /// Runs a script in the page; `arguments` are its arguments.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        self.client.execute(script, arguments).await.with_context(|| format!("run {script}"))
    }

    /// Waits until a script answers something that `is_so`.
    pub async fn until(&self, what: &str, script: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(what, wait::WITHIN, async || {
            let answer = self.run(script, Vec::new()).await?;
            Ok(if is_so(&answer) { Seen::Done(answer) } else { Seen::NotYet(answer.to_string()) })
        })
        .await
    }

    /// Waits until a script answers `true`.
    pub async fn until_true(&self, what: &str, script: &str) -> Result<()> {
        self.until(what, script, |answer| *answer == Value::Bool(true)).await.map(drop)
    }

    /// Waits until the text of the first element found is as it should be, and answers it.
    pub async fn text(&self, selector: &str, is_so: impl Fn(&str) -> bool) -> Result<String> {
        let script = format!("return document.querySelector({selector:?})?.textContent ?? null");
        let is_so = |answer: &Value| answer.as_str().is_some_and(&is_so);
        let text = self.until(&format!("the text of {selector} is as it should be"), &script, is_so).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until an attribute of the first element found has a value.
    pub async fn attribute_becomes(&self, selector: &str, name: &str, value: &str) -> Result<()> {
        let script = format!("return document.querySelector({selector:?})?.getAttribute({name:?}) ?? null");
        self.until(&format!("{name} of {selector} is {value}"), &script, |answer| *answer == value).await.map(drop)
    }

    /// Waits until a selector finds so many.
    pub async fn count_becomes(&self, selector: &str, count: usize) -> Result<()> {
        let script = format!("return document.querySelectorAll({selector:?}).length");
        self.until(&format!("there are {count} of {selector}"), &script, |answer| *answer == count).await.map(drop)
    }

    /// Waits until an element has the focus.
    pub async fn focus_is_at(&self, selector: &str) -> Result<()> {
        let script = format!("return document.activeElement.matches({selector:?})");
        self.until_true(&format!("{selector} has the focus"), &script).await
    }

    /// The window has this many pixels from now on.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        console::resize(&self.client, width, height).await
    }

    /// The system is dark, or light, from now on.
    pub async fn prefer_dark(&self, dark: bool) -> Result<()> {
        console::prefer_dark(&self.client, dark).await
    }

    /// What the console has told since the last call that is wrong.
    pub async fn faults(&self) -> Result<Vec<String>> {
        let entries = console::entries(&self.client).await?;
        Ok(entries.iter().filter(|entry| entry.is_fault()).map(ToString::to_string).collect())
    }

    /// Takes the refusals that a test provoked out of the console: the browser tells them there though the page expects
    /// them.
    pub async fn expect_refusals(&self) -> Result<()> {
        let entries = console::entries(&self.client).await?;
        match entries.iter().find(|entry| entry.is_fault() && !entry.is_refusal()) {
            Some(entry) => bail!("the console of the browser tells: {entry}"),
            None => Ok(()),
        }
    }

    /// Saves what is seen now, if anybody wants to see it.
    pub async fn shot(&self, name: &str) -> Result<()> {
        let Some(folder) = &self.shots else { return Ok(()) };
        let path = folder.join(format!("{}-{name}.png", self.test));
        fs::write(&path, self.client.screenshot().await?).with_context(|| format!("write {}", path.display()))
    }
}

fn shots() -> Result<Option<PathBuf>> {
    let Some(folder) = env::var_os(SHOTS_VARIABLE).filter(|folder| !folder.is_empty()) else { return Ok(None) };
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(Some(folder))
}
