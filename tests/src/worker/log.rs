//! A worker's log: what a test waits for in it, and what it shows when it fails.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::wait::{self, Seen};

/// How many lines of a log are shown when a test fails.
const TAIL_LINES: usize = 60;

/// A log: JSON, a line an event; what is not JSON was meant for people.
#[derive(Clone, Debug)]
pub struct Log(PathBuf);

impl Log {
    /// The log in a file.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The file, to append to.
    pub fn append(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.0)
    }

    /// How many bytes there are now; a place to look from.
    #[must_use]
    pub fn length(&self) -> usize {
        fs::metadata(&self.0).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX))
    }

    /// Waits for an event behind a place whose message begins so and that mentions `about` anywhere.
    pub async fn until(&self, from: usize, message: &str, about: &str) -> Result<Value> {
        wait::until(&format!("the log says \"{message}\" of {about}"), wait::WITHIN, async || {
            let events = self.events(from)?;
            let found = events.iter().find(|event| {
                let said = event.pointer("/fields/message").or_else(|| event.get("message")).and_then(Value::as_str);
                said.is_some_and(|said| said.starts_with(message)) && event.to_string().contains(about)
            });
            Ok(match found {
                Some(event) => Seen::Done(event.clone()),
                None => Seen::NotYet(format!("{} events, none of them this one", events.len())),
            })
        })
        .await
    }

    /// The events behind a place.
    pub fn events(&self, from: usize) -> Result<Vec<Value>> {
        let bytes = fs::read(&self.0).with_context(|| format!("read {}", self.0.display()))?;
        let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
        // A last line may still be on its way.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// The last lines.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = fs::read(&self.0).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
    }
}
