//! Plugins and definitions as files: read within their bounds, and the manifests that definitions are held against.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sandbar_abi::Manifest;
use semver::{Version, VersionReq};

use crate::config::ManifestLookup;
use crate::discovery::{FileKind, scan};
use crate::plugins;

/// The manifests that definitions are held against.
#[derive(Default)]
pub(super) struct Manifests(Vec<Manifest>);

impl Manifests {
    /// Takes one in.
    pub fn add(&mut self, manifest: Manifest) {
        self.0.push(manifest);
    }

    /// Takes those of a folder in, without checking more of it.
    pub fn look_up_in(&mut self, folder: &Path) {
        // Without the folder there are no plugins in it; which are missed is told of each definition.
        let Ok(snapshot) = scan::scan(folder) else { return };
        let plugins = snapshot.entries.iter().filter(|(_, e)| e.kind == FileKind::Plugin && e.problem.is_none());
        self.0.extend(plugins.filter_map(|(path, _)| manifest(path).ok()));
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
pub(super) fn manifest(path: &Path) -> Result<Manifest, Vec<String>> {
    let wasm = read(path, FileKind::Plugin).map_err(|error| vec![error.to_string()])?;
    match plugins::inspect(&wasm) {
        Ok(inspection) => Ok(inspection.manifest),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

/// Reads a file that is no larger than its kind may be.
pub(super) fn read(path: &Path, kind: FileKind) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(kind.max_bytes() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > kind.max_bytes() {
        return Err(io::Error::other(format!("a {} has at most {} bytes", kind.name(), kind.max_bytes())));
    }
    Ok(bytes)
}
