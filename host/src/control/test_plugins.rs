//! Plugins of the tests of what is known of versions: as small as a plugin may be, told apart by name and version.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use sandbar_abi::Manifest;

use super::planner::Plugins;
use crate::discovery::{FileKind, FoundFile};
use crate::plugins::{LoadError, Loader, Plugin, embed};
use crate::sandbox::Engine;
use crate::trust::Policy;

/// Loads a file as the host does.
pub(super) fn load(file: &FoundFile) -> Result<Plugin, LoadError> {
    static LOADER: OnceLock<Loader> = OnceLock::new();
    let loader =
        LOADER.get_or_init(|| Loader { engine: Engine::new().unwrap(), cache: None, trust: Policy::default() });
    loader.load_now(file)
}

/// A transform by this name and of this version, as its file would be loaded.
pub(super) fn plugin(name: &str, version: u32) -> Arc<Plugin> {
    let module = wat::parse_str(
        r#"(module
            (memory (export "memory") 1)
            (func (export "sandbar_abi_v1") (result i32) i32.const 0)
            (func (export "sandbar_reserve") (param i32) (result i32) i32.const 8)
            (func (export "sandbar_open") (param i32 i32) (result i64) i64.const 0)
            (func (export "sandbar_close") (param i32) (result i64) i64.const 0)
            (func (export "sandbar_transform") (param i32 i32) (result i64) i64.const 0))"#,
    );
    let manifest = format!(r#"{{"name":"{name}","version":"{version}.0.0","kinds":["transform"],"abi":1}}"#);
    let wasm = embed(&module.unwrap(), &Manifest::from_json(manifest.as_bytes()).unwrap()).unwrap();
    let file = FoundFile::in_memory(PathBuf::from(name), FileKind::Plugin, wasm.into(), None);
    Arc::new(load(&file).unwrap())
}

/// A connector's own plugin of this version, without transforms.
pub(super) fn own(version: u32) -> Plugins {
    Plugins { own: plugin("step", version), transforms: Vec::new() }
}
