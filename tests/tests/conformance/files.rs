//! Files that the host would not take: the reasons of the gate, by the rule they are about.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use sandbar::conformance::{self, Verdict};
use sandbar::plugins::inspect;
use sandbar_abi::{Manifest, names};
use sandbar_tests::wat::Guest;

use crate::failed;

#[track_caller]
fn refused(wasm: &[u8], rules: &[u16]) {
    let errors = inspect(wasm).expect_err("a file that is refused");
    let report = conformance::refused(&errors, None);
    assert_eq!(failed(&report), BTreeSet::from_iter(rules.iter().copied()), "{errors:?}");
    let ran = report.rules.iter().filter(|rule| rule.says.contains("poll") && rule.verdict == Verdict::Pass);
    assert_eq!(ran.count(), 0, "nothing of it is run");
}

/// A module with this changed in its text, and this section as its manifest.
fn module(change: impl Fn(String) -> String, section: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut wasm = wat::parse_str(change(Guest::new().text()))?;
    if let Some(section) = section {
        let name = names::MANIFEST_SECTION;
        let mut content = vec![u8::try_from(name.len())?];
        content.extend(name.bytes());
        content.extend(section);
        wasm.push(0);
        wasm.extend(leb(content.len()));
        wasm.extend(content);
    }
    Ok(wasm)
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(n & 0x7f).unwrap_or(0);
        n >>= 7;
        bytes.push(if n == 0 { byte } else { byte | 0x80 });
        if n == 0 {
            return bytes;
        }
    }
}

fn manifest() -> Result<Vec<u8>> {
    let json = br#"{"name": "wat", "version": "1.0.0", "kinds": ["source"], "abi": 1}"#;
    Ok(Manifest::from_json(json)?.to_section()?)
}

#[test]
fn each_reason_has_its_rule() -> Result<()> {
    refused(b"", &[1]);
    refused(b"#!/bin/sh\n", &[1]);
    refused(b"\0asm\x0d\0\x01\0", &[1]);
    let good = manifest()?;
    let with = |change: &dyn Fn(String) -> String| module(change, Some(&good));
    let add = |field: &'static str| {
        move |text: String| format!("{}{field})", text.trim_end().strip_suffix(')').unwrap_or_default())
    };
    assert!(inspect(&with(&|text| text)?).is_ok());
    let extended = "(func $f (result i32) (i32.const 1)) (func (export \"x\") (result i32) (return_call $f))";
    refused(&with(&add(extended))?, &[2]);
    refused(&with(&|text| text.replace("export \"memory\"", "export \"mem\""))?, &[3]);
    refused(&with(&add("(func $start) (start $start)"))?, &[4]);
    refused(&with(&|text| text.replacen("(module", "(module (import \"env\" \"f\" (func))", 1))?, &[5]);
    refused(&with(&|text| text.replacen("(module", "(module (import \"sandbar_v1\" \"new\" (func))", 1))?, &[56]);
    refused(&with(&|text| text.replace("export \"sandbar_poll\"", "export \"poll\""))?, &[6]);
    refused(&with(&|text| text.replace("export \"sandbar_abi_v1\"", "export \"sandbar_abi_v2\""))?, &[53]);
    refused(&module(|text| text, None)?, &[7]);
    refused(&module(|text| text, Some(&[9, 0, 0, 0, b'{']))?, &[8]);
    refused(&module(|text| text, Some(&[1, 0, 0, 0, b'{']))?, &[8]);
    let mut odd = good.get(4..).context("the JSON")?.to_vec();
    odd.splice(1..1, *b"\"colour\":1,");
    let mut section = u32::try_from(odd.len())?.to_le_bytes().to_vec();
    section.extend(odd);
    refused(&module(|text| text, Some(&section))?, &[9]);
    Ok(())
}
