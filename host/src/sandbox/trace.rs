//! Where in a guest a call ended, as text. The names in it are the guest's: any length, and mangled so that a few bytes may
//! stand for gigabytes. So it is written with an end, and only names that Rust mangled are made readable.

use std::fmt::{self, Write};

use sandbar_abi::names::MAX_TEXT_BYTES;
use wasmtime::WasmBacktrace;

/// A text that takes no more than fits, and makes whoever writes stop there.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT_BYTES - self.0.len();
        let fits = &text[..text.floor_char_boundary(room)];
        self.0.push_str(fits);
        if fits.len() < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The frames of a trace, the innermost first, a line each.
pub(super) fn text(trace: &WasmBacktrace) -> String {
    let frames = trace.frames().iter().map(|frame| (frame.func_name(), frame.func_index(), frame.module_offset()));
    write(frames)
}

fn write<'a>(frames: impl Iterator<Item = (Option<&'a str>, u32, Option<usize>)>) -> String {
    let mut text = Bounded(String::new());
    // It ends early where it is full.
    let _ = frames.enumerate().try_for_each(|(depth, (name, index, offset))| {
        write!(text, "{}{depth:>5}: {:#8x} - ", if depth == 0 { "" } else { "\n" }, offset.unwrap_or_default())?;
        match name {
            Some(name) => write!(text, "{:#}", rustc_demangle::demangle(name)),
            None => write!(text, "<wasm function {index}>"),
        }
    });
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_numbered_and_rusts_names_are_readable() {
        let frames = [(Some("_ZN4core9panicking5panic17h0123456789abcdefE"), 1, Some(0x1f)), (None, 7, None)];
        assert_eq!(
            write(frames.into_iter()),
            "    0:     0x1f - core::panicking::panic\n    1:      0x0 - <wasm function 7>"
        );
    }

    #[test]
    fn a_trace_has_an_end_whatever_its_names_stand_for() {
        let long = "\u{e9}".repeat(100_000);
        let text = write([(Some(long.as_str()), 1, Some(1)), (Some("next"), 2, Some(2))].into_iter());
        assert!((MAX_TEXT_BYTES - 1..=MAX_TEXT_BYTES).contains(&text.len()), "{}", text.len());
        // A hundred nested types of a hundred parts each, by back references.
        let level = |n: usize| format!("1{}I{}E", char::from(b'A' + u8::try_from(n).unwrap_or(0)), "S_".repeat(100));
        let cpp: String = (0..5).map(level).collect();
        assert!(write([(Some(format!("_Z1f{cpp}").as_str()), 1, Some(1))].into_iter()).len() <= MAX_TEXT_BYTES);
        let rust = format!("_RINvC1a1b{}E", "TB7_B7_B7_B7_B7_B7_B7_B7_E".repeat(200));
        assert!(write([(Some(rust.as_str()), 1, Some(1))].into_iter()).len() <= MAX_TEXT_BYTES);
    }
}
