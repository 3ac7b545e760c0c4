//! Holds a module's imports and exports against the ABI's tables. Pure: an outline in, a list of errors out.

use sandbar_abi::signatures::{EXPORTS, IMPORTS, Need, Signature, ValType};
use sandbar_abi::{Manifest, names};
use wasmparser::{ExternalKind, FuncType, Import};

use super::error::PluginError;
use super::module::{Module, export_kind, import_kind, render};

/// Markers of other versions that are named: there is one, where it is no mischief.
const MAX_MARKERS: usize = 8;

/// What every import has to be: a function of the ABI, or of WASI. Without a manifest it is not known what is asked for,
/// and no import is held against that.
pub(super) fn check_imports(module: &Module<'_>, manifest: Option<&Manifest>) -> Vec<PluginError> {
    module.imports.iter().filter_map(|import| check_import(module, import, manifest).err()).collect()
}

/// What must be exported, and the type of all that may be. Without a manifest the kinds are not known, and only what
/// every plugin needs is asked for.
pub(super) fn check_exports(module: &Module<'_>, manifest: Option<&Manifest>) -> Vec<PluginError> {
    if let Some(exported) = other_majors(module) {
        // All else belongs to another contract; holding it against this one would bury the cause.
        return vec![PluginError::AbiMajor { exported }];
    }
    let mut errors = Vec::new();
    errors.extend(check_memory(module).err());
    for export in EXPORTS {
        let needed_by = match export.need {
            Need::Always => Some("every plugin".to_owned()),
            Need::For(kind) if manifest.is_some_and(|manifest| manifest.is(kind)) => Some(format!("a {}", kind.name())),
            Need::For(_) | Need::Optional => None,
        };
        errors.extend(check_export(module, &export.signature, needed_by).err());
    }
    errors
}

fn check_import(module: &Module<'_>, import: &Import<'_>, manifest: Option<&Manifest>) -> Result<(), PluginError> {
    let (from, name) = (import.module.to_owned(), import.name.to_owned());
    if from != names::IMPORT_MODULE && from != names::WASI_MODULE {
        let hint = import_hint(&from);
        return Err(PluginError::ImportModule { module: from, name, hint });
    }
    let Some(ty) = module.import_type(import) else {
        return Err(PluginError::ImportKind { module: from, name, is: import_kind(&import.ty) });
    };
    if from == names::WASI_MODULE {
        return Ok(());
    }
    match IMPORTS.iter().find(|signature| signature.name == name) {
        None => Err(PluginError::ImportUnknown { module: from, name }),
        Some(signature) if !same(signature, ty) => {
            Err(PluginError::ImportType { module: from, name, is: render(ty), expected: signature.to_string() })
        }
        Some(_)
            if name == names::HTTP_SEND && manifest.is_some_and(|manifest| manifest.capabilities.http.is_empty()) =>
        {
            Err(PluginError::ImportUnasked { module: from, name, capability: "capabilities.http" })
        }
        Some(_) => Ok(()),
    }
}

fn import_hint(module: &str) -> &'static str {
    if module.starts_with("sandbar_v") {
        ": it was built for another major version of the ABI"
    } else if module == "wasi_unstable" || module.starts_with("wasi:") {
        ": build for the target wasm32-wasip1"
    } else if module == "env" {
        ": a native library was not linked in, or the target is not wasm32-wasip1"
    } else if module.starts_with("__wbindgen") || module == "wbg" {
        ": wasm-bindgen needs a browser, turn such features of your dependencies off"
    } else {
        ""
    }
}

fn check_memory(module: &Module<'_>) -> Result<(), PluginError> {
    const EXPECTED: &str = "a linear memory";
    if module.memories.len() > 1 {
        return Err(PluginError::Memories { count: module.memories.len() });
    }
    match module.export(names::MEMORY) {
        None => Err(PluginError::ExportMissing {
            name: names::MEMORY,
            needed_by: "every plugin".to_owned(),
            expected: EXPECTED.to_owned(),
        }),
        Some(export) if export.kind != ExternalKind::Memory => Err(PluginError::ExportKind {
            name: names::MEMORY,
            is: export_kind(export.kind),
            expected: EXPECTED.to_owned(),
        }),
        Some(_) => Ok(()),
    }
}

fn check_export(module: &Module<'_>, signature: &Signature, needed_by: Option<String>) -> Result<(), PluginError> {
    let name = signature.name;
    let Some(export) = module.export(name) else {
        return match needed_by {
            Some(needed_by) => {
                Err(PluginError::ExportMissing { name, needed_by, expected: format!("a function {signature}") })
            }
            None => Ok(()),
        };
    };
    match module.export_type(export) {
        None => {
            let expected = format!("a function {signature}");
            Err(PluginError::ExportKind { name, is: export_kind(export.kind), expected })
        }
        Some(ty) if !same(signature, ty) => {
            Err(PluginError::ExportType { name, is: render(ty), expected: signature.to_string() })
        }
        Some(_) => Ok(()),
    }
}

/// The markers of other major versions, if this one's is not there.
fn other_majors(module: &Module<'_>) -> Option<String> {
    if module.export(names::ABI_MARKER).is_some() {
        return None;
    }
    let is_marker = |name: &&str| {
        name.strip_prefix(names::ABI_MARKER_PREFIX)
            .is_some_and(|major| !major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let exported = module.exports.iter().map(|export| export.name).filter(is_marker);
    let markers: Vec<_> = exported.take(MAX_MARKERS).map(|name| format!("`{name}`")).collect();
    (!markers.is_empty()).then(|| markers.join(", "))
}

fn same(signature: &Signature, ty: &FuncType) -> bool {
    let equal =
        |abi: &[ValType], wasm: &[wasmparser::ValType]| abi.iter().map(|ty| wasm_type(*ty)).eq(wasm.iter().copied());
    equal(signature.params, ty.params()) && equal(signature.results, ty.results())
}

fn wasm_type(ty: ValType) -> wasmparser::ValType {
    match ty {
        ValType::I32 => wasmparser::ValType::I32,
        ValType::I64 => wasmparser::ValType::I64,
        ValType::F64 => wasmparser::ValType::F64,
    }
}
