//! The host that the tests of the page look at, and the things in it that they name.

use std::any::Any;
use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// Names a host that runs already, as `http://host:port`; with what [`Page`] asks for.
const ADDRESS_VARIABLE: &str = "SANDBAR_TEST_UI";
/// Names the file of a plugin that this host does not have yet.
const UPLOAD_VARIABLE: &str = "SANDBAR_TEST_UI_UPLOAD";

/// A running host, and what in it the tests act on. It ends when this is dropped.
pub(crate) struct Page {
    /// Where the page is: `http://127.0.0.1:8083/ui`.
    pub url: String,
    /// A connector that runs and moves records without end, a few of them each second at least.
    pub running: String,
    /// A connector that was paused before, to tell its state from that of the others.
    pub paused: String,
    /// A connector with a dead letter queue, in which three letters or more lie that nobody has handled.
    pub letters: String,
    /// The plugin that `running` uses: its name and its version.
    pub plugin: (String, String),
    /// A plugin that the host does not have yet: its file, its name and its version.
    pub upload: (PathBuf, String, String),
    /// What has to live as long as the page is looked at: the worker, and its folders.
    pub _keep: Box<dyn Any + Send>,
}

/// Starts a host that serves the page without asking for credentials, and waits until it is as [`Page`] describes it.
pub(crate) async fn host() -> Result<Page> {
    let address = env::var(ADDRESS_VARIABLE).with_context(|| format!("{ADDRESS_VARIABLE} names no host"))?;
    let upload = env::var(UPLOAD_VARIABLE).with_context(|| format!("{UPLOAD_VARIABLE} names no plugin"))?;
    Ok(Page {
        url: format!("{address}/ui"),
        running: "clicks".to_owned(),
        paused: "audit".to_owned(),
        letters: "clicks-to-file".to_owned(),
        plugin: ("datagen".to_owned(), "0.1.0".to_owned()),
        upload: (PathBuf::from(upload), "shout".to_owned(), "0.1.0".to_owned()),
        _keep: Box::new(()),
    })
}
