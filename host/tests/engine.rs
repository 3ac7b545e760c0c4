//! An engine that is dropped gives back what it reserved: a process may start and stop many hosts, as tests do.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use sandbar::sandbox::{Compiled, Engine};

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn engines_give_their_address_space_back() {
    let before = mappings();
    for _ in 0..3 {
        let engine = Engine::new().unwrap();
        assert!(mappings() > before + 1000, "the pool reserves what it may need");
        let wasm = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
        Compiled::new(&engine, &wasm, None).unwrap();
    }
    assert!(mappings() < before + 1000, "{} mappings, {before} before", mappings());
}
