//! Checks plugins by their bytes and definitions against the manifests of plugins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use semver::Version;

use super::super::manifests::{Manifests, manifest, read};
use super::report::Report;
use crate::config::{ConnectorSettings, Definition, WorkerConfig};
use crate::discovery::FileKind;

/// Checks files one after the other, and remembers what later ones are held against.
pub(super) struct Checker<'a> {
    worker: &'a WorkerConfig,
    report: &'a mut Report,
    known: Manifests,
    /// Where each version of a plugin is.
    versions: BTreeMap<(String, Version), PathBuf>,
    /// Where each connector is defined.
    connectors: BTreeMap<String, PathBuf>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(worker: &'a WorkerConfig, report: &'a mut Report) -> Self {
        Self { worker, report, known: Manifests::default(), versions: BTreeMap::new(), connectors: BTreeMap::new() }
    }

    /// Checks a plugin. All plugins come before definitions.
    pub(super) fn plugin(&mut self, path: &Path) {
        self.report.plugins += 1;
        let manifest = match manifest(path) {
            Ok(manifest) => manifest,
            Err(reasons) => return reasons.iter().for_each(|reason| self.report.error(path, "plugin", reason)),
        };
        let version = (manifest.name.clone(), manifest.version.clone());
        if let Some(other) = self.versions.get(&version) {
            let (name, version, other) = (&manifest.name, &manifest.version, other.display());
            let what =
                format!("plugin {name} {version} is in {other} too: remove one of the two, or raise the version");
            return self.report.error(path, "duplicate", what);
        }
        self.versions.insert(version, path.to_owned());
        self.known.add(manifest);
    }

    /// Takes note of the plugins of a folder without checking them, for definitions to be held against.
    pub(super) fn look_up_in(&mut self, folder: &Path) {
        self.known.look_up_in(folder);
    }

    /// Checks a definition.
    pub(super) fn definition(&mut self, path: &Path) {
        self.report.definitions += 1;
        let bytes = match read(path, FileKind::Definition) {
            Ok(bytes) => bytes,
            Err(error) => return self.report.error(path, "file", error),
        };
        let definition = match Definition::parse(path, &bytes) {
            Ok(definition) => definition,
            Err(errors) => return self.report.config_errors(errors),
        };
        match self.connectors.get(&definition.name) {
            Some(other) => {
                let (name, other) = (&definition.name, other.display());
                let what = format!("connector {name} is defined in {other} too: rename one of the two");
                self.report.error_of_key(path, "name", "duplicate", what);
            }
            None => drop(self.connectors.insert(definition.name.clone(), path.to_owned())),
        }
        match ConnectorSettings::resolve(&definition, &self.known, self.worker) {
            Ok((_, warnings)) => self.report.warnings(warnings),
            Err(errors) => self.report.config_errors(errors),
        }
    }
}
