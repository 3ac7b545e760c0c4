//! Judges files under every policy, with signatures as minisign makes them and as they should not be.

use std::io::Cursor;

use minisign::{KeyPair, PublicKeyBox, SecretKey};

use super::*;
use crate::digest::Digest;

const CODE: &[u8] = b"\0asm, more or less";

fn keypair() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

fn sign(key: &SecretKey, code: &[u8], comment: &str) -> String {
    minisign::sign(None, key, Cursor::new(code), Some(comment), None).unwrap().into_string()
}

fn public(pair: &KeyPair) -> PublicKey {
    PublicKey::parse(&pair.pk.to_base64()).unwrap()
}

fn trusting(pairs: &[&KeyPair], require_signature: bool) -> Policy {
    Policy { keys: pairs.iter().map(|pair| public(pair)).collect(), require_signature, ..Policy::default() }
}

/// Judges, and shows the verdict as a word: who signed it, or every reason against it.
fn judged(policy: &Policy, code: &[u8], signature: Option<&str>) -> String {
    match policy.judge(code, signature.map(str::as_bytes)) {
        Ok(Verdict { sha256, signer }) => {
            assert_eq!(sha256, Digest::of(code));
            match signer {
                Signer::Unsigned => "unsigned".to_owned(),
                Signer::Unverified { .. } => "unverified".to_owned(),
                Signer::Verified { comment, .. } => format!("signed: {comment}"),
            }
        }
        Err(errors) => {
            let word = |error: &TrustError| match error {
                TrustError::NotAllowed { .. } => "not allowed",
                TrustError::Unsigned => "signature required",
                TrustError::Malformed { .. } => "malformed",
                TrustError::Legacy { .. } => "legacy",
                TrustError::UnknownKey { .. } => "unknown key",
                TrustError::Wrong { .. } => "wrong",
            };
            errors.iter().map(word).collect::<Vec<_>>().join(", ")
        }
    }
}

#[test]
fn a_signature_is_held_to_be_right_where_there_are_keys() {
    let (ours, theirs) = (keypair(), keypair());
    let (good, foreign) = (sign(&ours.sk, CODE, "build 7"), sign(&theirs.sk, CODE, "build 7"));
    let of_other = sign(&ours.sk, b"other code", "build 8");
    let nobody = trusting(&[], false);
    let optional = trusting(&[&ours], false);
    let required = trusting(&[&ours], true);
    for (policy, signature, expected) in [
        (&nobody, None, "unsigned"),
        (&nobody, Some(&good), "unverified"),
        (&nobody, Some(&foreign), "unverified"),
        (&optional, None, "unsigned"),
        (&optional, Some(&good), "signed: build 7"),
        (&optional, Some(&foreign), "unknown key"),
        (&optional, Some(&of_other), "wrong"),
        (&required, None, "signature required"),
        (&required, Some(&good), "signed: build 7"),
        (&required, Some(&foreign), "unknown key"),
        (&required, Some(&of_other), "wrong"),
    ] {
        assert_eq!(judged(policy, CODE, signature.map(String::as_str)), expected, "{policy:?}");
    }
    assert_eq!(judged(&required, b"other code", Some(&good)), "wrong");
}

#[test]
fn a_key_is_rolled_by_trusting_both_for_a_while() {
    let (old, new) = (keypair(), keypair());
    let both = trusting(&[&old, &new], true);
    for pair in [&old, &new] {
        assert_eq!(judged(&both, CODE, Some(&sign(&pair.sk, CODE, "x"))), "signed: x");
    }
    assert_eq!(judged(&trusting(&[&new], true), CODE, Some(&sign(&old.sk, CODE, "x"))), "unknown key");
}

#[test]
fn two_keys_may_claim_one_id() {
    let (ours, theirs) = (keypair(), keypair());
    // An id is part of a key's own bytes: whoever makes a key may write any id into it.
    let line = |pair: &KeyPair| pair.pk.to_base64();
    let disguised = {
        use base64::Engine as _;
        let engine = &base64::engine::general_purpose::STANDARD;
        let (mut bytes, id) = (engine.decode(line(&theirs)).unwrap(), engine.decode(line(&ours)).unwrap());
        bytes[2..10].copy_from_slice(&id[2..10]);
        PublicKey::parse(&engine.encode(bytes)).unwrap()
    };
    assert_eq!(disguised.id(), public(&ours).id());
    let signature = sign(&ours.sk, CODE, "x");
    let both = Policy { keys: vec![disguised.clone(), public(&ours)], ..Policy::default() };
    assert_eq!(judged(&both, CODE, Some(&signature)), "signed: x");
    let only = Policy { keys: vec![disguised], ..Policy::default() };
    assert_eq!(judged(&only, CODE, Some(&signature)), "wrong");
}

#[test]
fn the_list_and_the_signature_both_have_to_agree() {
    let pair = keypair();
    let good = sign(&pair.sk, CODE, "x");
    let listed = |digest| Policy { allow: Some([digest].into()), ..trusting(&[&pair], true) };
    let (this, other) = (listed(Digest::of(CODE)), listed(Digest::of(b"")));
    assert_eq!(judged(&this, CODE, Some(&good)), "signed: x");
    assert_eq!(judged(&this, CODE, None), "signature required");
    assert_eq!(judged(&other, CODE, Some(&good)), "not allowed");
    assert_eq!(judged(&other, CODE, None), "not allowed, signature required");
    let nothing = Policy { allow: Some([].into()), ..Policy::default() };
    assert_eq!(judged(&nothing, CODE, None), "not allowed");
}

#[test]
fn no_byte_of_a_signature_may_change() {
    let pair = keypair();
    let (policy, good) = (trusting(&[&pair], false), sign(&pair.sk, CODE, "build 7"));
    let comment_ends = good.find('\n').unwrap();
    assert_eq!(judged(&policy, CODE, Some(&good)), "signed: build 7");
    for at in comment_ends + 1..good.trim_end().len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let verdict = policy.judge(CODE, Some(&bytes));
        assert!(verdict.is_err(), "byte {at}: {verdict:?}");
    }
    for len in 0..good.trim_end().len() {
        let verdict = policy.judge(CODE, Some(&good.as_bytes()[..len]));
        assert!(verdict.is_err(), "{len} bytes: {verdict:?}");
    }
}

#[test]
fn what_is_no_signature_is_refused_even_without_keys() {
    let pair = keypair();
    let nobody = Policy::default();
    for (text, what) in [
        ("", "it is empty"),
        ("one line", "it has no second line"),
        ("comment\nnot base64!", "its second line is not base64"),
        ("comment\nRUQf", "its second line is too short"),
        ("comment\nAAAAAAAAAAAAAAAAAAAA", "its algorithm is unknown"),
        ("comment\nRUQf6LRCGA9i559r3g7V1qNyJDAp", "it lacks one of its four lines, or one is cut"),
    ] {
        assert_eq!(nobody.judge(CODE, Some(text.as_bytes())), Err(vec![TrustError::Malformed { what }]), "{text}");
    }
    assert!(nobody.judge(CODE, Some(b"\xff\xfe\0\0")).is_err());
    let windows = sign(&pair.sk, CODE, "x").replace('\n', "\r\n");
    assert_eq!(judged(&trusting(&[&pair], true), CODE, Some(&windows)), "signed: x");
}

#[test]
fn the_legacy_format_is_refused_by_name() {
    // Made by minisign's author, of the four bytes "test".
    let key = PublicKey::parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
    let legacy = "untrusted comment: signature from minisign secret key\n\
        RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
        trusted comment: timestamp:1555779966\tfile:test\n\
        QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==";
    let prehashed = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1556193335\tfile:test\n\
        y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";
    let policy = Policy { keys: vec![key], ..Policy::default() };
    assert_eq!(judged(&policy, b"test", Some(legacy)), "legacy");
    assert_eq!(judged(&policy, b"test", Some(prehashed)), "signed: timestamp:1556193335\tfile:test");
}

#[test]
fn keys_are_read_as_people_have_them() {
    let pair = keypair();
    let line = pair.pk.to_base64();
    let file = PublicKeyBox::into_string(pair.pk.to_box().unwrap());
    assert!(file.lines().count() > 1, "{file}");
    let key = PublicKey::parse(&line).unwrap();
    for text in [&file, &format!("{line}\n"), &format!("\r\n{line}\r\n")] {
        assert_eq!(PublicKey::parse(text), Ok(key.clone()), "{text}");
    }
    // As minisign writes it into the comment of the file.
    assert!(file.contains(&key.id().to_string()), "{file} does not name {}", key.id());

    let secret = pair.sk.to_box(None).unwrap().into_string();
    assert_eq!(PublicKey::parse(&secret), Err(KeyError::Secret));
    for text in ["", "RW", "not a key", "untrusted comment: x", &format!("{line}\n{line}"), &line[1..]] {
        assert_eq!(PublicKey::parse(text), Err(KeyError::NotAKey), "{text}");
    }
}
