//! Turns a file that has come to rest into a plugin that can be started: read, judged, compiled.

use std::path::Path;

use thiserror::Error;

use super::{Plugin, PluginError, inspect};
use crate::discovery::{FoundFile, ReadError};
use crate::sandbox::{CompileError, Compiled, Engine};
use crate::text::one_line;

/// Why a file is no plugin that can be started.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// It breaks the rules; all that was found.
    #[error("{}", one_line(.0))]
    Refused(Vec<PluginError>),
    /// It does not compile or link.
    #[error("{0}")]
    Compile(#[from] CompileError),
}

/// Loads a plugin. Blocks, for as long as compiling takes where the cache does not hold it.
pub fn load(file: &FoundFile, engine: &Engine, cache: &Path) -> Result<Plugin, LoadError> {
    let wasm = file.read()?;
    let inspection = inspect(&wasm).map_err(LoadError::Refused)?;
    let compiled = Compiled::new(engine, &wasm, Some(cache))?;
    Ok(Plugin { inspection, compiled })
}
