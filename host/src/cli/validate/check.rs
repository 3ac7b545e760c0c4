//! Checks plugins by their bytes and definitions against the manifests of plugins.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sandbar_abi::Manifest;
use semver::{Version, VersionReq};

use super::super::files;
use super::report::Report;
use crate::config::{ConnectorSettings, Definition, ManifestLookup, WorkerConfig};
use crate::discovery::{FileKind, scan};
use crate::plugins::{self, Refusal};

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
        let manifest = match self.manifest(path) {
            Ok(manifest) => manifest,
            Err(Refused { kind, reasons }) => {
                return reasons.iter().for_each(|reason| self.report.error(path, kind, reason));
            }
        };
        let version = (manifest.name.clone(), manifest.version.clone());
        if let Some(other) = self.versions.get(&version) {
            let (name, version, other) = (&manifest.name, &manifest.version, other.display());
            let what =
                format!("plugin {name} {version} is in {other} too: remove one of the two, or raise the version");
            return self.report.error(path, "duplicate", what);
        }
        self.versions.insert(version, path.to_owned());
        self.known.0.push(manifest);
    }

    /// Takes note of the plugins of a folder without checking them, for definitions to be held against.
    pub(super) fn look_up_in(&mut self, folder: &Path) {
        // Without the folder there are no plugins in it; which are missed is told of each definition.
        let Ok(snapshot) = scan::scan(folder) else { return };
        let plugins = snapshot.entries.iter().filter(|(_, e)| e.kind == FileKind::Plugin && e.problem.is_none());
        let known: Vec<_> = plugins.filter_map(|(path, _)| self.manifest(path).ok()).collect();
        self.known.0.extend(known);
    }

    /// Checks a definition.
    pub(super) fn definition(&mut self, path: &Path) {
        self.report.definitions += 1;
        let bytes = match files::read(path, FileKind::Definition) {
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

    /// The manifest of a file that the host would take, or why it would not.
    fn manifest(&self, path: &Path) -> Result<Manifest, Refused> {
        let kind = FileKind::Plugin;
        let unreadable = |error: io::Error| Refused { kind: "plugin", reasons: vec![error.to_string()] };
        let wasm = files::read(path, kind).map_err(unreadable)?;
        let signature = files::read_signature(path, kind).map_err(unreadable)?;
        match plugins::admit(&wasm, signature.as_deref(), &self.worker.trust) {
            Ok(admitted) => Ok(admitted.inspection.manifest),
            Err(refusal) => {
                let kind = if matches!(refusal, Refusal::Untrusted(_)) { "untrusted" } else { "plugin" };
                Err(Refused { kind, reasons: refusal.reasons() })
            }
        }
    }
}

/// Why the host would not take a plugin.
struct Refused {
    kind: &'static str,
    reasons: Vec<String>,
}

/// The manifests that definitions are held against.
#[derive(Default)]
struct Manifests(Vec<Manifest>);

impl Manifests {
    fn newest(&self, class: &str, fits: impl Fn(&Version) -> bool) -> Option<&Manifest> {
        let found = self.0.iter().filter(|manifest| manifest.name == class && fits(&manifest.version));
        found.max_by(|a, b| a.version.cmp(&b.version))
    }
}

impl ManifestLookup for Manifests {
    fn manifest(&self, class: &str) -> Option<&Manifest> {
        self.newest(class, |_| true)
    }

    fn manifest_matching(&self, class: &str, version: &VersionReq) -> Option<&Manifest> {
        self.newest(class, |candidate| version.matches(candidate))
    }
}
