//! Which files there are to check, and what each is. Folders are listed as the host lists them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::worker::DEFAULT_FILE;
use super::report::Report;
use crate::discovery::{FileKind, scan};

/// The files, each once, by what they are.
#[derive(Default)]
pub(super) struct Inputs {
    pub plugins: BTreeSet<PathBuf>,
    pub definitions: BTreeSet<PathBuf>,
    pub workers: BTreeSet<PathBuf>,
}

/// Finds the files behind paths; what is none is reported.
pub(super) fn gather(paths: &[PathBuf], report: &mut Report) -> Inputs {
    let mut inputs = Inputs::default();
    for path in paths {
        if path.is_dir() { inputs.folder(path, report) } else { inputs.file(path, report) }
    }
    inputs
}

impl Inputs {
    fn folder(&mut self, folder: &Path, report: &mut Report) {
        let snapshot = match scan::scan(folder) {
            Ok(snapshot) => snapshot,
            Err(error) => return report.error(folder, "folder", error),
        };
        for (path, entry) in snapshot.entries {
            match entry.problem {
                Some(problem) => report.error(&path, "file", problem),
                None => self.add(path, entry.kind),
            }
        }
        let worker = folder.join(DEFAULT_FILE);
        if worker.is_file() {
            self.workers.insert(worker);
        }
    }

    fn file(&mut self, path: &Path, report: &mut Report) {
        match std::fs::metadata(path) {
            Err(error) => report.error(path, "file", error),
            // Anything else, a pipe above all, could block for ever.
            Ok(metadata) if !metadata.is_file() => report.error(path, "file", "is not a file"),
            Ok(_) if path.file_name().is_some_and(|name| name == DEFAULT_FILE) => {
                self.workers.insert(path.to_owned());
            }
            Ok(_) => match FileKind::of(path) {
                Some(kind) => self.add(path.to_owned(), kind),
                // A signature is checked with what it signs.
                None if is_signature(path) => self.file(&path.with_extension(""), report),
                None => {
                    let what = "is neither a plugin (.wasm) nor a definition (.json, .toml): the host passes it over";
                    report.error(path, "file", what);
                }
            },
        }
    }

    fn add(&mut self, path: PathBuf, kind: FileKind) {
        match kind {
            FileKind::Plugin => self.plugins.insert(path),
            FileKind::Definition => self.definitions.insert(path),
        };
    }
}

fn is_signature(path: &Path) -> bool {
    let signed = path.with_extension("");
    FileKind::of(&signed).and_then(|kind| kind.signature(&signed)).is_some_and(|signature| signature == path)
}
