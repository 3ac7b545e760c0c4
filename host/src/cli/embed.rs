//! `sandbar embed`: writes a manifest into a built module, for languages whose tools cannot.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use sandbar_abi::{Manifest, names};
use tempfile::Builder;

use super::failure::{Failure, Outcome};
use super::inspect::read_plugin;
use super::text;
use crate::plugins;

/// The mode of a file that is new, before the process's umask.
const NEW_FILE_MODE: u32 = 0o666;

/// Write a manifest into a WebAssembly module
///
/// A plugin says what it is in a custom section of its file. The Rust SDK writes it; for other languages this command
/// adds it after the build, in place of any that is there. Everything else in the module keeps its bytes.
///
/// The manifest is JSON: `name`, `version`, `kinds` (source, sink, transform) and `abi` (1) are required; `description`,
/// `author`, `license`, `config` (a JSON Schema), `capabilities`, `limits`, `idempotent_write` and `exactly_once` are not.
///
/// The result is written whole or not at all, so the target may be in a folder that `sandbar run` watches. What would
/// still keep the plugin from running is told as a warning.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar embed upper.wasm manifest.json                         writes upper.wasm anew
  sandbar embed build/upper.wasm manifest.json -o plugins/upper.wasm")]
pub(super) struct EmbedArgs {
    /// The module, as the compiler left it
    file: PathBuf,
    /// The manifest
    manifest: PathBuf,
    /// Where to write the plugin [default: FILE]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

/// Writes the manifest.
pub(super) fn run(args: &EmbedArgs) -> Outcome {
    let wasm = read_plugin(&args.file)?;
    let manifest = read_manifest(&args.manifest)?;
    let plugin =
        plugins::embed(&wasm, &manifest).map_err(|error| Failure::new(format!("{}: {error}", args.file.display())))?;
    let output = args.output.as_ref().unwrap_or(&args.file);
    write(output, &plugin).map_err(|error| Failure::new(format!("{} cannot be written: {error}", output.display())))?;

    let faults: Vec<String> = plugins::inspect(&plugin).err().into_iter().flatten().map(|e| e.to_string()).collect();
    for fault in &faults {
        let warning = format!("{}: {fault}", output.display());
        eprint_line(&format!("warning: {}", text::shown(&warning)));
    }
    super::print(format!("{}: {} {}\n", text::shown(&output.display().to_string()), manifest.name, manifest.version))
}

/// Standard error may be closed, which is no reason to fail.
fn eprint_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn read_manifest(path: &Path) -> Outcome<Manifest> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", path.display()));
    let mut json = Vec::new();
    let limit = names::MAX_MANIFEST_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut json));
    read.map_err(|error| fault(&error))?;
    if json.len() > names::MAX_MANIFEST_BYTES {
        return Err(fault(&format!("a manifest has at most {} bytes", names::MAX_MANIFEST_BYTES)));
    }
    Manifest::from_json(&json).map_err(|error| fault(&error).hint("`sandbar embed --help` lists its fields"))
}

/// Replaces a file at once: nobody sees half of it. The name it has until then is one that the scan passes over.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let old = fs::metadata(path).ok().map(|metadata| metadata.permissions());
    let mode = Permissions::from_mode(NEW_FILE_MODE);
    let mut file = Builder::new().prefix(".embed-").permissions(mode).tempfile_in(folder)?;
    file.write_all(bytes)?;
    if let Some(permissions) = old {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
