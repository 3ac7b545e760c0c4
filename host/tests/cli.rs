//! Runs the built program as people do: what it prints, what it leaves behind, and the exit code.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long the program may take for anything a test waits for, on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

const MANIFEST: &str = r#"{"name": "upper", "version": "1.2.3", "kinds": ["transform"], "abi": 1,
    "description": "Upper-cases values.",
    "config": {"properties": {"mode": {"enum": ["upper", "lower"], "default": "upper", "description": "Which way."}}},
    "capabilities": {"env": ["UPPER_LOCALE"]}}"#;

fn sandbar(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbar"));
    command.args(args).current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
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
    let text = r#"(module
        (import "sandbar_v1" "log" (func (param i32 i32 i32)))
        (memory (export "memory") 2)
        (func (export "sandbar_abi_v1") (result i32) i32.const 0)
        (func (export "sandbar_reserve") (param i32) (result i32) i32.const 8)
        (func (export "sandbar_open") (param i32 i32) (result i64) i64.const 0)
        (func (export "sandbar_close") (param i32) (result i64) i64.const 0)
        (func (export "sandbar_transform") (param i32 i32) (result i64) i64.const 0))"#;
    wat::parse_str(text).expect("a module")
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

#[test]
fn help_explains_commands_and_exit_codes() {
    let folder = folder();
    let help = done(folder.path(), &["--help"]);
    for word in ["run", "validate", "inspect", "embed", "conformance", "topic", "completions", "Exit codes:"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for command in ["run", "validate", "inspect", "embed", "conformance", "completions"] {
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
fn validate_is_content_with_what_is_right() {
    let folder = with_plugin();
    let definition = r#"{"name": "a", "config": {"connector.class": "upper", "topics": "in", "topic": "out",
        "sandbox.env": "UPPER_LOCALE"}}"#;
    put(&folder, "plugins/a.json", definition);
    put(&folder, "sandbar.toml", "group.id = \"west\"\n");
    let told = done(folder.path(), &["validate"]);
    assert_eq!(told, "1 plugin, 1 definition, 1 worker configuration: 0 errors\n");
    put(&folder, "elsewhere/b.json", definition);
    assert!(done(folder.path(), &["validate", "elsewhere/b.json"]).ends_with("0 errors\n"));
    assert!(done(folder.path(), &["validate", "plugins", "plugins/a.json"]).starts_with("1 plugin, 1 definition"));
}

#[test]
fn validate_tells_all_faults_at_once() {
    let folder = with_plugin();
    put(&folder, "sandbar.toml", "pluggins = \"plugins\"\n[log]\nlevel = \"loud\"\n");
    put(&folder, "plugins/text.wasm", "text");
    fs::copy(folder.path().join("plugins/upper.wasm"), folder.path().join("plugins/upper2.wasm")).unwrap();
    let definition = |class: &str, rest: &str| {
        format!(
            "{{\n  \"name\": \"a\",\n  \"config\": {{\n    \"connector.class\": \"{class}\", \"topics\": \"in\", \"topic\": \"out\"{rest}\n  }}\n}}"
        )
    };
    put(&folder, "plugins/a.json", definition("upper", ""));
    put(&folder, "plugins/b.json", definition("upper", ",\n    \"mode\": \"sideways\",\n    \"tasks.max\": \"many\""));
    put(&folder, "plugins/c.json", definition("lower", ""));
    put(&folder, "plugins/d.json", "{\"name\": ");
    put(&folder, "plugins/e.toml", "name = \"e\"\n[config]\nx = \n");

    let told = fails(folder.path(), &["validate"], 1);
    for fault in [
        "error: sandbar.toml:1:1: pluggins: is not known, did you mean \"plugins\"?",
        "error: sandbar.toml:3:1: log.level: must be one of",
        "error: plugins/text.wasm: the file is not WebAssembly",
        "error: plugins/upper2.wasm: plugin upper 1.2.3 is in plugins/upper.wasm too",
        "error: plugins/b.json: name: connector a is defined in plugins/a.json too",
        "error: plugins/b.json:5:5: mode: ",
        "error: plugins/b.json:6:5: tasks.max: ",
        "error: plugins/c.json:4:5: connector.class: ",
        "error: plugins/d.json:1:",
        "error: plugins/e.toml:3:",
    ] {
        assert!(told.contains(fault), "{fault}\n{told}");
    }
    assert!(told.lines().last().unwrap().starts_with("3 plugins, 5 definitions, 1 worker configuration: "), "{told}");

    let json = text(&output(folder.path(), &["validate", "--json"]).stdout);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["errors"], json["findings"].as_array().unwrap().len());
    let missing = json["findings"].as_array().unwrap().iter().find(|finding| finding["kind"] == "plugin_missing");
    assert_eq!(missing.unwrap()["class"], "lower");

    assert!(fails(folder.path(), &["validate", "nowhere"], 1).contains("error: nowhere: "));
}

#[test]
fn validate_reads_the_certificates_that_a_worker_would() {
    let folder = with_plugin();
    put(&folder, "sandbar.toml", "http.ca.file = \"ca.pem\"\n");
    let told = fails(folder.path(), &["validate"], 1);
    assert!(told.contains("error: sandbar.toml: http.ca.file: ") && told.contains("No such file"), "{told}");
    put(&folder, "ca.pem", "text");
    let told = fails(folder.path(), &["validate"], 1);
    assert!(told.contains("ca.pem: holds no certificate in PEM"), "{told}");
}

#[test]
fn topics_are_written_and_read() {
    let folder = folder();
    let topic = |args: &[&str], input: &str| fed(folder.path(), &[&["topic"], args].concat(), input);
    let told = fails(folder.path(), &["topic", "list"], 1);
    assert!(told.contains("error: there is no data folder data") && told.contains("hint: "), "{told}");
    assert!(!folder.path().join("data").exists(), "looking must not make anything");

    topic(&["create", "pairs", "--cleanup-policy", "compact"], "");
    assert!(fails(folder.path(), &["topic", "create", "pairs"], 1).contains("exists already"));
    topic(&["create", "pairs", "--if-not-exists"], "");
    topic(&["write", "pairs", "--key-separator", ":", "--null", "NULL"], "a:1\nb:\nc:NULL\n");
    assert_eq!(topic(&["read", "pairs", "--keys"], ""), "a\t1\nb\t\nc\tnull\n");
    assert_eq!(topic(&["read", "pairs", "--from", "1", "--count", "1"], ""), "\n");
    assert_eq!(topic(&["read", "pairs", "--from", "end"], ""), "");
    assert_eq!(topic(&["read", "pairs", "--from", "@0", "-n", "1"], ""), "1\n");

    topic(
        &["write", "bytes", "--json"],
        "{\"value\":{\"base64\":\"/wA=\"},\"headers\":[{\"key\":\"h\",\"value\":\"1\"}]}\n",
    );
    let lines = topic(&["read", "bytes", "--json"], "");
    let record: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&record["value"]["base64"], &record["headers"][0]["key"]), (&"/wA=".into(), &"h".into()));
    topic(&["write", "copy", "--json", "--partitions", "3"], &lines);
    let copied: Value = serde_json::from_str(&topic(&["read", "copy", "--json"], "")).unwrap();
    assert_eq!((&copied["timestamp"], &copied["value"]), (&record["timestamp"], &record["value"]));

    let list = topic(&["list"], "");
    assert!(list.lines().nth(1).unwrap().starts_with("bytes "), "{list}");
    let list: Value = serde_json::from_str(&topic(&["list", "--json"], "")).unwrap();
    assert_eq!(list[1]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!((&list[2]["records"], &list[2]["cleanup_policy"]), (&3.into(), &"compact".into()));
    let told = fails(folder.path(), &["topic", "read", "nothing"], 1);
    assert!(told.contains("error: ") && told.contains("hint: `sandbar topic list`"), "{told}");
}

#[test]
fn a_reader_that_goes_away_is_a_clean_end() {
    let folder = folder();
    let lines: String = (0..50_000).map(|n| format!("{n} {}\n", "x".repeat(100))).collect();
    fed(folder.path(), &["topic", "write", "t"], &lines);
    let mut child = sandbar(folder.path(), &["topic", "read", "t", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.starts_with("0 x"));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

/// A worker that was started, and its log.
struct Worker {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Worker {
    fn start(folder: &TempDir) -> Self {
        let mut command = sandbar(folder.path(), &["run", "--log-format", "json"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// Waits for a log line with this message.
    #[track_caller]
    fn expect(&self, message: &str) -> Value {
        loop {
            // A failure names the message that did not come.
            let line = self.lines.recv_timeout(LIMIT).expect(message);
            let line: Value = serde_json::from_str(&line).expect("a line of the log is JSON");
            if line["message"] == message {
                return line;
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, signal).expect("it runs");
    }
}

#[test]
fn run_ends_in_good_order_when_asked_to() {
    let folder = with_plugin();
    let mut worker = Worker::start(&folder);
    assert_eq!(worker.expect("plugin loaded")["plugin"], "upper");
    worker.signal(rustix::process::Signal::TERM);
    worker.expect("stopped");
    assert_eq!(worker.child.wait().expect("it ends").code(), Some(0));
}

/// A folder with a connector whose source never returns from its first poll, and says so before.
fn with_stuck_source(worker: &str) -> TempDir {
    let folder = folder();
    let module = r#"(module
        (import "sandbar_v1" "log" (func $log (param i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "stuck")
        (func (export "sandbar_abi_v1") (result i32) i32.const 0)
        (func (export "sandbar_reserve") (param i32) (result i32) i32.const 1024)
        (func (export "sandbar_open") (param i32 i32) (result i64) i64.const 0)
        (func (export "sandbar_close") (param i32) (result i64) i64.const 0)
        (func (export "sandbar_poll") (param i32 i32 i32) (result i64)
            (call $log (i32.const 3) (i32.const 64) (i32.const 5))
            (loop (br 0))
            i64.const 0))"#;
    put(&folder, "stuck.wasm", wat::parse_str(module).expect("a module"));
    put(&folder, "manifest.json", r#"{"name": "stuck", "version": "1.0.0", "kinds": ["source"], "abi": 1}"#);
    put(&folder, "plugins/a.json", r#"{"name": "a", "config": {"connector.class": "stuck", "topic": "t"}}"#);
    // Neither fuel nor time may end the call before the test does.
    let limits = "[sandbox]\nfuel.per.call = 9223372036854775807\ncall.timeout.ms = 600000\n";
    put(&folder, "sandbar.toml", format!("{worker}\n{limits}"));
    done(folder.path(), &["embed", "stuck.wasm", "manifest.json", "-o", "plugins/stuck.wasm"]);
    folder
}

#[test]
fn a_second_signal_ends_a_run_at_once() {
    let folder = with_stuck_source("shutdown.timeout.ms = 600000");
    let mut worker = Worker::start(&folder);
    worker.expect("stuck");
    worker.signal(rustix::process::Signal::INT);
    worker.expect("stopping: tasks finish what they have taken up");
    worker.signal(rustix::process::Signal::INT);
    assert_eq!(worker.child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn a_run_that_cannot_end_in_good_order_says_so() {
    let folder = with_stuck_source("shutdown.timeout.ms = 50");
    let mut worker = Worker::start(&folder);
    worker.expect("stuck");
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.child.wait().expect("it ends").code(), Some(1));
    let told: Vec<String> = worker.lines.iter().collect();
    assert!(told.iter().any(|line| line.starts_with("error: some tasks did not finish within 50ms")), "{told:?}");
}

#[test]
fn run_tells_what_is_wrong_with_its_configuration() {
    let folder = folder();
    put(&folder, "sandbar.toml", "pluggins = \"plugins\"\nscan.interval.ms = 1\n");
    let told = fails(folder.path(), &["run"], 1);
    assert_eq!(told.matches("error: sandbar.toml:").count(), 2, "{told}");
    assert!(fails(folder.path(), &["run", "--config", "none.toml"], 1).contains("error: none.toml: "));
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

#[test]
fn validate_holds_plugins_to_what_is_trusted() {
    let folder = with_plugin();
    put(&folder, "sandbar.toml", "[plugins]\nrequire.signature = true\nsignature.keys = \"release.pub\"\n");
    let told = fails(folder.path(), &["validate"], 1);
    assert!(told.contains("plugins.signature.keys: ") && told.contains("release.pub cannot be read"), "{told}");
    signed(&folder, "plugins/upper.wasm");
    assert!(done(folder.path(), &["validate"]).ends_with("0 errors\n"));
    // As a shell gives it: the signature is checked with the plugin, and is none by itself.
    let told = done(folder.path(), &["validate", "plugins/upper.wasm", "plugins/upper.wasm.minisig"]);
    assert!(told.starts_with("1 plugin, 0 definitions") && told.ends_with("0 errors\n"), "{told}");

    let signature = fs::read(folder.path().join("plugins/upper.wasm.minisig")).unwrap();
    fs::remove_file(folder.path().join("plugins/upper.wasm.minisig")).unwrap();
    let told = fails(folder.path(), &["validate"], 1);
    assert!(
        told.contains("error: plugins/upper.wasm: it has no signature, and plugins.require.signature is true"),
        "{told}"
    );

    // A definition that is checked alone finds no plugin that the host would not load either.
    let definition = r#"{"name": "a", "config": {"connector.class": "upper", "topics": "in", "topic": "out",
        "sandbox.env": "UPPER_LOCALE"}}"#;
    put(&folder, "elsewhere/a.json", definition);
    assert!(fails(folder.path(), &["validate", "elsewhere/a.json"], 1).contains("connector.class: "));
    put(&folder, "plugins/upper.wasm.minisig", &signature);
    assert!(done(folder.path(), &["validate", "elsewhere/a.json"]).ends_with("0 errors\n"));

    let json: Value = serde_json::from_str(&done(folder.path(), &["inspect", "plugins/upper.wasm", "--json"])).unwrap();
    let sha256 = json["sha256"].as_str().unwrap().to_owned();
    put(&folder, "sandbar.toml", format!("[plugins]\nallow = [\"{sha256}\"]\n"));
    assert!(done(folder.path(), &["validate"]).ends_with("0 errors\n"));
    put(&folder, "sandbar.toml", format!("[plugins]\nallow = [\"{}\"]\n", sha256.replace(&sha256[..4], "0000")));
    let told = fails(folder.path(), &["validate"], 1);
    assert!(
        told.contains(&format!("error: plugins/upper.wasm: its sha256 {sha256} is not in plugins.allow")),
        "{told}"
    );
}
