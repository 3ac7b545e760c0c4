//! `sandbar plugins`: the plugins of a running host, and their versions.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::super::failure::{Failure, Outcome};
use super::super::text::{Table, grouped};
use super::super::{print, print_json};
use super::{HostArgs, read};
use crate::api::client::Asked;

/// How many characters of a sum tell files apart for people.
const SHORT: usize = 12;

/// List the plugins of a running host; upload, promote, roll back and delete versions
///
/// Plugins lie in the watched folder; an upload puts a file there. Connectors that ask for no version run the newest, or the
/// one that was promoted.
#[derive(Args)]
pub(in crate::cli) struct PluginsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the plugins and their versions
    ///
    /// And the files that cannot be used, with the reason.
    #[command(after_help = "Examples:\n  sandbar plugins list")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Upload a plugin
    ///
    /// It is inspected before it is kept, and compiled before the command ends.
    #[command(after_help = "Examples:\n  sandbar plugins upload orders.wasm --url http://127.0.0.1:8083")]
    Upload {
        /// The plugin
        file: PathBuf,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Have connectors run a version that ask for none
    ///
    /// Even if there is a newer one.
    #[command(after_help = "Examples:\n  sandbar plugins promote datagen 0.1.0")]
    Promote {
        /// The plugin's name
        plugin: String,
        /// The version
        version: String,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Promote the version before the one that runs
    ///
    /// Connectors that ask for no version run it from now on.
    #[command(after_help = "Examples:\n  sandbar plugins rollback datagen")]
    Rollback {
        /// The plugin's name
        plugin: String,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Delete a version
    ///
    /// One that connectors run is not deleted.
    #[command(after_help = "Examples:\n  sandbar plugins delete datagen 0.1.0")]
    Delete {
        /// The plugin's name
        plugin: String,
        /// The version
        version: String,
        #[command(flatten)]
        host: HostArgs,
    },
}

#[derive(Deserialize)]
struct All {
    plugins: Vec<Plugin>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Plugin {
    name: String,
    promoted: Option<String>,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    kinds: Vec<String>,
    sha256: String,
    bytes: u64,
    used_by: Vec<String>,
}

#[derive(Deserialize)]
struct Refused {
    file: String,
    reason: String,
}

/// Does it.
pub(in crate::cli) fn run(args: &PluginsArgs) -> Outcome {
    match &args.what {
        What::List { json, host } => {
            let all = host.ask(Asked::get(&["v1", "plugins"]))?;
            if *json { print_json(&all) } else { print(table(all)?) }
        }
        What::Upload { file, host } => {
            let bytes = std::fs::read(file);
            let bytes = bytes.map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            let asked = Asked::new(Method::POST, &["v1", "plugins"]);
            host.ask(Asked { body: Some((bytes.into(), "application/wasm")), ..asked }).map(drop)
        }
        What::Promote { plugin, version, host } => {
            host.ask(Asked::new(Method::POST, &["v1", "plugins", plugin, "versions", version, "promote"])).map(drop)
        }
        What::Rollback { plugin, host } => {
            host.ask(Asked::new(Method::POST, &["v1", "plugins", plugin, "rollback"])).map(drop)
        }
        What::Delete { plugin, version, host } => {
            host.ask(Asked::new(Method::DELETE, &["v1", "plugins", plugin, "versions", version])).map(drop)
        }
    }
}

fn table(all: Value) -> Outcome<String> {
    let All { plugins, refused } = read(all)?;
    let mut table = Table::new(&["PLUGIN", "VERSION", "KINDS", "BYTES", "SHA256", "PROMOTED", "USED BY"], &[3]);
    for plugin in &plugins {
        for version in &plugin.versions {
            let promoted = plugin.promoted.as_ref() == Some(&version.version);
            table.row([
                plugin.name.as_str(),
                &version.version,
                &version.kinds.join(","),
                &grouped(version.bytes),
                version.sha256.get(..SHORT).unwrap_or(&version.sha256),
                if promoted { "yes" } else { "" },
                &version.used_by.join(" "),
            ]);
        }
    }
    let mut text = table.text("");
    if !refused.is_empty() {
        let mut table = Table::new(&["FILE", "WHY IT IS NOT USED"], &[]);
        refused.iter().for_each(|refused| table.row([refused.file.as_str(), &refused.reason]));
        text.push('\n');
        text.push_str(&table.text(""));
    }
    Ok(text)
}
