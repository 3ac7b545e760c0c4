//! Guests that call the host without end, and that tell it what cannot be told: numbers that are none, bytes that are no
//! text, text that would steer a terminal.

use anyhow::Result;
use sandbar_abi::names;

use super::lies::escaped;
use super::manifests::TERMINAL;
use super::{Hostile, OUT_OF_FUEL};
use crate::wat::Guest;

/// `{"a":1}` at 1040; what the vectors of `fd_write` name at 1056 and 1064: 8 bytes, and 40,000.
const DATA: &str = r#"(data (i32.const 1040) "{\22a\22:1}")
    (data (i32.const 1056) "\00\04\00\00\08\00\00\00") (data (i32.const 1064) "\00\10\00\00\40\9c\00\00")"#;

/// Each host call, with a key that changes every time.
const CALLS: &[(&str, &str)] = &[
    ("log", "(call $log (i32.const 3) (i32.const 1024) (i32.const 8))"),
    ("set-error", "(call $set_error (i32.const -2) (i32.const 1024) (i32.const 8))"),
    ("metric", "(call $metric (i32.const 0) (i32.const 1024) (i32.const 4) (f64.const 1))"),
    ("config-get", "(drop (call $config_get (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0)))"),
    ("offset-get", "(drop (call $offset_get (i32.const 1040) (i32.const 7) (i32.const 0) (i32.const 0)))"),
    ("offset-put", "(drop (call $offset_put (i32.const 1040) (i32.const 7) (i32.const 1040) (i32.const 7)))"),
    ("state-get", "(drop (call $state_get (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0)))"),
    ("state-put", "(drop (call $state_put (i32.const 1024) (i32.const 4) (i32.const 1024) (i32.const 4)))"),
    ("state-delete", "(drop (call $state_delete (i32.const 1024) (i32.const 4)))"),
    ("print", "(drop (call $fd_write (i32.const 1) (i32.const 1056) (i32.const 1) (i32.const 1072)))"),
    ("random", "(drop (call $random_get (i32.const 1072) (i32.const 8)))"),
    ("environment", "(drop (call $environ_sizes_get (i32.const 1072) (i32.const 1076)))"),
];

/// Calls of which each does much.
const LARGE: &[(&str, &str)] = &[
    ("large-log", "(call $log (i32.const 4) (i32.const 0) (i32.const 65536))"),
    ("large-set-error", "(call $set_error (i32.const -2) (i32.const 0) (i32.const 65536))"),
    ("large-state", "(drop (call $state_put (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 9000)))"),
    ("large-print", "(drop (call $fd_write (i32.const 2) (i32.const 1064) (i32.const 1) (i32.const 1072)))"),
    ("large-random", "(drop (call $random_get (i32.const 0) (i32.const 65536)))"),
];

pub(super) fn all() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for (name, call) in CALLS {
        all.push(Hostile::fails(&format!("flood-{name}"), flood(call), "poll", OUT_OF_FUEL)?);
    }
    for (name, call) in LARGE {
        // Whichever budget ends first: which one does is not the point.
        all.push(Hostile::fails(&format!("flood-{name}"), flood(call), "poll", "sandbox.")?.by_the_clock());
    }
    let every: String = CALLS.iter().map(|(_, call)| *call).collect();
    let by_the_clock = Hostile::fails("flood-of-everything", flood(&every), "poll", "took longer than ")?;
    all.push(by_the_clock.by_the_clock());

    let numbers = ["nan", "inf", "-inf", "-0", "0x1p-1074", "0x1.fffffffffffffp+1023"];
    let metrics: String = numbers
        .iter()
        .flat_map(|number| {
            [0, 1, 2, 3, -1, i32::MIN].map(|kind| {
                format!("(call $metric (i32.const {kind}) (i32.const 1024) (i32.const 4) (f64.const {number}))")
            })
        })
        .collect();
    let guest =
        Guest::new().field("(data (i32.const 1024) \"load\")").with(names::POLL, &format!("{metrics} (i64.const 0)"));
    all.push(Hostile::lives("metrics-that-are-no-numbers", guest)?);
    let levels: String = [0, 1, 2, 3, 4, 99, -1, i32::MIN, i32::MAX]
        .map(|level| format!("(call $log (i32.const {level}) (i32.const 1024) (i32.const 4))"))
        .concat();
    let guest =
        Guest::new().field("(data (i32.const 1024) \"line\")").with(names::POLL, &format!("{levels} (i64.const 0)"));
    all.push(Hostile::lives("log-levels-that-are-none", guest)?);

    for (name, bytes) in
        [("no-text", &b"\xff\xfe\xc0\x80\xed\xa0\x80 \xf4\x90\x80\x80"[..]), ("a-terminal", TERMINAL.as_bytes())]
    {
        let (len, data) = (bytes.len(), escaped(bytes));
        let data = format!("{DATA} (data (i32.const 1200) \"{data}\")");
        let at = format!("(i32.const 1200) (i32.const {len})");
        let say = format!(
            "(call $log (i32.const 2) {at})
            (call $metric (i32.const 0) {at} (f64.const 1))
            (drop (call $config_get {at} (i32.const 0) (i32.const 0)))
            (drop (call $offset_get {at} (i32.const 0) (i32.const 0)))
            (drop (call $offset_put {at} {at}))
            (drop (call $state_put {at} {at}))
            (i32.store (i32.const 1056) (i32.const 1200)) (i32.store (i32.const 1060) (i32.const {len}))
            (drop (call $fd_write (i32.const 2) (i32.const 1056) (i32.const 1) (i32.const 1072)))"
        );
        let guest = Guest::new().field(&data).with(names::POLL, &format!("{say} (i64.const 0)"));
        all.push(Hostile::lives(&format!("says-{name}"), guest)?);
        let fatal = format!("(call $set_error (i32.const -2) {at}) (i64.const -2)");
        let guest = Guest::new().field(&data).with(names::POLL, &fatal);
        let cause = format!("fatal: {}", String::from_utf8_lossy(bytes));
        all.push(Hostile::fails(&format!("fails-with-{name}"), guest, "poll", &cause)?);
    }
    Ok(all)
}

/// A source that makes a call again and again. The key of four bytes at 1024 is another one each time.
fn flood(call: &str) -> Guest {
    let body = format!(
        "(loop $again
            (i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 1)))
            {call} (br $again)) unreachable"
    );
    Guest::new().field(DATA).with(names::POLL, &body)
}
