//! Turns a validated module into machine code that can be instantiated, or takes it from the cache.

use std::sync::Arc;

use thiserror::Error;
use tracing::{debug, warn};
use wasmtime::{InstancePre, Module};

use super::cache::Cache;
use super::engine::Engine;
use super::host_state::HostState;
use crate::digest::Digest;

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
    /// Compiles a module, or takes it from the cache. Takes a while: not for an async worker.
    ///
    /// A cache that cannot be read or written costs time, not the plugin.
    pub fn new(engine: &Engine, wasm: &[u8], cache: Option<&Cache>) -> Result<Self, CompileError> {
        let error = |step, e: wasmtime::Error| CompileError { step, message: one_line(&e) };
        let cache = cache.map(|cache| (cache, Digest::of(wasm)));
        let cached = cache.and_then(|(cache, digest)| load(engine, cache, &digest));
        let (module, origin) = match cached {
            Some(module) => (module, Origin::Cache),
            None => {
                let module = Module::new(&engine.inner, wasm).map_err(|e| error("compile", e))?;
                if let Some((cache, digest)) = cache {
                    match module.serialize() {
                        Ok(code) => cache.store(&engine.id, &digest, &code),
                        Err(error) => warn!("machine code cannot be kept: {error:#}"),
                    }
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

/// Takes a module from the cache, if it is there.
#[allow(unsafe_code)]
fn load(engine: &Engine, cache: &Cache, digest: &Digest) -> Option<Module> {
    let code = cache.load(&engine.id, digest)?;
    // SAFETY: these bytes are what `new` stored for this engine and this very module. `Cache::load` returns nothing else:
    // it checks a code over engine, module and bytes that only this host has the key to make. The engine checks beside
    // that the version and the settings they were made with are its own.
    match unsafe { Module::deserialize(&engine.inner, code) } {
        Ok(module) => Some(module),
        Err(error) => {
            debug!(sha256 = %digest, "cached machine code does not fit this engine: {error:#}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    //! What is compiled once is taken from the cache, by the engine that made it.

    use super::*;

    #[test]
    fn a_module_is_compiled_once() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new().unwrap();
        let open = || Cache::open(&engine, &folder.path().join("cache"), folder.path(), 1 << 30).unwrap();
        let module = |code: i32| {
            wat::parse_str(format!("(module (func (export \"f\") (result i32) i32.const {code}))")).unwrap()
        };
        let origin = |cache: Option<&Cache>, code| Compiled::new(&engine, &module(code), cache).unwrap().origin;
        let cache = open();
        assert_eq!(origin(Some(&cache), 1), Origin::Compiled);
        assert_eq!(origin(Some(&cache), 1), Origin::Cache);
        assert_eq!(origin(Some(&cache), 2), Origin::Compiled);
        assert_eq!(origin(Some(&open()), 1), Origin::Cache);
        assert_eq!(origin(None, 1), Origin::Compiled);
    }

    #[test]
    fn an_engine_of_the_same_settings_is_the_same_engine() {
        let (one, other) = (Engine::new().unwrap(), Engine::new().unwrap());
        assert_eq!(one.id, other.id);
        assert_ne!(one.id, Digest::of(b""));
    }
}
