//! Modules that lie in their manifest: in its length, its encoding, its name, and in text that would steer a terminal.

use anyhow::Result;
use sandbar_abi::names;
use serde_json::{Value, json};

use super::{Fate, Hostile};
use crate::wat::Guest;

/// Text that rings, clears the screen, sets the window's title, hides, and turns what follows it around.
pub const TERMINAL: &str = "\u{7}\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\u{9b}31m\r\n\u{200b}";

pub(super) fn all() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    let json = |change: fn(&mut Value)| {
        let mut manifest = json!({"name": "liar", "version": "1.0.0", "kinds": ["source"], "abi": 1});
        change(&mut manifest);
        prefixed(manifest.to_string().as_bytes())
    };
    let whole = json(|_| {});
    let mut longer = whole.clone();
    longer[0] += 1;
    let mut shorter = whole.clone();
    shorter[0] -= 1;
    let invalid = "manifest is not valid: ";
    let name = "manifest field \"name\": must be 1 to 128 of the letters";
    for (lie, section, because) in [
        ("no-length", b"\x01\0\0".to_vec(), "shorter than its length prefix of 4 bytes"),
        ("longer", longer, "shorter than its length prefix says"),
        ("shorter", shorter, "bytes trail the length its prefix says"),
        ("gigabytes", [&[0xff; 4], &whole[4..]].concat(), "longer than 1 MiB"),
        ("large", prefixed(&[b' '; names::MAX_MANIFEST_BYTES + 1]), "longer than 1 MiB"),
        ("no-json", prefixed(b"\0\0\0\0"), invalid),
        ("no-text", prefixed(b"{\"name\":\"\xff\xfe\"}"), invalid),
        ("deep", prefixed(&b"[".repeat(100_000)), invalid),
        ("deep-schema", prefixed(&deep_schema()), invalid),
        (
            "twice-a-field",
            prefixed(br#"{"name":"a","name":"b","version":"1.0.0","kinds":["source"],"abi":1}"#),
            invalid,
        ),
        ("unknown-field", json(|m| m["grants"] = json!(["everything"])), invalid),
        ("unknown-kind", json(|m| m["kinds"] = json!(["supervisor"])), invalid),
        ("no-kind", json(|m| m["kinds"] = json!([])), "manifest field \"kinds\": names none of"),
        ("huge-version", json(|m| m["version"] = json!("18446744073709551616.0.0")), invalid),
        ("version-for-a-terminal", json(|m| m["version"] = json!(format!("1.0.0{TERMINAL}"))), invalid),
        ("other-abi", json(|m| m["abi"] = json!(2)), "manifest field \"abi\": is 2, this host speaks 1"),
        ("huge-abi", json(|m| m["abi"] = json!(65_537)), invalid),
        ("negative-limit", json(|m| m["limits"] = json!({"fuel_per_call": -1})), invalid),
        ("schema-that-is-none", json(|m| m["config"] = json!([1])), "manifest field \"config\": must be a JSON Schema"),
        ("path", json(|m| m["name"] = json!("../../etc/passwd")), name),
        ("absolute-path", json(|m| m["name"] = json!("/etc/passwd")), name),
        ("nul", json(|m| m["name"] = json!("a\0b")), name),
        ("no-name", json(|m| m["name"] = json!("")), name),
        ("long-name", json(|m| m["name"] = json!("n".repeat(129))), name),
        ("name-for-a-terminal", json(|m| m["name"] = json!(format!("good{TERMINAL}"))), name),
        ("look-alike", json(|m| m["name"] = json!("fi\u{435}-sink")), name),
    ] {
        all.push(Hostile::new(&format!("manifest-{lie}"), with(&[&section])?, Fate::Refused(because.to_owned())));
    }
    let missing = Fate::Refused("custom section \"sandbar.manifest\" is missing".to_owned());
    all.push(Hostile::new("manifest-missing", with(&[])?, missing));
    let twice = Fate::Refused("custom section \"sandbar.manifest\" is there 2 times".to_owned());
    all.push(Hostile::new("manifest-twice", with(&[&whole, &whole])?, twice));

    // Texts for people are taken as they are; what shows them makes them harmless.
    let guest = ["description", "author", "license"].iter().fold(Guest::new(), |g, field| g.manifest(field, TERMINAL));
    all.push(Hostile::lives("manifest-for-a-terminal", guest)?);
    let limits = json!({"memory_max_bytes": u64::MAX, "fuel_per_call": u64::MAX, "call_timeout_ms": u64::MAX});
    all.push(Hostile::lives("manifest-of-endless-limits", Guest::new().manifest("limits", limits))?);
    Ok(all)
}

fn prefixed(json: &[u8]) -> Vec<u8> {
    let len = u32::try_from(json.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), json].concat()
}

fn deep_schema() -> Vec<u8> {
    let (open, close) = ("{\"a\":".repeat(10_000), "}".repeat(10_000));
    format!(r#"{{"name":"deep","version":"1.0.0","kinds":["source"],"abi":1,"config":{open}1{close}}}"#).into_bytes()
}

/// A module with these as the contents of its manifest sections.
fn with(sections: &[&[u8]]) -> Result<Vec<u8>> {
    let mut wasm = wat::parse_str(Guest::new().text())?;
    for section in sections {
        let name = names::MANIFEST_SECTION;
        let mut body = leb(name.len());
        body.extend(name.as_bytes());
        body.extend(*section);
        wasm.push(0);
        wasm.extend(leb(body.len()));
        wasm.extend(body);
    }
    Ok(wasm)
}

/// A number as WebAssembly writes lengths.
pub(super) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        // Seven bits fit a byte.
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
