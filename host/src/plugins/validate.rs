//! The gate: decides from its bytes alone whether a file is a plugin this host can run, and says everything that is wrong.

use sandbar_abi::Manifest;
use wasmparser::{Validator, WasmFeatures};

use super::bounds::check_bounds;
use super::contract::{check_exports, check_imports};
use super::error::PluginError;
use super::header;
use super::inspection::Inspection;
use super::module::Module;
use super::sections::sections;

/// What a plugin may use of WebAssembly: version 2 of the standard without references to host objects. Threads,
/// 64-bit memories, garbage collection, exceptions, tail calls and relaxed SIMD stay off: none is needed to move
/// records, and each widens what the sandbox has to hold.
pub const PLUGIN_FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::SIMD);

/// The most errors that are listed for one file: the first ones tell the cause, a hostile file could hold a million.
const MAX_ERRORS: usize = 64;

/// Reads a plugin without running or compiling any of it. On refusal every reason is listed, the deepest first: a file that
/// is no module at all has one reason, a module that breaks the contract in five places has five.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Vec<PluginError>> {
    header::check(bytes).map_err(one)?;
    sections(bytes).map_err(one)?;
    let module = Module::parse(bytes).map_err(one)?;

    let mut errors = Vec::new();
    match validate(bytes) {
        Ok(()) => errors.extend(check_bounds(bytes, &module)),
        Err(error) => errors.push(error),
    }
    if module.has_start {
        errors.push(PluginError::StartSection);
    }
    let manifest = read_manifest(&module).map_err(|error| errors.push(error)).ok();
    errors.extend(check_imports(&module, manifest.as_ref()));
    errors.extend(check_exports(&module, manifest.as_ref()));

    match manifest.filter(|_| errors.is_empty()).and_then(|manifest| Inspection::of(bytes, &module, manifest)) {
        Some(inspection) => Ok(inspection),
        None => Err(capped(errors)),
    }
}

fn one(error: PluginError) -> Vec<PluginError> {
    vec![error]
}

fn capped(mut errors: Vec<PluginError>) -> Vec<PluginError> {
    if errors.len() > MAX_ERRORS {
        let count = errors.len() - MAX_ERRORS;
        errors.truncate(MAX_ERRORS);
        errors.push(PluginError::More { count });
    }
    errors
}

fn validate(bytes: &[u8]) -> Result<(), PluginError> {
    match Validator::new_with_features(PLUGIN_FEATURES).validate_all(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(PluginError::invalid(&error)),
    }
}

fn read_manifest(module: &Module<'_>) -> Result<Manifest, PluginError> {
    match module.manifests.as_slice() {
        [] => Err(PluginError::ManifestMissing),
        [section] => Ok(Manifest::from_section(section)?),
        more => Err(PluginError::ManifestRepeated { count: more.len() }),
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
