//! `embed` and `inspect`: what is in a plugin's file, and who signed it.

use std::fs;

use serde_json::Value;

use crate::{MANIFEST, done, fails, folder, module_with, output, put, signed, text, with_plugin};

#[test]
fn embed_and_inspect_agree() {
    let folder = with_plugin();
    let page = done(folder.path(), &["inspect", "plugins/upper.wasm"]);
    for words in ["upper 1.2.3 (transform)", "Upper-cases values.", "UPPER_LOCALE", "upper|lower", "Which way.", "log"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let json: Value = serde_json::from_str(&done(folder.path(), &["inspect", "plugins/upper.wasm", "--json"])).unwrap();
    assert_eq!(json["manifest"]["name"], "upper");
    let wasm = fs::read(folder.path().join("plugins/upper.wasm")).unwrap();
    assert_eq!(json["sha256"], sandbar::digest::Digest::of(&wasm).to_string());

    // In place, with another manifest.
    put(&folder, "manifest.json", MANIFEST.replace("1.2.3", "2.0.0"));
    done(folder.path(), &["embed", "plugins/upper.wasm", "manifest.json"]);
    assert!(done(folder.path(), &["inspect", "plugins/upper.wasm"]).contains("2.0.0"));
    let left: Vec<_> = fs::read_dir(folder.path().join("plugins")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn embed_refuses_what_cannot_be_a_plugin_and_leaves_it_alone() {
    let folder = folder();
    put(&folder, "text.wasm", "text");
    put(&folder, "empty.wasm", wat::parse_str("(module)").unwrap());
    put(&folder, "manifest.json", MANIFEST);
    put(&folder, "bad.json", r#"{"name": "", "version": "1.0.0", "kinds": ["sink"], "abi": 1}"#);
    let told = fails(folder.path(), &["embed", "text.wasm", "manifest.json"], 1);
    assert!(told.contains("error: text.wasm: the file is not WebAssembly"), "{told}");
    let told = fails(folder.path(), &["embed", "empty.wasm", "bad.json"], 1);
    assert!(told.contains("error: bad.json: manifest field \"name\"") && told.contains("hint: "), "{told}");
    assert_eq!(fs::read(folder.path().join("text.wasm")).unwrap(), b"text");

    let output = output(folder.path(), &["embed", "empty.wasm", "manifest.json"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("warning: empty.wasm: export \"memory\" is missing"));
    assert!(fails(folder.path(), &["inspect", "empty.wasm"], 1).contains("error: empty.wasm: export"));
}

#[test]
fn inspect_tells_as_what_a_plugin_declares_to_be_exactly_once() {
    let folder = folder();
    let source_and_sink = r#"(func (export "sandbar_poll") (param i32 i32 i32) (result i64) i64.const 0)
        (func (export "sandbar_write") (param i32 i32) (result i64) i64.const 0)
        (func (export "sandbar_flush") (result i64) i64.const 0)"#;
    put(&folder, "both.wasm", module_with(source_and_sink));
    for (says, shown) in [
        ("", "exactly once    not declared"),
        (r#", "exactly_once": true"#, "exactly once    source, sink"),
        (r#", "idempotent_write": true"#, "exactly once    sink"),
    ] {
        let manifest =
            format!(r#"{{"name": "both", "version": "1.0.0", "kinds": ["source", "sink"], "abi": 1{says}}}"#);
        put(&folder, "manifest.json", manifest);
        done(folder.path(), &["embed", "both.wasm", "manifest.json"]);
        let page = done(folder.path(), &["inspect", "both.wasm"]);
        assert!(page.lines().any(|line| line.trim() == shown), "{shown}: {page}");
    }
}

#[test]
fn inspect_tells_who_signed_a_plugin() {
    let folder = with_plugin();
    let inspect = ["inspect", "plugins/upper.wasm"];
    assert!(done(folder.path(), &inspect).contains("signature       none"));
    assert!(
        fails(folder.path(), &["inspect", "plugins/upper.wasm", "--key", "nowhere.pub"], 2).contains("nowhere.pub")
    );
    let pair = signed(&folder, "plugins/upper.wasm");
    let line = pair.pk.to_base64();
    let page = done(folder.path(), &inspect);
    assert!(page.contains("signature       by key ") && page.contains("not verified: --key does"), "{page}");
    for key in ["release.pub", &line] {
        let page = done(folder.path(), &["inspect", "plugins/upper.wasm", "--key", key]);
        assert!(page.contains(", verified") && page.contains("build 7\\u{1b}[2J"), "{page}");
    }
    let json: Value =
        serde_json::from_str(&done(folder.path(), &["inspect", "plugins/upper.wasm", "--key", &line, "--json"]))
            .unwrap();
    assert_eq!((&json["signature"]["state"], &json["manifest"]["name"]), (&"verified".into(), &"upper".into()));

    let other = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
    let told = fails(folder.path(), &["inspect", "plugins/upper.wasm", "--key", &other], 1);
    assert!(told.contains("error: plugins/upper.wasm: it is signed by key "), "{told}");
    assert!(
        done(folder.path(), &["inspect", "plugins/upper.wasm", "--key", &other, "--key", &line]).contains("verified")
    );
    fs::remove_file(folder.path().join("plugins/upper.wasm.minisig")).unwrap();
    assert!(
        fails(folder.path(), &["inspect", "plugins/upper.wasm", "--key", &line], 1).contains("it has no signature")
    );
}
