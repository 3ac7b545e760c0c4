//! What WebDriver has no words for: the browser's console, and the screen and system it believes to have.

use std::fmt::{self, Display};

use anyhow::{Context as _, Result};
use fantoccini::Client;
use fantoccini::wd::WebDriverCompatibleCommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::{ParseError, Url};

/// A line of the console.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    level: String,
    source: String,
    message: String,
}

impl Entry {
    /// Whether it tells of something that is wrong: an error of the page, or what its content security policy forbids.
    pub fn is_fault(&self) -> bool {
        self.level == "SEVERE"
    }

    /// Whether it tells that a request was refused, which the browser does for each answer from 400 on.
    pub fn is_refusal(&self) -> bool {
        self.source == "network"
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.message)
    }
}

/// What the console has told since the last call.
pub(crate) async fn entries(client: &Client) -> Result<Vec<Entry>> {
    let command = Vendor { path: "se/log", body: json!({"type": "browser"}) };
    let told = client.issue_cmd(command).await.context("read the console of the browser")?;
    serde_json::from_value(told).context("the console of the browser")
}

/// The window has this many pixels from now on, whatever the frame around it takes.
pub(crate) async fn resize(client: &Client, width: u32, height: u32) -> Result<()> {
    let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    devtools(client, "Emulation.setDeviceMetricsOverride", params).await
}

/// The system is dark, or light, from now on.
pub(crate) async fn prefer_dark(client: &Client, dark: bool) -> Result<()> {
    let value = if dark { "dark" } else { "light" };
    let params = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
    devtools(client, "Emulation.setEmulatedMedia", params).await
}

async fn devtools(client: &Client, command: &str, params: Value) -> Result<()> {
    let body = json!({"cmd": command, "params": params});
    client.issue_cmd(Vendor { path: "goog/cdp/execute", body }).await.with_context(|| command.to_owned())?;
    Ok(())
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
