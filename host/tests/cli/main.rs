//! Runs the built program as people do: what it prints, what it leaves behind, and the exit code.

mod files;
mod remote;
mod run;
mod topics;
mod validate;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How long the program may take for anything a test waits for, on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

const MANIFEST: &str = r#"{"name": "upper", "version": "1.2.3", "kinds": ["transform"], "abi": 1,
    "description": "Upper-cases values.",
    "config": {"properties": {"mode": {"enum": ["upper", "lower"], "default": "upper", "description": "Which way."}}},
    "capabilities": {"env": ["UPPER_LOCALE"]}}"#;

fn sandbar(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbar"));
    command.args(args).current_dir(folder).env_remove("RUST_LOG").env("UPPER_LOCALE", "de").stdin(Stdio::null());
    command
}

fn output(folder: &Path, args: &[&str]) -> Output {
    sandbar(folder, args).output().expect("the program starts")
}

/// Runs the program with an input, and returns its standard output.
#[track_caller]
fn fed(folder: &Path, args: &[&str], input: &str) -> String {
    let mut command = sandbar(folder, args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn done(folder: &Path, args: &[&str]) -> String {
    fed(folder, args, "")
}

/// The program fails with this code; returns what it wrote to both of its outputs.
#[track_caller]
fn fails(folder: &Path, args: &[&str], code: i32) -> String {
    let output = output(folder, args);
    let all = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {all}");
    assert!(!all.contains("panicked"), "{all}");
    all
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn put(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, content).expect("a file");
}

/// A module with all that a transform needs but a manifest.
fn module() -> Vec<u8> {
    module_with("")
}

/// The same with more of it.
fn module_with(extra: &str) -> Vec<u8> {
    let text = r#"(module
        (import "sandbar_v1" "log" (func (param i32 i32 i32)))
        (memory (export "memory") 2)
        (func (export "sandbar_abi_v1") (result i32) i32.const 0)
        (func (export "sandbar_reserve") (param i32) (result i32) i32.const 8)
        (func (export "sandbar_open") (param i32 i32) (result i64) i64.const 0)
        (func (export "sandbar_close") (param i32) (result i64) i64.const 0)
        (func (export "sandbar_transform") (param i32 i32) (result i64) i64.const 0)"#;
    wat::parse_str(format!("{text}{extra})")).expect("a module")
}

/// A folder with a plugin in `plugins/`.
fn with_plugin() -> TempDir {
    let folder = folder();
    put(&folder, "build/upper.wasm", module());
    put(&folder, "manifest.json", MANIFEST);
    put(&folder, "plugins/README.md", "");
    done(folder.path(), &["embed", "build/upper.wasm", "manifest.json", "-o", "plugins/upper.wasm"]);
    folder
}

/// A key pair, its `.pub` file in the folder, and a signature by it beside a plugin.
fn signed(folder: &TempDir, plugin: &str) -> minisign::KeyPair {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
    put(folder, "release.pub", pair.pk.to_box().expect("a file").into_string());
    let wasm = fs::read(folder.path().join(plugin)).expect("a plugin");
    let signature = minisign::sign(None, &pair.sk, &wasm[..], Some("build 7\x1b[2J"), None).expect("a signature");
    put(folder, &format!("{plugin}.minisig"), signature.into_string());
    pair
}

#[test]
fn help_explains_commands_and_exit_codes() {
    let folder = folder();
    let help = done(folder.path(), &["--help"]);
    for word in ["run", "validate", "inspect", "embed", "conformance", "topic", "completions", "Exit codes:"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for command in [
        "run",
        "status",
        "pause",
        "resume",
        "stop",
        "restart",
        "validate",
        "inspect",
        "embed",
        "conformance",
        "completions",
    ] {
        assert!(done(folder.path(), &[command, "--help"]).contains("Examples:"), "{command}");
    }
    for command in ["list", "read", "write", "create"] {
        assert!(done(folder.path(), &["topic", command, "--help"]).contains("Examples:"), "{command}");
    }
    assert!(done(folder.path(), &["--version"]).starts_with("sandbar "));
    assert!(done(folder.path(), &["completions", "bash"]).contains("sandbar"));
    fails(folder.path(), &["run", "--no-such-option"], 2);
    fails(folder.path(), &["run", "--brokers", "nowhere"], 2);
    fails(folder.path(), &["topic", "read", "a topic"], 2);
}
