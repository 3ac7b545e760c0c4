//! Guests that the gate lets through, and that go wrong before they are open.

use anyhow::Result;
use sandbar_abi::names;

use super::{Fate, Hostile, OUT_OF_FUEL, UNREACHABLE};
use crate::wat::Guest;

const LOOP: &str = "(loop $again (br $again))";

pub(super) fn all() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for (export, call, result) in [
        (names::INITIALIZE, "_initialize", ""),
        (names::RESERVE, "reserve", "(i32.const 0)"),
        (names::OPEN, "open", "(i64.const 0)"),
    ] {
        let short = call.trim_start_matches('_');
        for (how, body, cause) in [
            ("loops", format!("{LOOP} unreachable"), OUT_OF_FUEL),
            ("traps", "unreachable".to_owned(), UNREACHABLE),
            (
                "exits",
                format!("(call $proc_exit (i32.const 0)) {result}"),
                "exited with status 0; a plugin must return",
            ),
            ("recurses", format!("(call $deeper) {result}"), "trapped: wasm trap: call stack exhausted"),
            (
                "grows-and-traps",
                format!("(drop (memory.grow (i32.const 65535))) unreachable {result}"),
                "ran out of memory: ",
            ),
        ] {
            let guest = Guest::new().field("(func $deeper (call $deeper) (call $deeper))").with(export, &body);
            all.push(Hostile::does_not_start(&format!("{short}-{how}"), guest, call, cause)?);
        }
    }
    let does_not_start = |name: &str, guest: Guest, call, cause| Hostile::does_not_start(name, guest, call, cause);
    let reserves = |at: &str| Guest::new().with(names::RESERVE, &format!("(i32.const {at})"));
    all.push(does_not_start("reserve-nothing", reserves("0"), "reserve", "ran out of memory: ")?);
    all.push(does_not_start("reserve-odd", reserves("4097"), "reserve", "0x1001, which is not a multiple of 8")?);
    for (name, at) in [("end", "65536"), ("last-bytes", "65528"), ("minus-eight", "-8"), ("half", "0x80000000")] {
        let cause = "contract violation: the input buffer at ";
        all.push(does_not_start(&format!("reserve-{name}"), reserves(at), "open", cause)?);
    }
    for (class, cause) in [(-1, "retryable: "), (-2, "fatal: "), (-3, "contract violation: "), (-4, "throttled for ")] {
        let guest = Guest::new().with(names::OPEN, &format!("(i64.const {class})"));
        all.push(does_not_start(&format!("open-answers-{}", -class), guest, "open", cause)?);
    }
    let lost = Guest::new().with(names::OPEN, "(i64.const 0x0000001000010000)");
    all.push(does_not_start(
        "open-answers-outside",
        lost,
        "open",
        "contract violation: an output at 0x10000 with 16 bytes",
    )?);
    let data = Guest::new().field("(data (i32.const 65530) \"too long by a few bytes\")");
    all.push(does_not_start("data-outside", data, "start", "out of bounds memory access")?);
    let negative = Guest::new().field("(data (i32.const -1) \"x\")");
    all.push(does_not_start("data-below", negative, "start", "out of bounds memory access")?);
    let elements = Guest::new().field("(table 1 funcref) (elem (i32.const 1) func $begin)");
    all.push(does_not_start("elements-outside", elements, "start", "out of bounds table access")?);
    all.push(does_not_start("memory-above-the-limit", Guest::new().pages(17), "start", "memory")?);
    let huge = Fate::DoesNotCompile("memory".to_owned());
    all.push(Hostile::build("memory-of-four-gigabytes", Guest::new().pages(65_536), huge)?);

    // What may be called before anything was opened, may be called.
    let body = "
        (call $log (i32.const 3) (i32.const 0) (i32.const 0))
        (call $set_error (i32.const -1) (i32.const 0) (i32.const 0))
        (call $metric (i32.const 0) (i32.const 0) (i32.const 1) (f64.const 1))
        (drop (call $config_get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $offset_get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $offset_put (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $state_get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $state_put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))
        (drop (call $state_delete (i32.const 0) (i32.const 1)))
        (drop (call $random_get (i32.const 0) (i32.const 8)))";
    all.push(Hostile::lives("initialize-calls-everything", Guest::new().with(names::INITIALIZE, body))?);
    // Exports that call each other: the host counts its calls, not the guest's.
    let opens_again = "(drop (call $init)) (i64.const 0)";
    let guest = Guest::new().with(names::OPEN, opens_again).field("(func $init (result i32) (call $begin))");
    all.push(Hostile::lives("open-calls-itself", guest)?);
    Ok(all)
}
