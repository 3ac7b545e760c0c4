//! Modules that the gate refuses: features that are off, imports nobody offers, exports that are not what they must be.

use anyhow::Result;
use sandbar::plugins::embed;
use sandbar_abi::signatures::{EXPORTS, Need};
use sandbar_abi::{Manifest, names};

use super::{Fate, Hostile};
use crate::wat::Guest;

pub(super) fn all() -> Result<Vec<Hostile>> {
    let mut all = features()?;
    all.extend(imports()?);
    all.extend(exports()?);
    Ok(all)
}

/// A module of this text, with a manifest.
pub(super) fn module(name: &str, text: &str, because: &str) -> Result<Hostile> {
    let manifest = format!(r#"{{"name":"{name}","version":"1.2.3","kinds":["source","sink","transform"],"abi":1}}"#);
    let wasm = embed(&wat::parse_str(text)?, &Manifest::from_json(manifest.as_bytes())?)?;
    Ok(Hostile::new(name, wasm, Fate::Refused(because.to_owned())))
}

/// Each proposal that is off has its module.
fn features() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for (name, memory) in
        [("shared-memory", "1 1 shared"), ("memory64", "i64 1"), ("custom-page-sizes", "1 (pagesize 1)")]
    {
        let text = Guest::new().text().replace("(export \"memory\") 1", &format!("(export \"memory\") {memory}"));
        let feature = if name == "shared-memory" { "threads" } else { name };
        all.push(module(&format!("feature-{name}"), &text, &format!("the WebAssembly feature \"{feature}\""))?);
    }
    for (name, field) in [
        ("threads", "(func (drop (i32.atomic.load (i32.const 0))))"),
        ("multi-memory", "(memory 1)"),
        ("tail-call", "(func $again (return_call $again))"),
        ("extended-const", "(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
        ("gc", "(type (struct (field i32)))"),
        ("function-references", "(func (param (ref func)))"),
        ("exceptions", "(tag $thrown) (func (throw $thrown))"),
        ("relaxed-simd", "(func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))"),
        ("wide-arithmetic", "(func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0)))"),
        ("stack-switching", "(type $f (func)) (type $c (cont $f))"),
        ("shared-everything-threads", "(global (shared i32) (i32.const 0))"),
    ] {
        let because = match name {
            // References to functions came as a part of it.
            "stack-switching" | "shared-everything-threads" | "function-references" | "gc" => "the module ",
            "multi-memory" => "the module has 2 memories",
            _ => &format!("the WebAssembly feature \"{name}\""),
        };
        all.push(module(&format!("feature-{name}"), &Guest::new().field(field).text(), because)?);
    }
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    let because = "the file is a WebAssembly component".to_owned();
    all.push(Hostile::new("feature-component", component, Fate::Refused(because)));
    Ok(all)
}

fn imports() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for (name, import, because) in [
        ("env", r#""env" "malloc" (func)"#, "\"env\" \"malloc\": the host has no module of that name"),
        ("emscripten", r#""env" "memory" (memory 1)"#, "\"env\" \"memory\": the host has no module of that name"),
        ("sockets", r#""wasi:sockets/tcp" "connect" (func)"#, "\"wasi:sockets/tcp\" \"connect\": the host has no"),
        ("old-wasi", r#""wasi_unstable" "fd_write" (func)"#, "build for the target wasm32-wasip1"),
        ("next-major", r#""sandbar_v2" "log" (func)"#, "built for another major version"),
        ("commit", r#""sandbar_v1" "commit" (func)"#, "there is no such function in this version of the host"),
        ("produce", r#""sandbar_v1" "produce" (func (param i32 i32))"#, "there is no such function"),
        ("no-name", r#""sandbar_v1" "" (func)"#, "there is no such function"),
        (
            "wrong-type",
            r#""sandbar_v1" "log" (func (param i64))"#,
            "has type (i64) -> (), expected (i32, i32, i32) -> ()",
        ),
        ("global", r#""sandbar_v1" "log" (global i32)"#, "is a global, only functions may be imported"),
        ("table", r#""sandbar_v1" "log" (table 1 funcref)"#, "is a table, only functions may be imported"),
        ("memory", r#""sandbar_v1" "log" (memory 1)"#, "is a memory, only functions may be imported"),
        ("wasi-global", r#""wasi_snapshot_preview1" "fd_write" (global (mut i32))"#, "is a global, only functions"),
    ] {
        let text = Guest::new().text().replacen("(module", &format!("(module (import {import})"), 1);
        all.push(module(&format!("import-{name}"), &text, because)?);
    }
    let tag = Guest::new().text().replacen("(module", r#"(module (import "sandbar_v1" "log" (tag))"#, 1);
    all.push(module("import-tag", &tag, "is a tag, only functions may be imported")?);
    // WASI's functions are the linker's to know.
    let text = Guest::new().text().replace("\"random_get\"", "\"random_got\"");
    let mut unknown = module("import-wasi-unknown", &text, "")?;
    unknown.fate = Fate::DoesNotCompile("random_got".to_owned());
    all.push(unknown);
    let text = Guest::new().text().replace(
        "\"random_get\" (func $random_get (param i32 i32) (result i32))",
        "\"random_get\" (func $random_get (param i64) (result i32))",
    );
    let mut wrong = module("import-wasi-wrong-type", &text, "")?;
    wrong.fate = Fate::DoesNotCompile("random_get".to_owned());
    all.push(wrong);
    Ok(all)
}

/// Every export of the wrong type, every one that is needed missing, and some that are no functions.
fn exports() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for export in EXPORTS {
        let name = export.signature.name;
        let short = name.trim_start_matches("sandbar_").trim_start_matches('_').replace('_', "-");
        let without = Guest::new().text().replace(&format!("(export \"{name}\")"), "");
        let with = |field: &str| format!("{}{field})", without.strip_suffix(')').unwrap_or(&without));
        let odd = with(&format!("(func (export \"{name}\") (param f32) (result f64) (f64.const nan))"));
        let because = format!("export \"{name}\": has type (f32) -> f64, expected ");
        all.push(module(&format!("export-{short}-odd"), &odd, &because)?);
        let global = with(&format!("(global (export \"{name}\") i64 (i64.const 0))"));
        all.push(module(&format!("export-{short}-global"), &global, &format!("export \"{name}\": is a global"))?);
        if export.need != Need::Optional {
            let because = format!("export \"{name}\" is missing");
            all.push(module(&format!("export-{short}-missing"), &without, &because)?);
        }
    }
    let hidden = Guest::new().text().replace("(export \"memory\")", "");
    all.push(module("export-memory-missing", &hidden, "export \"memory\" is missing")?);
    let global = Guest::new().field("(global (export \"memory\") i32 (i32.const 0))").text();
    let global = global.replacen("(export \"memory\") 1", "1", 1);
    all.push(module("export-memory-global", &global, "export \"memory\": is a global, expected a linear memory")?);
    let future = Guest::new().text().replace(names::ABI_MARKER, "sandbar_abi_v4294967297");
    all.push(module("export-marker-of-the-future", &future, "exports `sandbar_abi_v4294967297`")?);
    let start = Guest::new().field("(func $spin (loop $again (br $again))) (start $spin)").text();
    all.push(module("start-section-loops", &start, "the module has a start section")?);
    Ok(all)
}
