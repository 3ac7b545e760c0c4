//! The plugins of the simulation: compiled once a process, handed out as if they had been loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use sandbar::digest::Digest;
use sandbar::discovery::{FileKind, FoundFile};
use sandbar::http::Network;
use sandbar::plugins::{Load, LoadError, Loader, Plugin};
use sandbar::sandbox::Engine;
use sandbar::trust::Policy;
use tokio::time::sleep;

use crate::faults::Fates;
use crate::plugins;

/// The plugins there are, by package.
const PACKAGES: [&str; 4] = ["datagen", "word-count", "faulty", "file-sink"];
/// How many versions there are of each.
pub(super) const VERSIONS: usize = 2;
/// The longest a plugin takes to load, in milliseconds.
const LOADING_MS: u64 = 40;

/// All that is made once a process.
pub(super) struct Catalogue {
    /// The file of each version of each package.
    files: BTreeMap<&'static str, Vec<FoundFile>>,
    plugins: BTreeMap<Digest, Arc<Plugin>>,
    /// What sends requests, of which there are none.
    pub(super) network: Network,
}

impl Catalogue {
    /// The one of this process.
    pub(super) fn get() -> Result<&'static Self> {
        static MADE: OnceLock<Result<Catalogue, String>> = OnceLock::new();
        MADE.get_or_init(|| Self::make().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    fn make() -> Result<Self> {
        let loader = Loader { engine: Engine::for_simulation()?, cache: None, trust: Policy::default() };
        let mut catalogue = Self { files: BTreeMap::new(), plugins: BTreeMap::new(), network: Network::new(None)? };
        for package in PACKAGES {
            for version in 0..VERSIONS {
                let wasm = plugins::variant(package, |manifest| manifest["version"] = format!("0.{version}.0").into())?;
                let file = FoundFile::in_memory(Self::path(package), FileKind::Plugin, wasm.into(), None);
                let plugin = loader.load_now(&file).with_context(|| format!("load {package}"))?;
                catalogue.plugins.insert(file.sha256, Arc::new(plugin));
                catalogue.files.entry(package).or_default().push(file);
            }
        }
        Ok(catalogue)
    }

    /// The packages, each of which is a file.
    pub(super) fn packages() -> impl Iterator<Item = &'static str> {
        PACKAGES.into_iter()
    }

    /// Where the file of a package is.
    pub(super) fn path(package: &str) -> PathBuf {
        format!("{package}.wasm").into()
    }

    /// The file of a version of a package.
    pub(super) fn file(&self, package: &str, version: usize) -> Result<FoundFile> {
        let file = self.files.get(package).and_then(|versions| versions.get(version));
        file.cloned().with_context(|| format!("there is no version {version} of {package}"))
    }
}

/// Hands the plugins out, each after a while.
pub(super) struct Shelf {
    pub(super) catalogue: &'static Catalogue,
    pub(super) fates: Arc<Fates>,
}

#[async_trait]
impl Load for Shelf {
    async fn load(self: Arc<Self>, file: FoundFile) -> Result<Arc<Plugin>, LoadError> {
        sleep(Duration::from_millis(self.fates.among(0..LOADING_MS))).await;
        let plugin = self.catalogue.plugins.get(&file.sha256).cloned();
        plugin.ok_or_else(|| LoadError::Internal(format!("{} is not of the simulation", file.path.display())))
    }
}
