//! Turns a validated module into machine code, and keeps it on disk: a plugin is compiled once a machine, not once a start.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tracing::{debug, warn};
use wasmtime::{InstancePre, Module};

use super::engine::Engine;
use super::host_state::HostState;
use crate::digest::Digest;

/// The most bytes of machine code that are read back.
const MAX_ARTEFACT: u64 = 1 << 30;

/// A plugin, ready to be instantiated. Cloning it is cheap.
#[derive(Clone)]
pub struct Compiled {
    pub(super) engine: Engine,
    pub(super) pre: Arc<InstancePre<HostState>>,
    /// Where the machine code came from.
    pub origin: Origin,
}

/// Where the machine code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled just now.
    Compiled,
    /// It was compiled before, and found in the cache.
    Cache,
}

/// A module that validates and still does not compile or link.
#[derive(Debug, Error)]
#[error("{step}: {message}")]
pub struct CompileError {
    step: &'static str,
    message: String,
}

impl Compiled {
    /// Compiles a module, or takes it from the cache folder. Takes a while: not for an async worker.
    ///
    /// A cache that cannot be read or written costs time, not the plugin.
    pub fn new(engine: &Engine, wasm: &[u8], cache: Option<&Path>) -> Result<Self, CompileError> {
        let error = |step, e: wasmtime::Error| CompileError { step, message: one_line(&e) };
        let entry = cache.map(|folder| entry(engine, folder, wasm));
        let cached = entry.as_deref().and_then(|path| load(engine, path));
        let (module, origin) = match cached {
            Some(module) => (module, Origin::Cache),
            None => {
                let module = Module::new(&engine.inner, wasm).map_err(|e| error("compile", e))?;
                if let Some(path) = entry.as_deref() {
                    store(&module, path);
                }
                (module, Origin::Compiled)
            }
        };
        let pre = engine.linker.instantiate_pre(&module).map_err(|e| error("link", e))?;
        Ok(Self { engine: engine.clone(), pre: Arc::new(pre), origin })
    }
}

/// What the compiler says, without the lines it breaks its lists into: a refusal is one line of the log.
fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The file of a module in the cache: by engine, then by the module's hash.
fn entry(engine: &Engine, folder: &Path, wasm: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.inner.precompile_compatibility_hash().hash(&mut hasher);
    folder.join(format!("{:016x}", hasher.finish())).join(format!("{}.cwasm", Digest::of(wasm)))
}

/// Reads an entry back: the hash of the rest, then the rest.
#[allow(unsafe_code)]
fn load(engine: &Engine, path: &Path) -> Option<Module> {
    let file = std::fs::File::open(path).ok()?;
    if !is_ours(path) {
        warn!(path = %path.display(), "cached machine code is not the host's own, it is compiled again");
        return None;
    }
    let mut artefact = Vec::new();
    file.take(MAX_ARTEFACT).read_to_end(&mut artefact).ok()?;
    let (hash, code) = artefact.split_at_checked(32)?;
    if hash != Digest::of(code).as_bytes() {
        warn!(path = %path.display(), "cached machine code is damaged, it is compiled again");
        return None;
    }
    // SAFETY: the bytes are what `store` wrote: the folder and the file belong to this user and nobody else may write
    // them (`is_ours`), the hash shows that they are whole, and the engine checks that it made them itself.
    match unsafe { Module::deserialize(&engine.inner, code) } {
        Ok(module) => Some(module),
        Err(error) => {
            debug!(path = %path.display(), %error, "cached machine code does not fit this engine");
            None
        }
    }
}

/// Writes an entry, whole or not at all.
fn store(module: &Module, path: &Path) {
    let written = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        create_private(folder)?;
        let code = module.serialize().map_err(|e| std::io::Error::other(format!("{e:#}")))?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(Digest::of(&code).as_bytes())?;
        file.write_all(&code)?;
        file.persist(path)?;
        Ok(())
    };
    if let Err(error) = written() {
        warn!(path = %path.display(), %error, "compiled machine code is not kept, the next start compiles again");
    }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Whether a file and its folder belong to whoever runs the host, and nobody else may write them.
#[cfg(unix)]
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    [Some(path), path.parent()]
        .into_iter()
        .flatten()
        .all(|p| std::fs::metadata(p).is_ok_and(|m| m.uid() == own && m.mode() & 0o022 == 0))
}

#[cfg(not(unix))]
fn is_ours(_path: &Path) -> bool {
    true
}
