//! Guests that call host functions with values that cannot be. Pointers that cannot be are in the catalogue of hostile
//! guests.

use anyhow::{Context as _, Result};
use sandbar::sandbox::{Grants, Instance, Ledger, Limits};
use sandbar_abi::manifest::Kind;
use sandbar_abi::names::{self, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use sandbar_tests::wat::Guest;

use crate::{LIMITS, compile, open, open_with, spec};

/// A call answers with a number, or the guest traps.
async fn answers(call: &str, answer: i64) -> Result<()> {
    let (ty, call_as_i64) =
        if call.contains("_get") { ("i64", call.to_owned()) } else { ("i32", format!("(i64.extend_i32_s {call})")) };
    let data =
        r#"(data (i32.const 1024) "greeting") (data (i32.const 1040) "\ff\fe") (data (i32.const 1048) "{\22a\22:1}")"#;
    let body = format!("(if (i64.ne {call_as_i64} (i64.const {answer})) (then unreachable)) (i64.const 0)");
    let mut instance = open(&Guest::new().pages(2).field(data).with(names::FLUSH, &body)).await?;
    instance.flush().await.with_context(|| format!("{call} is not the {ty} {answer}"))?;
    let (offsets, state) = instance.into_ledger().take_staged();
    assert!(answer == 0 || offsets.is_empty() && state.is_empty(), "{call} left {offsets:?} and {state:?}");
    Ok(())
}

#[tokio::test]
async fn values_that_cannot_be_are_refused_with_a_code() -> Result<()> {
    let (key, value) = (MAX_KEY_BYTES + 1, MAX_VALUE_BYTES + 1);
    answers("(call $state_put (i32.const 1024) (i32.const 8) (i32.const 0) (i32.const 0))", 0).await?;
    answers(&format!("(call $state_put (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const 0))"), -1).await?;
    answers(&format!("(call $state_delete (i32.const 0) (i32.const {key}))"), -1).await?;
    answers(&format!("(call $state_get (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const 9))"), -1).await?;
    answers(&format!("(call $offset_put (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const 0))"), -1).await?;
    answers("(call $offset_put (i32.const 1024) (i32.const 8) (i32.const 1048) (i32.const 7))", -1).await?;
    answers("(call $offset_put (i32.const 1048) (i32.const 7) (i32.const 1040) (i32.const 2))", -1).await?;
    answers("(call $offset_put (i32.const 1048) (i32.const 7) (i32.const 1048) (i32.const 0))", -1).await?;
    answers("(call $offset_put (i32.const 1048) (i32.const 7) (i32.const 1048) (i32.const 7))", 0).await?;
    answers("(call $offset_get (i32.const 1024) (i32.const 8) (i32.const 0) (i32.const 9))", -1).await?;
    answers("(call $config_get (i32.const 1040) (i32.const 2) (i32.const 0) (i32.const 9))", -1).await?;
    answers("(call $config_get (i32.const 1024) (i32.const 7) (i32.const 0) (i32.const 9))", -1).await?;

    // A value of more than a mebibyte needs a guest with as much memory.
    let put = format!("(call $state_put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const {value}))");
    let grown = format!(
        "(drop (memory.grow (i32.const 15))) (if (i32.ne {put} (i32.const -2)) (then unreachable)) (i64.const 0)"
    );
    let limits = Limits { memory_max_bytes: 2 << 20, ..LIMITS };
    let guest = Guest::new().pages(2).with(names::FLUSH, &grown.replace("-2", "-1"));
    open_with(&guest, limits, Grants::default()).await?.flush().await?;
    Ok(())
}

#[tokio::test]
async fn only_a_source_puts_offsets() -> Result<()> {
    let put = "(call $offset_put (i32.const 1024) (i32.const 2) (i32.const 1024) (i32.const 2))";
    let body = format!("(if (i32.ne {put} (i32.const -3)) (then unreachable)) (i64.const 0)");
    let compiled = compile(&Guest::new().field("(data (i32.const 1024) \"{}\")").with(names::FLUSH, &body))?;
    for kind in [Kind::Sink, Kind::Transform] {
        let mut spec = spec(LIMITS, Grants::default());
        spec.open.kind = kind;
        let opened = Instance::open(&compiled, &spec, Ledger::new("", LIMITS.state_max_bytes)).await;
        let mut instance = opened.map_err(|(error, _)| error)?;
        instance.flush().await?;
        assert!(!instance.ledger().has_staged());
    }
    Ok(())
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_not_written() -> Result<()> {
    let body = "
        (if (i64.ne (call $config_get (i32.const 1024) (i32.const 8) (i32.const 2048) (i32.const 4)) (i64.const 5))
            (then unreachable))
        (if (i32.load (i32.const 2048)) (then unreachable))
        (if (i64.ne (call $config_get (i32.const 1024) (i32.const 8) (i32.const -1) (i32.const 0)) (i64.const 5))
            (then unreachable))
        (if (i64.ne (call $config_get (i32.const 1024) (i32.const 8) (i32.const 2048) (i32.const 5)) (i64.const 5))
            (then unreachable))
        (if (i32.eqz (i32.load (i32.const 2048))) (then unreachable))
        (i64.const 0)";
    let guest = Guest::new().field("(data (i32.const 1024) \"greeting\")").with(names::FLUSH, body);
    Ok(open(&guest).await?.flush().await?)
}

#[tokio::test]
async fn metrics_are_bounded() -> Result<()> {
    let body = "(local i32)
        (call $metric (i32.const 0) (i32.const 1024) (i32.const 129) (f64.const 1))
        (call $metric (i32.const 0) (i32.const 1040) (i32.const 2) (f64.const 1))
        (call $metric (i32.const 99) (i32.const 1032) (i32.const 4) (f64.const nan))
        (loop $again
            (i32.store (i32.const 1024) (i32.add (i32.const 0x30303030) (i32.and (local.get 0) (i32.const 0xf))))
            (i32.store8 (i32.const 1026) (i32.add (i32.const 0x30) (i32.and (i32.shr_u (local.get 0) (i32.const 4)) (i32.const 0xf))))
            (i32.store8 (i32.const 1027) (i32.add (i32.const 0x30) (i32.and (i32.shr_u (local.get 0) (i32.const 8)) (i32.const 0xf))))
            (call $metric (i32.const 0) (i32.const 1024) (i32.const 4) (f64.const 1))
            (br_if $again (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 3000))))
        (i64.const 0)";
    let data = "(data (i32.const 1032) \"none\") (data (i32.const 1040) \"\\ff\\fe\")";
    let mut instance = open(&Guest::new().field(data).with(names::FLUSH, body)).await?;
    instance.flush().await?;
    let metrics = instance.metrics();
    assert_eq!(metrics.len(), 200);
    assert!(metrics.keys().all(|name| name.len() == 4), "{metrics:?}");
    Ok(())
}

#[tokio::test]
async fn wasi_with_pointers_outside_memory_fails_the_call_or_says_so() -> Result<()> {
    // Whatever WASI says, the guest and nobody else has to live with it.
    for call in [
        "(call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 0))",
        "(call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0))",
        "(call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const -1))",
        "(call $random_get (i32.const 0) (i32.const -1))",
        "(call $random_get (i32.const -1) (i32.const 100))",
        "(call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0))",
        "(call $poll_oneoff (i32.const 65530) (i32.const 65530) (i32.const 1) (i32.const 0))",
        "(call $fd_read (i32.const 0) (i32.const -1) (i32.const 1) (i32.const 0))",
        "(call $path_open (i32.const 3) (i32.const 0) (i32.const -1) (i32.const -1) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 0))",
    ] {
        let data = "(data (i32.const 1024) \"\\00\\00\\00\\00\\ff\\ff\\ff\\ff\")";
        let body = format!("(if (i32.eqz {call}) (then (return (i64.const -2)))) unreachable");
        let mut instance = open(&Guest::new().field(data).with(names::FLUSH, &body)).await?;
        let error = instance.flush().await.err().context(call)?.to_string();
        assert!(error.starts_with(&format!("{}: flush: trapped: ", crate::WHO)), "{call}: {error}");
    }
    Ok(())
}
