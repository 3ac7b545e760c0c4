//! Modules that would keep the compiler busy for minutes, or fill the machine's memory: refused before they are compiled.

use std::fmt::Write as _;

use anyhow::Result;

use super::manifests::leb;
use super::{Fate, Hostile};
use crate::wat::Guest;

pub(super) fn all() -> Result<Vec<Hostile>> {
    let repeated = |what: &str, times: usize| what.repeat(times);
    let mut all = Vec::new();
    for (name, field, because) in [
        ("functions", repeated("(func)", 60_000), " functions, a plugin may have 50000"),
        ("exports", exports(2_000), " exports, a plugin may have 1000"),
        (
            "data-segments",
            repeated("(data (i32.const 0) \"x\")", 20_000),
            "20000 data segments, a plugin may have 10000",
        ),
        ("locals", format!("(func {})", repeated("(local i64)", 50_000)), "50000 locals, one may have 5000"),
        ("too-many-locals", format!("(func {})", repeated("(local i64)", 60_000)), "too many locals"),
        ("loops", nested("loop", 2_000), "2000 nested loops, one may have 100"),
        ("blocks", nested("block", 100_000), "100000 nested blocks, one may have 10000"),
        ("long-function", format!("(func {})", repeated("nop ", 600_000)), " bytes, one may have 524288"),
        ("branches-over-locals", branches(1_000, 10_000), " branches times locals, one may have 4000000"),
        (
            "many-of-many",
            branches(1_000, 3_900).repeat(15),
            " units of work to be compiled, a plugin may have 120000000",
        ),
        ("types", types(20_000), "10001 types, a plugin may have 10000"),
        ("results", results(17), "17 results in one function type, a plugin may have 16"),
        ("results-called", called(500_000), " bytes, one may have 524288"),
        ("results-kept", called(50_000), "800000 values returned by calls, one may have 400000"),
        ("typed-blocks", typed_blocks(40_000), " blocks times what they take and leave, one may have 100000000"),
        (
            "elements",
            format!("(func $e) (elem func {})", repeated("$e ", 200_000)),
            " elements, a plugin may have 100000",
        ),
        ("element-segments", repeated("(elem func)", 2_000), "2000 element segments, a plugin may have 1000"),
        ("same-targets", same_targets(60, 4_000), " branches times locals, one may have 4000000"),
        ("br-table", targets(1_000_000), " bytes, one may have 524288"),
    ] {
        all.push(Hostile::refused(&format!("bomb-{name}"), Guest::new().field(&field), because)?);
    }
    let imports = repeated("(import \"sandbar_v1\" \"metric\" (func (param i32 i32 i32 f64)))", 2_000);
    let text = Guest::new().text().replacen("(module", &format!("(module {imports}"), 1);
    all.push(super::gate::module("bomb-imports", &text, " imports, a plugin may have 1000")?);

    let mut sections = Guest::new().build()?;
    (0..5_000).for_each(|_| sections.extend([0, 2, 1, b'x']));
    let because = Fate::Refused("the module has more than 4096 sections".to_owned());
    all.push(Hostile::new("bomb-sections", sections, because));
    // A section of functions that says there are four thousand million, in a dozen bytes.
    let mut count = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03".to_vec();
    let body = [leb(u32::MAX as usize), vec![0]].concat();
    count.extend(leb(body.len()));
    count.extend(body);
    let because = Fate::Refused("4294967295 functions, a plugin may have 50000".to_owned());
    all.push(Hostile::new("bomb-count", count, because));

    for (name, field, because) in [
        ("table", "(table 10000000 funcref)".to_owned(), "table"),
        ("tables", repeated("(table 1 funcref)", 50), "table"),
        ("globals", repeated("(global i32 (i32.const 0))", 80_000), "instance"),
        ("targets", targets(100_000), "`br_table` has 99999 targets"),
    ] {
        let guest = Guest::new().field(&field);
        all.push(Hostile::build(&format!("bomb-{name}"), guest, Fate::DoesNotCompile(because.to_owned()))?);
    }
    Ok(all)
}

fn exports(count: usize) -> String {
    (0..count).fold("(func $exported)".to_owned(), |mut text, n| {
        // Writing to a string cannot fail.
        let _ = write!(text, "(export \"{n}\" (func $exported))");
        text
    })
}

fn nested(what: &str, depth: usize) -> String {
    format!("(func {} {})", format!("{what} ").repeat(depth), "end ".repeat(depth))
}

fn branches(locals: usize, blocks: usize) -> String {
    format!("(func {} {})", "(local i64)".repeat(locals), "block end ".repeat(blocks))
}

/// Types that differ, of a thousand parameters each.
fn types(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let bits = format!("{n:015b}").replace('0', " i32").replace('1', " i64");
        let _ = write!(text, "(type (func (param{bits}{})))", " f64".repeat(985));
        text
    })
}

/// A type with so many results.
fn results(count: usize) -> String {
    format!("(type (func (result{})))", " i64".repeat(count))
}

/// Calls, two bytes each, that leave sixteen values each.
fn called(count: usize) -> String {
    let results = " i64".repeat(16);
    format!("(func $many (result{results}) unreachable) (func {} unreachable)", "call $many ".repeat(count))
}

fn typed_blocks(count: usize) -> String {
    format!("(func {})", "block (result i32) i32.const 0 end drop ".repeat(count))
}

/// A switch whose cases are all the same, over locals that are in use there.
fn same_targets(locals: usize, targets: usize) -> String {
    let set: String = (1..=locals).map(|local| format!("i64.const {local} local.set {local} ")).collect();
    let get: String = (1..=locals).map(|local| format!("local.get {local} drop ")).collect();
    format!(
        "(func (param i32) (local{}) (block $a local.get 0 br_if $a {set} local.get 0 br_table {}$a) {get})",
        " i64".repeat(locals),
        "$a ".repeat(targets)
    )
}

fn targets(count: usize) -> String {
    format!("(func (block (br_table {}(i32.const 0))))", "0 ".repeat(count))
}
