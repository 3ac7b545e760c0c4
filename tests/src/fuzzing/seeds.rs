//! Where fuzzing begins: an example of everything that is well formed, so that the first mutations come near it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sandbar_abi::http::{self, Answer, Failure, FailureKind, Request, Response};
use sandbar_abi::status::Returned;
use sandbar_abi::{Disposition, FrameBuilder, Manifest, names};

use super::guests::made_up_module;
use crate::chance::Chance;
use crate::hostile;
use crate::wat::{Guest, INPUT};

/// The longest hostile module that is a seed: mutations of a longer one seldom hit anything.
const MAX_MODULE: usize = 4 << 10;

/// A file of a corpus.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// The file's name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// All seeds. They are the same every time.
pub fn seeds() -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    let mut add = |target, name: &str, bytes: Vec<u8>| {
        seeds.push(Seed { target, name: format!("seed-{name}"), bytes });
    };
    for (name, frame) in frames()? {
        add("guest_return", &name, [&[2], &*frame].concat());
        add("guest_return", &format!("{name}-to-a-sink"), [&[2 | 1 << 2], &*frame].concat());
        add("guest_return", &format!("{name}-to-a-transform"), [&[2 | 2 << 2], &*frame].concat());
        add("frame", &name, frame);
    }
    for raw in [0, -1, -4, -5, i64::MIN, i64::MAX - 1, Returned::pack(INPUT, 104), Returned::pack(u32::MAX, 104)] {
        add("guest_return", &format!("raw-{raw:x}"), [&[1], &raw.to_le_bytes()[..]].concat());
    }
    for (name, json) in manifests()? {
        add("manifest", &format!("{name}-section"), Manifest::from_json(&json)?.to_section()?);
        add("manifest", &name, json);
    }
    for (name, text) in DEFINITIONS {
        add("definition", name, text.as_bytes().to_vec());
    }
    for (name, message) in messages()? {
        add("http_message", name, message);
    }
    add("module", "plugin", Guest::new().build()?);
    for hostile in hostile::all()?.into_iter().filter(|hostile| !hostile.is_loaded() && hostile.wasm.len() < MAX_MODULE)
    {
        add("module", &hostile.name, hostile.wasm);
    }
    let mut chance = Chance::seeded(1);
    for n in 0..8 {
        let noise = chance.bytes(2_000);
        if made_up_module(&noise).is_some() {
            add("guest_return", &format!("made-up-{n}"), [&[0], &*noise].concat());
        }
        add("differential", &format!("noise-{n}"), chance.bytes(200));
    }
    Ok(seeds)
}

/// The frames that v1.0 promises to read for ever, and one with something in each of its sections.
fn frames() -> Result<Vec<(String, Vec<u8>)>> {
    let mut frames = Vec::new();
    for path in files(&root().join("abi/tests/golden"), "hex")? {
        let text = fs::read_to_string(&path)?;
        let bytes = text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        frames.push((stem(&path)?, bytes));
    }
    let mut whole = FrameBuilder::new();
    let place = whole.topic_partition(Some("out"), Some(0));
    for input in 0..3 {
        whole.record(Some(b"key"), Some(b"value")).topic_partition(place).input(input).header("name", Some(b"x"));
        whole.result(input, Disposition::Ok, Some("well done"));
    }
    frames.push(("whole".to_owned(), whole.finish()?));
    Ok(frames)
}

fn manifests() -> Result<Vec<(String, Vec<u8>)>> {
    let mut manifests = Vec::new();
    for folder in fs::read_dir(root().join("examples-plugins"))? {
        let path = folder?.path().join("manifest.json");
        if path.is_file() {
            manifests.push((stem(path.parent().context("a folder")?)?, fs::read(&path)?));
        }
    }
    manifests.sort();
    Ok(manifests)
}

const DEFINITIONS: &[(&str, &str)] = &[
    ("sink", r#"{"name": "to-db", "config": {"connector.class": "Db", "topics": "orders, returns", "url": "db://x"}}"#),
    (
        "everything",
        r#"{"name": "all", "config": {
  "connector.class": "Any", "connector.type": "transform", "topics.regex": "or.*", "topic": "out", "tasks.max": 3,
  "transforms": ["a", "b"], "transforms.a.type": "Map", "transforms.a.field": "x", "transforms.b.type": "Any",
  "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead", "batch.max.records": "10",
  "sandbox.fuel.per.call": 1000000, "sandbox.memory.max.bytes": "16MiB", "consumer.override.fetch.min.bytes": "1"
}}"#,
    ),
    (
        "grants",
        r#"{"name": "g", "config": {"connector.class": "Src", "topic": "t", "sandbox.fs.read": "/a,/b", "sandbox.env": "HOME"}}"#,
    ),
    (
        "secret",
        r#"{"name": "s", "config": {"connector.class": "Db", "topics": "t", "url": "u", "login": "${env:HOME}${file:/x:y}"}}"#,
    ),
    ("bare", r#"{"name": "b", "connector.class": "Src", "topic": "t"}"#),
    (
        "toml",
        "name = \"t\"\n[config]\n\"connector.class\" = \"Db\"\ntopics = [\"a\", \"b\"]\nurl = \"x\"\nsize = 3\n[config.nested]\ndeep = true\n",
    ),
    (
        "toml-dotted",
        "name = 't'\nconnector.class = \"Src\"\ntopic = \"\"\"\nlong\"\"\"\ntasks.max = 0x10\nat = 1979-05-27T07:32:00Z\n",
    ),
];

fn messages() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    let url = "https://example.com:8443/path?query#part".to_owned();
    let request =
        Request { method: "POST".to_owned(), url: url.clone(), headers: headers.clone(), timeout_ms: Some(1000) };
    let response = Answer::Response(Response { status: 404, method: "GET".to_owned(), url, headers });
    let failure = Answer::Error(Failure { kind: FailureKind::Tls, message: "no".to_owned() });
    Ok(vec![
        ("request", http::encode(&request, b"body")?),
        ("response", http::encode(&response, b"\0\xff")?),
        ("failure", http::encode(&failure, b"")?),
        ("limit", vec![0xff; names::ALIGN]),
    ])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> Result<String> {
    Ok(path.file_stem().and_then(|stem| stem.to_str()).context("a name")?.to_owned())
}
