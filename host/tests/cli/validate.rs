//! `validate`: all faults at once, and none where there is none.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::{done, fails, folder, output, put, signed, text, with_plugin};

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

#[test]
fn validate_finds_what_would_keep_the_rest_interface_from_answering() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("plugins")).unwrap();
    let told = |config: &str| {
        put(&folder, "sandbar.toml", config);
        fails(folder.path(), &["validate"], 1)
    };
    let exposed = told("[rest]\nlisten = \"0.0.0.0:8083\"\n");
    assert!(exposed.contains("error: sandbar.toml:2:1: rest.listen: will not listen on 0.0.0.0:8083"), "{exposed}");
    assert!(exposed.contains("auth.<name>.token") && exposed.contains("rest.insecure = true"), "{exposed}");

    put(&folder, "key.pem", "no key");
    let all = "[rest]\nlisten = \"localhost:0\"\nhosts = [\"a:1\"]\n[rest.tls]\ncertificate = \"none.pem\"\nkey = \"gone.pem\"\n\
               [access.control.allow]\norigin = \"*\"\n[auth.ann]\nrole = \"read\"\ntoken = \"short\"\n";
    let told_all = told(all);
    for fault in [
        "error: sandbar.toml:3:1: rest.hosts: \"a:1\" is no name of a host",
        "error: sandbar.toml:5:1: rest.tls.certificate: ",
        "none.pem: No such file",
        "error: sandbar.toml:6:1: rest.tls.key: ",
        "error: sandbar.toml:8:1: access.control.allow.origin: \"*\" would let every page",
        "error: sandbar.toml:10:1: auth.ann: credential \"ann\" is shorter than 16 bytes",
    ] {
        assert!(told_all.contains(fault), "{fault}\n{told_all}");
    }
    assert!(!told_all.contains("\"short\""), "{told_all}");

    // Nobody listens: the certificates do not matter, and credentials do, by the socket too.
    let nowhere = told(&all.replace("localhost:0", "none"));
    assert!(!nowhere.contains("none.pem") && nowhere.contains("auth.ann: "), "{nowhere}");

    // Names may lead somewhere else where the host runs. This one is longer than the system looks up.
    let elsewhere = format!("[rest]\nlisten = \"{}:8083\"\n", "x".repeat(64));
    put(&folder, "sandbar.toml", &elsewhere);
    let fine = done(folder.path(), &["validate"]);
    assert!(fine.contains("warning: sandbar.toml:2:1: rest.listen: cannot listen on xxx"), "{fine}");
    assert!(fine.contains("where that is so the host does not start"), "{fine}");
    assert!(fine.contains("0 errors, 1 warning"), "{fine}");

    // So may an account read what another one may not; root, as whom tests may run, reads everything.
    put(&folder, "sandbar.toml", "[rest.tls]\ncertificate = \"key.pem\"\nkey = \"secret.pem\"\n");
    put(&folder, "secret.pem", "no key");
    fs::set_permissions(folder.path().join("secret.pem"), Permissions::from_mode(0o000)).unwrap();
    let warns = fs::read(folder.path().join("secret.pem")).is_err();
    let told_of_tls = fails(folder.path(), &["validate"], 1);
    assert!(told_of_tls.contains("error: sandbar.toml:2:1: rest.tls.certificate: "), "{told_of_tls}");
    assert_eq!(told_of_tls.contains("warning: sandbar.toml:3:1: rest.tls.key: "), warns, "{told_of_tls}");

    // Whose account has the secrets is not known here. That there are some is.
    put(
        &folder,
        "sandbar.toml",
        "[rest]\nlisten = \"0.0.0.0:8083\"\n[auth.ann]\nrole = \"read\"\ntoken = \"${env:SANDBAR_NO_SUCH_VARIABLE}\"\n",
    );
    let fine = done(folder.path(), &["validate"]);
    assert!(
        fine.contains("warning: sandbar.toml:5:1: auth.ann.token: ") && fine.contains("0 errors, 1 warning"),
        "{fine}"
    );
}
