//! Guests that pass pointers and lengths that do not lie in their memory, at every place of every import, at every edge.

use anyhow::Result;
use sandbar_abi::names;

use super::{Fate, Hostile};
use crate::wat::Guest;

/// The guest's memory.
const SIZE: u32 = 64 << 10;
/// Where the pairs lie of which each poll takes one.
const PAIRS: u32 = 2048;
/// Pointer and length.
type Pair = (u32, u32);

/// A byte past the end, past the end by one, sums that overflow to nothing, signs.
const OUTSIDE: &[Pair] = &[
    (SIZE, 1),
    (SIZE - 1, 2),
    (0, SIZE + 1),
    (1, SIZE),
    (u32::MAX, 0),
    (u32::MAX, 1),
    (u32::MAX, u32::MAX),
    (u32::MAX - 7, 8),
    (0x7fff_ffff, 1),
    (0x8000_0000, 1),
    (0x8000_0000, 0x8000_0000),
    (0, 0x8000_0000),
    (1, u32::MAX),
    (SIZE, 0x7fff_ffff),
    (0, 1 << 30),
];

/// Places to write a value of some bytes to, where it fits the length and not the memory.
const OUT: &[Pair] =
    &[(SIZE, 100), (SIZE - 1, 100), (SIZE - 6, 100), (u32::MAX, u32::MAX), (u32::MAX - 6, 100), (0x8000_0000, 100)];

/// What each place is called in errors, and the call, with `$ptr` and `$len` for the pair. `greeting` lies at 1024, `{"a":1}`
/// at 1040.
const PLACES: &[(&str, &str, &str)] = &[
    ("log", "log: line", "(call $log (i32.const 3) $ptr $len)"),
    ("set-error", "set_error: message", "(call $set_error (i32.const -2) $ptr $len)"),
    ("metric", "metric: name", "(call $metric (i32.const 0) $ptr $len (f64.const 1))"),
    ("config-get-key", "config_get", "(drop (call $config_get $ptr $len (i32.const 0) (i32.const 9)))"),
    ("offset-get-key", "offset_get", "(drop (call $offset_get $ptr $len (i32.const 0) (i32.const 9)))"),
    ("state-get-key", "state_get", "(drop (call $state_get $ptr $len (i32.const 0) (i32.const 9)))"),
    ("offset-put-key", "offset_put: key", "(drop (call $offset_put $ptr $len (i32.const 1040) (i32.const 7)))"),
    ("offset-put-value", "offset_put: value", "(drop (call $offset_put (i32.const 1040) (i32.const 7) $ptr $len))"),
    ("state-put-key", "state_put: key", "(drop (call $state_put $ptr $len (i32.const 0) (i32.const 1)))"),
    ("state-put-value", "state_put: value", "(drop (call $state_put (i32.const 0) (i32.const 1) $ptr $len))"),
    ("state-delete-key", "state_delete: key", "(drop (call $state_delete $ptr $len))"),
];

/// The same for places to write to, and how long the value is.
const OUTS: &[(&str, &str, u32, &str)] = &[
    (
        "offset-get-out",
        "offset_get",
        7,
        "(drop (call $offset_put (i32.const 1040) (i32.const 7) (i32.const 1040) (i32.const 7)))
         (drop (call $offset_get (i32.const 1040) (i32.const 7) $ptr $len))",
    ),
    (
        "state-get-out",
        "state_get",
        8,
        "(drop (call $state_put (i32.const 1024) (i32.const 8) (i32.const 1024) (i32.const 8)))
         (drop (call $state_get (i32.const 1024) (i32.const 8) $ptr $len))",
    ),
];

pub(super) fn all() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for (name, what, call) in PLACES {
        let causes = OUTSIDE.iter().map(|(ptr, len)| outside(what, *ptr, *len)).collect();
        all.push(Hostile::build(
            &format!("pointer-{name}"),
            guest(call, OUTSIDE),
            Fate::Fails { call: "poll", causes },
        )?);
    }
    for (name, what, len, call) in OUTS {
        let causes = OUT.iter().map(|(ptr, _)| outside(what, *ptr, *len)).collect();
        all.push(Hostile::build(&format!("pointer-{name}"), guest(call, OUT), Fate::Fails { call: "poll", causes })?);
    }
    // What lies in memory by a byte is taken, and what is empty, up to the very end.
    let edges = [(0, 0), (SIZE, 0), (SIZE - 1, 1), (SIZE - 8, 8)];
    let calls: String = edges.iter().flat_map(|pair| PLACES.iter().map(|place| at(place.2, *pair))).collect();
    let guest = Guest::new().field(DATA).with(names::POLL, &format!("{calls} (i64.const 0)"));
    all.push(Hostile::lives("pointer-at-the-very-end", guest)?);
    all.push(Hostile::lives("pointer-overlaps", overlaps())?);
    Ok(all)
}

const DATA: &str = r#"(data (i32.const 1024) "greeting") (data (i32.const 1040) "{\22a\22:1}")"#;

fn outside(what: &str, ptr: u32, len: u32) -> String {
    format!("trapped: {what} at {ptr:#x} with {len} bytes does not lie in the guest's memory of {SIZE} bytes")
}

/// A call with a pair in it.
fn at(call: &str, (ptr, len): Pair) -> String {
    call.replace("$ptr", &format!("(i32.const {ptr})")).replace("$len", &format!("(i32.const {len})"))
}

/// A source that makes a call with the pair that the number of records chooses.
fn guest(call: &str, pairs: &[Pair]) -> Guest {
    let bytes: Vec<u8> = pairs.iter().flat_map(|(ptr, len)| [ptr.to_le_bytes(), len.to_le_bytes()].concat()).collect();
    let table = super::lies::escaped(&bytes);
    let call = call.replace("$ptr", "(i32.load (local.get 3))").replace("$len", "(i32.load offset=4 (local.get 3))");
    let body = format!(
        "(local i32)
        (local.set 3 (i32.add (i32.const {}) (i32.mul (local.get 0) (i32.const 8))))
        {call} (i64.const 0)",
        PAIRS - 8
    );
    Guest::new().field(DATA).field(&format!("(data (i32.const {PAIRS}) \"{table}\")")).with(names::POLL, &body)
}

/// Keys, values and answers in the same bytes: what was asked is read before what is answered is written.
fn overlaps() -> Guest {
    let body = "
        (drop (call $state_put (i32.const 1024) (i32.const 8) (i32.const 1026) (i32.const 8)))
        (if (i64.ne (call $state_get (i32.const 1024) (i32.const 8) (i32.const 1024) (i32.const 8)) (i64.const 8))
            (then unreachable))
        (if (i64.ne (i64.load (i32.const 1024)) (i64.load (i32.const 1064))) (then unreachable))
        (if (i64.ne (call $state_get (i32.const 1024) (i32.const 8) (i32.const 1020) (i32.const 8)) (i64.const -1))
            (then unreachable))
        (i64.store (i32.const 1024) (i64.load (i32.const 1056)))
        (if (i64.ne (call $state_get (i32.const 1024) (i32.const 8) (i32.const 1020) (i32.const 8)) (i64.const 8))
            (then unreachable))
        (if (i64.ne (i64.load (i32.const 1020)) (i64.load (i32.const 1064))) (then unreachable))
        (i64.store (i32.const 1024) (i64.load (i32.const 1056)))
        (i64.const 0)";
    let data = r#"(data (i32.const 1056) "greeting") (data (i32.const 1064) "eeting\00\00")"#;
    Guest::new().field(DATA).field(data).with(names::POLL, body)
}
