//! What is fuzzed: one function a target, which takes any bytes and panics if the code under test does not hold.
//!
//! The targets in `fuzz/` are one line each and call these; `tests/tests/corpora.rs` replays what they found.

mod encode;
mod files;
mod frames;
mod guests;
mod seeds;

pub use encode::differential;
pub use files::{definition, http_message, manifest, module};
pub use frames::frame;
pub use guests::guest_return;
pub use seeds::{Seed, seeds};

/// A target: takes any bytes, and panics at a defect.
pub type Target = fn(&[u8]);

/// The targets, by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("definition", definition),
    ("differential", differential),
    ("frame", frame),
    ("guest_return", guest_return),
    ("http_message", http_message),
    ("manifest", manifest),
    ("module", module),
];
