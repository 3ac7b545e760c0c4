//! Holds the gate to its word: what is let through, what is refused, and that the refusal names the thing.

use proptest::prelude::*;
use sandbar_abi::Manifest;
use sandbar_abi::names;

use super::*;
use crate::plugins::embed;
use crate::plugins::sections::write_custom;

/// A plugin that is a source, a sink and a transform; `extra` is put into the module.
fn text(extra: &str) -> String {
    format!(
        r#"(module
            (import "sandbar_v1" "log" (func (param i32 i32 i32)))
            (import "sandbar_v1" "state_get" (func (param i32 i32 i32 i32) (result i64)))
            (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
            (memory (export "memory") 2 100)
            (func (export "sandbar_abi_v1") (result i32) i32.const 0)
            (func (export "sandbar_reserve") (param i32) (result i32) i32.const 8)
            (func (export "sandbar_open") (param i32 i32) (result i64) i64.const 0)
            (func (export "sandbar_close") (param i32) (result i64) i64.const 0)
            (func (export "sandbar_poll") (param i32 i32 i32) (result i64) i64.const 0)
            (func (export "sandbar_write") (param i32 i32) (result i64) i64.const 0)
            (func (export "sandbar_flush") (result i64) i64.const 0)
            (func (export "sandbar_transform") (param i32 i32) (result i64) i64.const 0)
            {extra})"#
    )
}

fn manifest(kinds: &str) -> Manifest {
    let json = format!(r#"{{"name":"all","version":"1.2.3","kinds":{kinds},"abi":1}}"#);
    Manifest::from_json(json.as_bytes()).expect("a valid manifest")
}

fn build(text: &str) -> Vec<u8> {
    let wasm = wat::parse_str(text).expect("the text is a module");
    embed(&wasm, &manifest(r#"["source","sink","transform"]"#)).expect("it takes a manifest")
}

fn errors(wasm: &[u8]) -> Vec<String> {
    inspect(wasm).expect_err("it must be refused").iter().map(ToString::to_string).collect()
}

/// The module is refused for exactly these reasons, in this order.
#[track_caller]
fn refused(wasm: &[u8], reasons: &[&str]) {
    let errors = errors(wasm);
    assert_eq!(errors.len(), reasons.len(), "{errors:#?}");
    for (error, reason) in errors.iter().zip(reasons) {
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
    }
}

#[test]
fn a_whole_plugin_is_described() {
    let extra =
        r#"(func (export "sandbar_committed") (param i64) (result i64) i64.const 0) (func (export "_initialize"))"#;
    let wasm = build(&text(extra));
    let inspection = inspect(&wasm).expect("it is a plugin");
    assert_eq!(inspection.manifest.name, "all");
    assert_eq!(inspection.abi_major, 1);
    assert_eq!(inspection.size, wasm.len() as u64);
    assert_eq!(inspection.sha256, crate::digest::Digest::of(&wasm));
    assert_eq!((inspection.memory.min_pages, inspection.memory.max_pages), (2, Some(100)));
    assert_eq!(inspection.imports.len(), 3);
    assert_eq!(inspection.imports[1].ty, "(i32, i32, i32, i32) -> i64");
    assert!(inspection.optional.committed && inspection.optional.initialize && !inspection.optional.check);

    let json = serde_json::to_value(&inspection).expect("it is JSON");
    assert_eq!(json["exports"][0]["kind"], "memory");
    assert_eq!(json["exports"][2]["type"], "(i32) -> i32");
    assert_eq!(json["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn only_what_the_kinds_need_is_asked_for() {
    let source = wat::parse_str(text("").replace("sandbar_write", "x").replace("sandbar_flush", "y")).expect("wat");
    let as_source = embed(&source, &manifest(r#"["source"]"#)).expect("it takes a manifest");
    assert!(inspect(&as_source).is_ok());
    let as_sink = embed(&source, &manifest(r#"["sink"]"#)).expect("it takes a manifest");
    refused(
        &as_sink,
        &[
            "export \"sandbar_write\" is missing: a sink needs a function (i32, i32) -> i64",
            "export \"sandbar_flush\" is missing: a sink needs a function () -> i64",
        ],
    );
}

#[test]
fn all_errors_come_at_once_and_name_the_thing() {
    let wrong = text(
        r#"(func (export "sandbar_check") (param i32) (result i64) i64.const 0)
           (global (export "sandbar_discover") i32 (i32.const 1))
           (func $start) (start $start)"#,
    )
    .replace(r#""log" (func (param i32 i32 i32))"#, r#""log" (func (param i32 i32))"#)
    .replace(r#""state_get""#, r#""state_got""#)
    .replace(r#""random_get" (func (param i32 i32) (result i32))"#, r#""random" (global i32)"#)
    .replace(r#"(export "memory")"#, "")
    .replace(r#""sandbar_open" "#, r#""sandbar_opened" "#)
    .replace(r#""sandbar_open")"#, r#""sandbar_opened")"#);
    let wasm = wat::parse_str(wrong).expect("the text is a module");
    refused(
        &wasm,
        &[
            "start section",
            "custom section \"sandbar.manifest\" is missing",
            "import \"sandbar_v1\" \"log\": has type (i32, i32) -> (), expected (i32, i32, i32) -> ()",
            "import \"sandbar_v1\" \"state_got\": there is no such function",
            "import \"wasi_snapshot_preview1\" \"random\": is a global",
            "export \"memory\" is missing",
            "export \"sandbar_open\" is missing: every plugin needs",
            "export \"sandbar_check\": has type (i32) -> i64, expected () -> i64",
            "export \"sandbar_discover\": is a global, expected a function () -> i64",
        ],
    );
}

#[test]
fn imports_from_elsewhere_are_refused_with_a_hint() {
    for (import, hint) in [
        (r#"(import "env" "malloc" (func))"#, "a native library was not linked in"),
        (r#"(import "sandbar_v2" "log" (func))"#, "another major version"),
        (r#"(import "wasi:io/poll" "poll" (func))"#, "wasm32-wasip1"),
        (r#"(import "wbg" "now" (func))"#, "wasm-bindgen"),
        (r#"(import "other" "thing" (func))"#, "\"other\" \"thing\""),
        (r#"(import "sandbar_v1" "memory" (table 1 funcref))"#, "is a table"),
    ] {
        refused(&build(&text("").replace("(module", &format!("(module {import}"))), &[hint]);
    }
}

#[test]
fn another_major_is_the_only_thing_said() {
    let wasm = build(&text("").replace("sandbar_abi_v1", "sandbar_abi_v2").replace("sandbar_open", "sandbar_begin"));
    refused(&wasm, &["exports `sandbar_abi_v2`, this host speaks `sandbar_abi_v1`"]);
}

#[test]
fn a_marker_is_a_number_and_both_majors_are_fine() {
    let odd = build(&text("").replace("sandbar_abi_v1", "sandbar_abi_vX"));
    refused(&odd, &["export \"sandbar_abi_v1\" is missing"]);
    assert!(inspect(&build(&text(r#"(func (export "sandbar_abi_v2") (result i32) i32.const 0)"#))).is_ok());
}

#[test]
fn features_that_plugins_may_not_use_are_named() {
    for (extra, feature) in [
        ("(func (drop (i32.atomic.load (i32.const 0))))", "threads"),
        ("(func $t (result i32) (return_call $t))", "tail-call"),
        ("(tag (param i32))", "exceptions"),
        ("(func (param externref))", "gc-types"),
        ("(type (struct (field i32)))", "gc"),
        ("(func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))", "relaxed-simd"),
    ] {
        let errors = errors(&build(&text(extra)));
        assert!(errors[0].contains(&format!("feature \"{feature}\"")), "{feature}: {errors:?}");
    }
    let shared = text("").replace(r#"(export "memory") 2 100"#, r#"(export "memory") 2 100 shared"#);
    refused(&build(&shared), &["feature \"threads\""]);
    let wide = text("").replace(r#"(export "memory") 2 100"#, r#"(export "memory") i64 2 100"#);
    refused(&build(&wide), &["feature \"memory64\""]);
    refused(&build(&text("(memory 1)")), &["multiple memories", "the module has 2 memories"]);
}

#[test]
fn features_that_plugins_may_use_pass() {
    let extra = r#"
        (func (param v128) (result v128) (i8x16.add (local.get 0) (local.get 0)))
        (func (param i32) (result i32) (i32.extend8_s (local.get 0)))
        (func (param f64) (result i64) (i64.trunc_sat_f64_s (local.get 0)))
        (func (result i32 i32) i32.const 1 i32.const 2)
        (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))
        (table 1 funcref)
        (func (result funcref) (table.get 0 (i32.const 0)))
        (global (export "counter") (mut i32) (i32.const 0))"#;
    assert!(inspect(&build(&text(extra))).is_ok());
}

#[test]
fn a_body_that_does_not_validate_is_refused_beside_the_contract() {
    let wasm = build(&text("(func (result i32) i64.const 1)").replace("\"sandbar_reserve\"", "\"reserve\""));
    refused(&wasm, &["not valid", "export \"sandbar_reserve\" is missing"]);
}

#[test]
fn the_manifest_must_be_there_once_and_be_valid() {
    let bare = wat::parse_str(text("")).expect("wat");
    refused(&bare, &["is missing: the SDK writes it"]);
    let invalid = text("(@custom \"sandbar.manifest\" \"\\02\\00\\00\\00{}\")");
    refused(&wat::parse_str(&invalid).expect("wat"), &["manifest is not valid: missing field `name`"]);
    let mut twice = build(&text(""));
    let again = manifest(r#"["sink"]"#).to_section().expect("it fits");
    write_custom(&mut twice, names::MANIFEST_SECTION, &again).expect("it fits");
    refused(&twice, &["is there 2 times"]);
}

#[test]
fn the_errors_of_one_file_are_bounded() {
    let imports: String = (0..MAX_ERRORS + 9).map(|n| format!("(import \"env\" \"f{n}\" (func))")).collect();
    let errors = errors(&build(&text("").replace("(module", &format!("(module {imports}"))));
    assert_eq!(errors.len(), MAX_ERRORS + 1);
    assert_eq!(errors.last().map(String::as_str), Some("and 9 more errors"));
}

#[test]
fn a_cut_file_is_never_a_plugin() {
    let wasm = build(&text(""));
    for cut in 0..wasm.len() {
        assert!(inspect(&wasm[..cut]).is_err(), "cut at {cut}");
    }
    refused(&wasm[..wasm.len() - 1], &["truncated: the custom section"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = inspect(&bytes);
        let _ = inspect(&[b"\0asm\x01\0\0\0".as_slice(), &bytes].concat());
    }

    #[test]
    fn no_damage_makes_it_panic(at in any::<proptest::sample::Index>(), with in any::<[u8; 3]>()) {
        let mut wasm = build(&text(""));
        let at = at.index(wasm.len() - with.len());
        wasm[at..at + with.len()].copy_from_slice(&with);
        let _ = inspect(&wasm);
    }
}
