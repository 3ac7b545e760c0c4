//! The manifests that definitions are held against, from the files of plugins.

use std::io;
use std::path::Path;

use sandbar_abi::Manifest;
use semver::{Version, VersionReq};

use super::files;
use crate::config::ManifestLookup;
use crate::discovery::{FileKind, scan};
use crate::plugins::{self, Refusal};
use crate::trust::Policy;

/// The manifests that definitions are held against.
#[derive(Default)]
pub(super) struct Manifests(Vec<Manifest>);

/// Why the host would not take a plugin.
pub(super) struct Refused {
    /// The kind of fault, as `sandbar validate` names it.
    pub kind: &'static str,
    /// Everything that was found.
    pub reasons: Vec<String>,
}

impl Manifests {
    /// Takes one in.
    pub fn add(&mut self, manifest: Manifest) {
        self.0.push(manifest);
    }

    /// Takes those of a folder in that the host would take, without telling of others.
    pub fn look_up_in(&mut self, folder: &Path, trust: &Policy) {
        // Without the folder there are no plugins in it; which are missed is told of each definition.
        let Ok(snapshot) = scan::scan(folder) else { return };
        let plugins = snapshot.entries.iter().filter(|(_, e)| e.kind == FileKind::Plugin && e.problem.is_none());
        self.0.extend(plugins.filter_map(|(path, _)| manifest(path, trust).ok()));
    }

    /// Keeps one version of a plugin, whatever others there are.
    pub fn only(&mut self, manifest: &Manifest) {
        self.0.retain(|other| other.name != manifest.name);
        self.add(manifest.clone());
    }

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

/// The manifest of a file that the host would take, or why it would not.
pub(super) fn manifest(path: &Path, trust: &Policy) -> Result<Manifest, Refused> {
    let kind = FileKind::Plugin;
    let unreadable = |error: io::Error| Refused { kind: "plugin", reasons: vec![error.to_string()] };
    let wasm = files::read(path, kind).map_err(unreadable)?;
    let signature = files::read_signature(path, kind).map_err(unreadable)?;
    match plugins::admit(&wasm, signature.as_deref(), trust) {
        Ok(admitted) => Ok(admitted.inspection.manifest),
        Err(refusal) => {
            let kind = if matches!(refusal, Refusal::Untrusted(_)) { "untrusted" } else { "plugin" };
            Err(Refused { kind, reasons: refusal.reasons() })
        }
    }
}
