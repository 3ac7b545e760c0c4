//! `sandbar inspect`: what a plugin is and asks for, from its bytes alone.

use std::path::{Path, PathBuf};

use clap::Args;
use sandbar_abi::manifest::{Access, Kind};
use serde::Serialize;

use super::failure::{Failure, Outcome};
use super::files;
use super::schema;
use super::text::{self, Table};
use crate::config::public_key;
use crate::discovery::FileKind;
use crate::plugins::{self, Admitted, Inspection, OptionalExports};
use crate::trust::{Policy, PublicKey, Signer};

/// One page of linear memory, in KiB.
const PAGE_KIB: u64 = 64;
/// How much of a type and of a default is shown, in characters; `--json` has all of it.
const CELL: usize = 24;
/// How wide the column of descriptions is, so that the table fits most terminals.
const DESCRIPTION: usize = 56;

/// Describe a plugin
///
/// Shows what a plugin says of itself (name, version, kinds), which configuration it takes, what it asks to be allowed,
/// and what it imports. Nothing of the plugin is run.
///
/// A file that the host would refuse is not described: the reasons are told instead, and the exit code is 1.
///
/// The sha256 is in the form that `plugins.allow` in sandbar.toml takes. If there is a signature (FILE.minisig) its key is
/// shown; with --key it must be there and right, as `plugins.require.signature` would have it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar inspect plugins/upper.wasm
  sandbar inspect plugins/upper.wasm --key release.pub
  sandbar inspect plugins/upper.wasm --json | jq .manifest.config")]
pub(super) struct InspectArgs {
    /// The plugin
    file: PathBuf,
    /// A public key of minisign's, or a .pub file, that must have signed the plugin; with several, one of them
    #[arg(long = "key", value_name = "KEY", value_parser = key)]
    keys: Vec<PublicKey>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Describes the plugin.
pub(super) fn run(args: &InspectArgs) -> Outcome {
    let wasm = read_plugin(&args.file)?;
    let file = args.file.display();
    let signature = files::read_signature(&args.file, FileKind::Plugin)
        .map_err(|error| Failure::new(format!("{file}: {error}")))?;
    let trust = Policy { allow: None, require_signature: !args.keys.is_empty(), keys: args.keys.clone() };
    let Admitted { trust, inspection } = plugins::admit(&wasm, signature.as_deref(), &trust)
        .map_err(|refusal| Failure::of_all(shown(&args.file, &refusal.reasons())))?;
    if args.json {
        return super::print_json(&Answer { inspection: &inspection, signature: &trust.signer });
    }
    super::print(describe(&inspection, &trust.signer))
}

/// What programs get.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    signature: &'a Signer,
}

/// What is wrong with a file, a line each: names in it are the file's own, and may hold the end of a line.
fn shown<'a>(file: &'a Path, reasons: &'a [String]) -> impl Iterator<Item = String> + 'a {
    reasons.iter().map(|reason| text::shown(&format!("{}: {reason}", file.display())).into_owned())
}

/// Reads a file that may be a plugin.
pub(super) fn read_plugin(path: &Path) -> Outcome<Vec<u8>> {
    files::read(path, FileKind::Plugin).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn key(text: &str) -> Result<PublicKey, String> {
    public_key(text, None)
}

fn describe(inspection: &Inspection, signer: &Signer) -> String {
    let manifest = &inspection.manifest;
    let kinds: Vec<_> = manifest.kinds.iter().copied().map(Kind::name).collect();
    let mut page = format!("{} {} ({})\n", manifest.name, manifest.version, kinds.join(", "));
    if !manifest.description.is_empty() {
        page.push_str(&format!("{}\n", text::shown(&manifest.description)));
    }
    page.push('\n');
    page.push_str(&facts(inspection, signer).text("  "));
    page.push_str("\nAsks for (and gets only what the connector's definition grants):\n");
    page.push_str(&capabilities(inspection));
    page.push_str("\nConfiguration:\n");
    page.push_str(&configuration(inspection));
    page.push_str("\nImports:\n");
    let mut imports = Table::plain();
    for import in &inspection.imports {
        imports.row([&import.module, &import.name, &import.ty]);
    }
    page.push_str(&or_nothing(&imports));
    page
}

fn facts(inspection: &Inspection, signer: &Signer) -> Table {
    let (manifest, memory) = (&inspection.manifest, inspection.memory);
    let mut table = Table::plain();
    for (name, value) in [("author", &manifest.author), ("licence", &manifest.license)] {
        if !value.is_empty() {
            table.row([name, value]);
        }
    }
    let kib = |pages: u64| format!("{} KiB", text::grouped(pages.saturating_mul(PAGE_KIB)));
    let most = memory.max_pages.map_or_else(|| "the host's limit".to_owned(), kib);
    table.row(["size", &format!("{} bytes", text::grouped(inspection.size))]);
    table.row(["sha256", &inspection.sha256.to_string()]);
    match signer {
        Signer::Unsigned => table.row(["signature", "none"]),
        Signer::Unverified { key } => table.row(["signature", &format!("by key {key}, not verified: --key does")]),
        Signer::Verified { key, comment } => {
            table.row(["signature", &format!("by key {key}, verified")]);
            table.row(["signed with", comment]);
        }
    }
    table.row(["abi", &format!("v{}", inspection.abi_major)]);
    table.row(["memory", &format!("{}, up to {most}", kib(memory.min_pages))]);
    let limits = &manifest.limits;
    let suggested = [
        ("memory_max_bytes", limits.memory_max_bytes),
        ("fuel_per_call", limits.fuel_per_call),
        ("call_timeout_ms", limits.call_timeout_ms),
    ];
    for (name, limit) in suggested {
        if let Some(limit) = limit {
            table.row([name, &format!("{} suggested", text::grouped(limit))]);
        }
    }
    table.row(["optional calls", &optional(inspection.optional)]);
    if manifest.is(Kind::Sink) {
        let twice = if manifest.idempotent_write { "as if once" } else { "may leave records twice" };
        table.row(["writing twice", twice]);
    }
    let exactly_once: Vec<_> =
        manifest.kinds.iter().filter(|kind| manifest.is_exactly_once(**kind)).map(|kind| kind.name()).collect();
    let declared = if exactly_once.is_empty() { "not declared".to_owned() } else { exactly_once.join(", ") };
    table.row(["exactly once", &declared]);
    table
}

fn optional(optional: OptionalExports) -> String {
    let OptionalExports { initialize, committed, check, discover, task_configs, assigned, revoked } = optional;
    let all = [
        ("_initialize", initialize),
        ("committed", committed),
        ("check", check),
        ("discover", discover),
        ("task_configs", task_configs),
        ("assigned", assigned),
        ("revoked", revoked),
    ];
    let there: Vec<_> = all.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if there.is_empty() { "none".to_owned() } else { there.join(", ") }
}

fn capabilities(inspection: &Inspection) -> String {
    let asked = &inspection.manifest.capabilities;
    let mut table = Table::plain();
    let access = |access: &Access| match access {
        Access::Read => "read",
        Access::Write => "write",
    };
    if !asked.fs.is_empty() {
        table.row(["directories", &asked.fs.iter().map(access).collect::<Vec<_>>().join(", ")]);
    }
    if !asked.env.is_empty() {
        table.row(["environment", &asked.env.join(", ")]);
    }
    if !asked.http.is_empty() {
        table.row(["http", &asked.http.join(", ")]);
    }
    or_nothing(&table)
}

fn configuration(inspection: &Inspection) -> String {
    let Some(schema) = &inspection.manifest.config else { return "  any text: it has no schema\n".to_owned() };
    let mut table = Table::new(&["KEY", "TYPE", "DEFAULT", "DESCRIPTION"], &[]);
    let keys = schema::keys(schema);
    for key in &keys {
        let (type_, default) = (text::cut(&key.type_, CELL), text::cut(&key.default, CELL));
        table.row_wrapped([&key.name, &type_, &default], &key.description, DESCRIPTION);
    }
    if keys.is_empty() { "  nothing\n".to_owned() } else { table.text("  ") }
}

fn or_nothing(table: &Table) -> String {
    let text = table.text("  ");
    if text.is_empty() { "  nothing\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    //! That a file shows as what it is, whatever it says.

    use sandbar_abi::Manifest;
    use serde_json::json;

    use super::*;
    use crate::plugins::embed;

    /// Rings, clears the screen, sets the window's title, hides, and turns what follows it around.
    const EVIL: &str = "\u{7}\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\u{9b}31m\r\n\u{200b}";

    fn plugin(import: &str) -> Vec<u8> {
        let import = import.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
        let wasm = wat::parse_str(format!(
            r#"(module (import "wasi_snapshot_preview1" "{import}" (func))
                (memory (export "memory") 1)
                (func (export "sandbar_abi_v1") (result i32) i32.const 0)
                (func (export "sandbar_reserve") (param i32) (result i32) i32.const 8)
                (func (export "sandbar_open") (param i32 i32) (result i64) i64.const 0)
                (func (export "sandbar_close") (param i32) (result i64) i64.const 0)
                (func (export "sandbar_poll") (param i32 i32 i32) (result i64) i64.const 0))"#
        ));
        let key = json!({"type": "string", "default": EVIL, "description": EVIL});
        let manifest = json!({
            "name": "evil", "version": "1.0.0", "kinds": ["source"], "abi": 1,
            "description": EVIL, "author": EVIL, "license": EVIL,
            "capabilities": {"env": [EVIL]},
            "config": {"properties": {EVIL: key, "enum": {"enum": [EVIL]}}},
        });
        let manifest = Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
        embed(&wasm.unwrap(), &manifest).unwrap()
    }

    fn steers(text: &str) -> Option<char> {
        text.chars()
            .find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'))
    }

    #[test]
    fn nothing_that_a_plugin_says_of_itself_steers_the_terminal() {
        let inspection = plugins::inspect(&plugin(EVIL)).unwrap();
        let page = describe(&inspection, &Signer::Unsigned);
        assert_eq!(steers(&page), None, "{page:?}");
        assert!(page.contains("owned"), "it is shown all the same: {page}");
    }

    #[test]
    fn nor_does_what_is_wrong_with_it_look_like_more_than_one_line() {
        let forged = plugin(EVIL);
        let at = forged.windows(22).position(|window| window == b"wasi_snapshot_preview1").unwrap();
        let mut forged = forged;
        forged[at..at + 22].copy_from_slice(b"wasi\x1b[2J\nerror: fine..");
        let errors = plugins::inspect(&forged).unwrap_err();
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        for reason in shown(Path::new("evil.wasm"), &errors) {
            assert!(steers(&reason).is_none() && !reason.contains('\n'), "{reason:?}");
        }
    }
}
