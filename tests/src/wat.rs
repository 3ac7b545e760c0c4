//! Builds guests from WebAssembly text: a whole, well-behaved plugin of which a test replaces single functions, so that a
//! faulty guest is a few lines and its fault is all that is to be seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use sandbar::plugins::embed;
use sandbar_abi::Manifest;
use sandbar_abi::names;
use sandbar_abi::signatures::{EXPORTS, IMPORTS, Need, Signature};
use sandbar_abi::status::Returned;

/// Where the input buffer begins. What lies before it is free for tests.
pub const INPUT: u32 = 4 << 10;
/// Where the input buffer ends, and the data of tests begins.
pub const DATA: u32 = 32 << 10;
/// The name every guest has, unless it is given another.
pub const NAME: &str = "wat";
/// The version every guest has, unless it is given another.
pub const VERSION: &str = "1.2.3";
/// One page of linear memory, in bytes.
const PAGE: u32 = 64 << 10;

/// What guests may call besides the ABI's own host functions: `$name` in their text.
const WASI: &[(&str, &str)] = &[
    ("args_sizes_get", "(param i32 i32) (result i32)"),
    ("environ_sizes_get", "(param i32 i32) (result i32)"),
    ("fd_close", "(param i32) (result i32)"),
    ("fd_prestat_get", "(param i32 i32) (result i32)"),
    ("fd_read", "(param i32 i32 i32 i32) (result i32)"),
    ("fd_write", "(param i32 i32 i32 i32) (result i32)"),
    ("path_create_directory", "(param i32 i32 i32) (result i32)"),
    ("path_filestat_set_times", "(param i32 i32 i32 i32 i64 i64 i32) (result i32)"),
    ("path_link", "(param i32 i32 i32 i32 i32 i32 i32) (result i32)"),
    ("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"),
    ("path_remove_directory", "(param i32 i32 i32) (result i32)"),
    ("path_rename", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
    ("path_symlink", "(param i32 i32 i32 i32 i32) (result i32)"),
    ("path_unlink_file", "(param i32 i32 i32) (result i32)"),
    ("poll_oneoff", "(param i32 i32 i32 i32) (result i32)"),
    ("proc_exit", "(param i32)"),
    ("random_get", "(param i32 i32) (result i32)"),
];

/// Counts a call and puts the count in the state, under itself as one digit: what a call that succeeds leaves behind.
const BEGIN: &str = r#"
    (global $calls (mut i32) (i32.const 0))
    (func $begin (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 0) (i32.add (global.get $calls) (i32.const 48)))
        (drop (call $state_put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))
        (global.get $calls))"#;

/// A guest that takes every record, returns none, and keeps to every rule, but for what is replaced.
#[derive(Clone, Debug)]
pub struct Guest {
    manifest: serde_json::Value,
    bodies: BTreeMap<String, String>,
    fields: String,
    end: u32,
    pages: u32,
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// A guest that is a source, a sink and a transform.
    #[must_use]
    pub fn new() -> Self {
        Self {
            manifest: serde_json::json!({
                "name": NAME, "version": VERSION, "kinds": ["source", "sink", "transform"], "abi": names::ABI_MAJOR,
            }),
            bodies: BTreeMap::new(),
            fields: String::new(),
            end: DATA,
            pages: 1,
        }
    }

    /// Sets a field of the manifest.
    #[must_use]
    pub fn manifest(mut self, field: &str, value: impl Into<serde_json::Value>) -> Self {
        self.manifest[field] = value.into();
        self
    }

    /// Replaces what an export does. Its parameters are `local.get 0` and so on; the body may begin with more locals.
    #[must_use]
    pub fn with(mut self, export: &str, body: &str) -> Self {
        self.bodies.insert(export.to_owned(), body.to_owned());
        self
    }

    /// Makes the second call of an export go wrong. Each call before and after puts its number in the state.
    #[must_use]
    pub fn second_call(self, export: &str, fault: &str) -> Self {
        self.with(export, &format!("(if (i32.eq (call $begin) (i32.const 2)) (then {fault})) (i64.const 0)"))
    }

    /// Makes the second call of an export answer with these bytes.
    #[must_use]
    pub fn second_answer(mut self, export: &str, bytes: &[u8]) -> Self {
        let answer = self.data(bytes);
        self.second_call(export, &format!("(return (i64.const {answer}))"))
    }

    /// Makes every call of an export answer with these bytes.
    #[must_use]
    pub fn answers(mut self, export: &str, bytes: &[u8]) -> Self {
        let answer = self.data(bytes);
        self.with(export, &format!("(drop (call $begin)) (i64.const {answer})"))
    }

    /// Adds fields to the module: functions, globals, data.
    #[must_use]
    pub fn field(mut self, text: &str) -> Self {
        self.fields.push_str(text);
        self
    }

    /// Gives the guest at least this much memory at its start, in pages of 64 KiB.
    #[must_use]
    pub fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// Puts bytes into the guest's memory, and returns what an export returns to answer with them.
    pub fn data(&mut self, bytes: &[u8]) -> i64 {
        let at = self.end;
        let mut text = String::with_capacity(bytes.len() * 3);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\{byte:02x}");
        }
        let _ = write!(self.fields, "(data (i32.const {at}) \"{text}\")");
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.end = at.saturating_add(len).next_multiple_of(8);
        Returned::pack(at, len)
    }

    /// The plugin, manifest included.
    pub fn build(&self) -> Result<Vec<u8>> {
        let wasm = wat::parse_str(self.text())?;
        let manifest = Manifest::from_json(&serde_json::to_vec(&self.manifest)?)?;
        embed(&wasm, &manifest).context("the manifest does not fit")
    }

    /// The module, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = "(module\n".to_owned();
        let asks_http = self.manifest["capabilities"]["http"].as_array().is_some_and(|hosts| !hosts.is_empty());
        for import in IMPORTS.iter().filter(|import| import.name != names::HTTP_SEND || asks_http) {
            let (module, name, ty) = (names::IMPORT_MODULE, import.name, types(import));
            let _ = writeln!(text, "(import \"{module}\" \"{name}\" (func ${name} {ty}))");
        }
        for (name, ty) in WASI {
            let _ = writeln!(text, "(import \"{}\" \"{name}\" (func ${name} {ty}))", names::WASI_MODULE);
        }
        let pages = self.pages.max(self.end.div_ceil(PAGE));
        let _ = writeln!(text, "(memory (export \"{}\") {pages})", names::MEMORY);
        for export in EXPORTS {
            let (name, ty) = (export.signature.name, types(&export.signature));
            let body = match (self.bodies.get(name), export.need) {
                (Some(body), _) => body.clone(),
                (None, Need::Optional) => continue,
                (None, _) => behaved(name),
            };
            let _ = writeln!(text, "(func (export \"{name}\") {ty} {body})");
        }
        text + BEGIN + &self.fields + ")"
    }
}

fn types(signature: &Signature) -> String {
    let list = |word: &str, types: &[sandbar_abi::signatures::ValType]| {
        let types: Vec<_> = types.iter().map(ToString::to_string).collect();
        if types.is_empty() { String::new() } else { format!("({word} {})", types.join(" ")) }
    };
    format!("{} {}", list("param", signature.params), list("result", signature.results))
}

/// What an export does that is not replaced.
fn behaved(export: &str) -> String {
    match export {
        names::ABI_MARKER => "(i32.const 0)".to_owned(),
        names::RESERVE => {
            format!("(select (i32.const {INPUT}) (i32.const 0) (i32.le_u (local.get 0) (i32.const {})))", DATA - INPUT)
        }
        _ => "(i64.const 0)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use sandbar::plugins::inspect;

    use super::*;

    #[test]
    fn the_guest_passes_the_gate() {
        let wasm = Guest::new().build().unwrap();
        let inspection = inspect(&wasm).unwrap();
        assert_eq!((inspection.manifest.name.as_str(), inspection.memory.min_pages), (NAME, 1));
    }

    #[test]
    fn data_and_replacements_reach_the_module() {
        let guest = Guest::new().answers(names::POLL, &[7; 100_000]).with(names::CHECK, "(i64.const -1)");
        let inspection = inspect(&guest.build().unwrap()).unwrap();
        assert!(inspection.optional.check && !inspection.optional.committed);
        assert_eq!(inspection.memory.min_pages, 3);
    }
}
