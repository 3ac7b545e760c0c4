//! What is known of a plugin that passed every check: for the registry, the sandbox, and `sandbar inspect --json`.

use sandbar_abi::{Manifest, names};
use serde::Serialize;

use super::module::{Module, export_kind, import_kind, render};
use crate::digest::Digest;

/// A plugin's description, read from its bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The major version of the ABI it speaks. The minor is known only once it runs.
    pub abi_major: u16,
    /// Names this very content.
    pub sha256: Digest,
    /// The file's length, in bytes.
    pub size: u64,
    /// Its linear memory.
    pub memory: Memory,
    /// What it needs of the host.
    pub imports: Vec<Import>,
    /// What it offers, helpers of its toolchain included.
    pub exports: Vec<Export>,
    /// Which of the optional calls it takes.
    pub optional: OptionalExports,
}

/// A linear memory, in pages of 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What it starts with.
    pub min_pages: u64,
    /// What it may grow to; `None` leaves that to the host's limit.
    pub max_pages: Option<u64>,
}

/// An imported function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The module: the ABI's or WASI's.
    pub module: String,
    /// The name in it.
    pub name: String,
    /// The function's type, as `(i32, i32) -> i64`.
    #[serde(rename = "type")]
    pub ty: String,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Function, memory, table or global.
    pub kind: &'static str,
    /// A function's type, as `(i32, i32) -> i64`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub ty: Option<String>,
}

/// The optional exports, so that the sandbox asks once and not at every call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OptionalExports {
    /// `_initialize`
    pub initialize: bool,
    /// `sandbar_committed`
    pub committed: bool,
    /// `sandbar_check`
    pub check: bool,
    /// `sandbar_discover`
    pub discover: bool,
    /// `sandbar_task_configs`
    pub task_configs: bool,
    /// `sandbar_assigned`
    pub assigned: bool,
    /// `sandbar_revoked`
    pub revoked: bool,
}

impl Inspection {
    /// Describes a module that passed every check. `None` if it has no memory, which the checks rule out.
    pub(super) fn of(wasm: &[u8], module: &Module<'_>, manifest: Manifest) -> Option<Self> {
        let memory = module.memories.first()?;
        let imports = module.imports.iter().map(|import| Import {
            module: import.module.to_owned(),
            name: import.name.to_owned(),
            ty: module.import_type(import).map_or_else(|| import_kind(&import.ty).to_owned(), render),
        });
        let exports = module.exports.iter().map(|export| Export {
            name: export.name.to_owned(),
            kind: export_kind(export.kind),
            ty: module.export_type(export).map(render),
        });
        Some(Self {
            manifest,
            abi_major: names::ABI_MAJOR,
            sha256: Digest::of(wasm),
            size: wasm.len() as u64,
            memory: Memory { min_pages: memory.initial, max_pages: memory.maximum },
            imports: imports.collect(),
            exports: exports.collect(),
            optional: OptionalExports::of(module),
        })
    }
}

impl OptionalExports {
    fn of(module: &Module<'_>) -> Self {
        let has = |name| module.export(name).is_some();
        Self {
            initialize: has(names::INITIALIZE),
            committed: has(names::COMMITTED),
            check: has(names::CHECK),
            discover: has(names::DISCOVER),
            task_configs: has(names::TASK_CONFIGS),
            assigned: has(names::ASSIGNED),
            revoked: has(names::REVOKED),
        }
    }
}
