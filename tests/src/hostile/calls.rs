//! Guests that go wrong in the middle of a call: they exit, recurse, move what should stay, and change what they were given.

use anyhow::Result;
use sandbar_abi::FrameBuilder;
use sandbar_abi::frame::layout::{self, flags, header, record};
use sandbar_abi::names;
use sandbar_abi::status::Returned;

use super::{Hostile, OUT_OF_FUEL};
use crate::wat::{Guest, INPUT};

const STACK: &str = "trapped: wasm trap: call stack exhausted";

pub(super) fn all() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for export in [
        names::POLL,
        names::WRITE,
        names::TRANSFORM,
        names::FLUSH,
        names::COMMITTED,
        names::CHECK,
        names::TASK_CONFIGS,
        names::ASSIGNED,
        names::REVOKED,
        names::CLOSE,
    ] {
        let call = export.trim_start_matches("sandbar_");
        let name = call.replace('_', "-");
        let exits = Guest::new().with(export, "(call $proc_exit (i32.const 7)) unreachable");
        let cause = "exited with status 7; a plugin must return, not exit";
        all.push(Hostile::fails(&format!("exits-in-{name}"), exits, call, cause)?);
        let trap = "(call $set_error (i32.const -1) (i32.const 1024) (i32.const 11)) unreachable";
        let guest = Guest::new().field("(data (i32.const 1024) \"last words.\")").with(export, trap);
        all.push(Hostile::fails(&format!("panics-in-{name}"), guest, call, "trapped: last words.")?);
    }
    all.extend(recursion()?);
    all.extend(memory()?);
    Ok(all)
}

fn recursion() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    for (name, field) in [
        ("itself", "(func $deeper (call $deeper) (call $deeper))"),
        ("another", "(func $deeper (call $other) (call $other)) (func $other (call $deeper) (call $deeper))"),
        (
            "a-table",
            "(table 1 funcref) (elem (i32.const 0) func $deeper)
             (func $deeper (call_indirect (i32.const 0)) (call_indirect (i32.const 0)))",
        ),
        (
            // One a frame: host calls cost fuel, and it is the stack that shall end first.
            "host-calls",
            "(func $deeper (local i64 i64 i64 i64 i64 i64 i64 i64)
                (local.set 0 (i64.load (i32.const 0))) (local.set 1 (i64.load (i32.const 8)))
                (local.set 2 (i64.load (i32.const 16))) (local.set 3 (i64.load (i32.const 24)))
                (local.set 4 (i64.load (i32.const 32))) (local.set 5 (i64.load (i32.const 40)))
                (local.set 6 (i64.load (i32.const 48))) (local.set 7 (i64.load (i32.const 56)))
                (drop (call $state_put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 8)))
                (call $deeper)
                (i64.store (i32.const 0) (i64.add (i64.add (i64.add (local.get 0) (local.get 1)) (i64.add
                    (local.get 2) (local.get 3))) (i64.add (i64.add (local.get 4) (local.get 5))
                    (i64.add (local.get 6) (local.get 7))))))",
        ),
        (
            // A frame of some kilobytes each, so that the last one before the end is a host function's.
            "wide-host-calls",
            "(func $deeper (param i64 i64 i64 i64) (result i64)
                (drop (call $random_get (i32.const 0) (i32.const 8)))
                (i64.add (call $wide (i64.const 1)) (local.get 3)))
             (func $wide (param i64) (result i64)
                (i64.add (call $deeper (local.get 0) (local.get 0) (local.get 0) (local.get 0))
                    (i64.extend_i32_s (call $state_delete (i32.const 0) (i32.const 1)))))",
        ),
    ] {
        let call = if name == "wide-host-calls" { "(drop (call $wide (i64.const 0)))" } else { "(call $deeper)" };
        let guest = Guest::new().field(field).with(names::POLL, &format!("{call} (i64.const 0)"));
        all.push(Hostile::fails(&format!("recurses-by-{name}"), guest, "poll", STACK)?);
    }
    Ok(all)
}

fn memory() -> Result<Vec<Hostile>> {
    let mut all = Vec::new();
    let grow = "(memory.grow (i32.const 1))";
    let storm = Guest::new().with(names::POLL, &format!("(loop $again (drop {grow}) (br $again)) unreachable"));
    all.push(Hostile::fails("grows-memory-without-end", storm, "poll", OUT_OF_FUEL)?);
    let table = "(table $t 1 funcref)";
    let storm = "(loop $again (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $again)) unreachable";
    let storm = Guest::new().field(table).with(names::POLL, storm);
    all.push(Hostile::fails("grows-a-table-without-end", storm, "poll", OUT_OF_FUEL)?);
    let bounded = "(if (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)) (then unreachable))
        (i64.const 0)";
    all.push(Hostile::lives("grows-a-table-too-far", Guest::new().field(table).with(names::POLL, bounded))?);
    let at_once = "(drop (table.grow $t (ref.null func) (i32.const 0x7fffffff))) (i64.const 0)";
    let at_once = Guest::new().field(table).with(names::POLL, at_once);
    all.push(Hostile::fails("grows-a-table-at-once", at_once, "poll", OUT_OF_FUEL)?);
    // Each instruction writes a mebibyte, and cannot be interrupted in the middle.
    let fill = format!(
        "(loop $more (br_if $more (i32.ne {grow} (i32.const -1))))
        (loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) (br $again)) unreachable"
    );
    let fill = Guest::new().with(names::POLL, &fill);
    all.push(Hostile::fails("fills-memory-without-end", fill, "poll", "took longer than ")?.by_the_clock());

    let mut frame = FrameBuilder::new();
    frame.record(None, Some(b"fresh"));
    let frame = frame.finish()?;
    let len = frame.len();
    let mut guest = Guest::new();
    let at = guest.data(&frame) & 0xffff_ffff;
    // The host must look at the memory as it is after the call.
    let fresh = format!(
        "(local i32) (local.set 3 (i32.mul {grow} (i32.const 65536)))
        (memory.copy (local.get 3) (i32.const {at}) (i32.const {len}))
        (i64.or (i64.shl (i64.const {len}) (i64.const 32)) (i64.extend_i32_u (local.get 3)))"
    );
    all.push(Hostile::lives("answers-in-fresh-memory", guest.clone().with(names::POLL, &fresh))?);
    let last = format!(
        "(memory.copy (i32.const {}) (i32.const {at}) (i32.const {len})) (i64.const {})",
        (64 << 10) - len,
        Returned::pack(u32::try_from((64 << 10) - len)?, u32::try_from(len)?)
    );
    all.push(Hostile::lives("answers-in-the-last-bytes", guest.clone().with(names::POLL, &last))?);
    let odd = format!(
        "(memory.copy (i32.const 1025) (i32.const {at}) (i32.const {len})) (i64.const {})",
        Returned::pack(1025, u32::try_from(len)?)
    );
    all.push(Hostile::lives("answers-unaligned", guest.with(names::POLL, &odd))?);

    all.push(Hostile::lives("moves-its-input-buffer", moves())?);
    all.push(Hostile::lives("answers-with-its-input", echo())?);
    let garbage = format!("(memory.fill (i32.const {INPUT}) (i32.const 255) (local.get 1)) (i64.const 0)");
    all.push(Hostile::lives("destroys-its-input", Guest::new().with(names::TRANSFORM, &garbage))?);
    let answer = format!("(i64.or (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)) (i64.const {INPUT}))");
    let unnamed = "contract violation: input 0 has no result";
    let guest = Guest::new().with(names::TRANSFORM, &answer);
    all.push(Hostile::fails("answers-with-its-input-as-it-is", guest, "transform", unnamed)?);
    Ok(all)
}

/// Each time it is asked for a buffer it names another one, and it takes no input at a place it did not name last.
fn moves() -> Guest {
    let reserve = format!(
        "(global.set $at (select (i32.const {INPUT}) (i32.const 16384) (i32.eq (global.get $at) (i32.const 16384))))
        (global.get $at)"
    );
    let check = "(if (i32.ne (local.get 0) (global.get $at)) (then unreachable)) (i64.const 0)";
    let guest = Guest::new().field("(global $at (mut i32) (i32.const 0))").with(names::RESERVE, &reserve);
    guest.with(names::OPEN, check).with(names::TRANSFORM, check).with(names::WRITE, check)
}

/// A transform that passes records on by answering with the very bytes it was given: it names each record's input,
/// forgets where it came from, and says that all is well, in place.
#[must_use]
pub(crate) fn echo() -> Guest {
    let (records, count) = (header::SECTIONS, header::SECTIONS + 4);
    let (stride, input, place) = (layout::RECORD_LEN, record::INPUT, record::TOPIC_PARTITION);
    let body = format!(
        "(local i32 i32)
        (i32.store offset={} (local.get 0) (i32.const {}))
        (local.set 3 (i32.add (local.get 0) (i32.load offset={records} (local.get 0))))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get 2) (i32.load offset={count} (local.get 0))))
            (i32.store offset={input} (local.get 3) (local.get 2))
            (i32.store offset={place} (local.get 3) (i32.const -1))
            (local.set 3 (i32.add (local.get 3) (i32.const {stride})))
            (local.set 2 (i32.add (local.get 2) (i32.const 1)))
            (br $next)))
        (i64.or (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)) (i64.extend_i32_u (local.get 0)))",
        header::FLAGS,
        flags::ALL_OK,
    );
    Guest::new().with(names::TRANSFORM, &body)
}
