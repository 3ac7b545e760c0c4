//! Guests that cannot be started, or that give the host no place for its input.

use anyhow::{Context as _, Result};
use sandbar::batch::Batch;
use sandbar::broker::StatePlace;
use sandbar::sandbox::Instance;
use sandbar_abi::{FrameBuilder, names};
use sandbar_tests::wat::Guest;

use crate::{WHO, compile, open};

/// A batch that does not fit the buffer of the guest's first calls.
fn large() -> Batch {
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(&[b'x'; 8000]));
    Batch::build(&frame).expect("a batch")
}

/// A guest whose buffer is at this address once more than 4 KiB are asked for.
async fn reserves(at: i64) -> Result<Instance> {
    let body = format!("(select (i32.const {at}) (i32.const 4096) (i32.gt_u (local.get 0) (i32.const 4096)))");
    let guest = Guest::new().with(names::RESERVE, &body).with(names::TRANSFORM, "(drop (call $begin)) (i64.const 0)");
    let mut instance = open(&guest).await?;
    instance.transform(&crate::input(1), StatePlace::Task).await?;
    Ok(instance)
}

#[tokio::test]
async fn an_input_buffer_that_is_none() -> Result<()> {
    for (at, cause) in [
        (
            0,
            "reserve: ran out of memory: 8160 bytes were asked for, the limit is 1048576; sandbox.memory.max.bytes sets it",
        ),
        (4100, "reserve: contract violation: sandbar_reserve returned 0x1004, which is not a multiple of 8"),
        (65_536, "transform: contract violation: the input buffer at 0x10000 with 8160 bytes does not lie in memory"),
        (60_000, "transform: contract violation: the input buffer at 0xea60 with 8160 bytes does not lie in memory"),
        (-8, "transform: contract violation: the input buffer at 0xfffffff8 with 8160 bytes does not lie in memory"),
    ] {
        let mut instance = reserves(at).await?;
        let error = instance.transform(&large(), StatePlace::Task).await.err().context("it must fail")?;
        assert_eq!(error.to_string(), format!("{WHO}: {cause}"));
        let next =
            instance.transform(&large(), StatePlace::Task).await.err().context("it must fail again")?.to_string();
        let broken = next.ends_with("an earlier call broke the instance, it is not called again");
        assert_eq!(broken, cause.contains("contract violation"), "{next}");
        let (_, state) = instance.into_ledger().take_staged();
        assert_eq!(state.len(), 1, "what the first call put stays");
    }
    Ok(())
}

#[tokio::test]
async fn no_buffer_for_the_very_first_message() -> Result<()> {
    let error = open(&Guest::new().with(names::RESERVE, "(i32.const 0)")).await.err().context("it must not open")?;
    assert!(error.to_string().starts_with(&format!("{WHO}: reserve: ran out of memory: ")), "{error}");
    Ok(())
}

#[tokio::test]
async fn data_outside_memory() -> Result<()> {
    let guest = Guest::new().field("(data (i32.const 65530) \"too long by a few bytes\")");
    let error = open(&guest).await.err().context("it must not start")?;
    let cause = "start: cannot be started: wasm trap: out of bounds memory access";
    assert_eq!(error.to_string(), format!("{WHO}: {cause}"));
    Ok(())
}

#[tokio::test]
async fn a_table_larger_than_any_plugin_needs() -> Result<()> {
    let guest = Guest::new().field("(table 10000000 funcref)");
    let error = compile(&guest).err().context("it must not compile")?.to_string();
    assert!(error.contains("table"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_function_that_wasi_does_not_have() -> Result<()> {
    let text = Guest::new().text().replace("\"random_get\"", "\"random_got\"");
    let manifest = format!(r#"{{"name":"wat","version":"1.2.3","kinds":["sink"],"abi":{}}}"#, names::ABI_MAJOR);
    let manifest = sandbar_abi::Manifest::from_json(manifest.as_bytes())?;
    let wasm = sandbar::plugins::embed(&wat::parse_str(text)?, &manifest)?;
    let error = sandbar::sandbox::Compiled::new(crate::engine(), &wasm, None).err().context("it must not link")?;
    assert!(error.to_string().contains("random_got"), "{error}");
    Ok(())
}
