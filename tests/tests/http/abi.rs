//! The function itself: what it returns, what it keeps, and what it makes of bytes that are no request.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use sandbar::plugins::inspect;
use sandbar::sandbox::Instance;
use sandbar_abi::http::{self, Answer, FailureKind};
use sandbar_abi::names;
use sandbar_abi::status::Returned;
use sandbar_tests::http_server::{HttpServer, Reply};
use sandbar_tests::wat::Guest;
use serde_json::json;

use crate::{CAP, OUT, Reach, answer, asking, get, open, send, sending};

/// A guest that runs `body` at each flush; `{ptr}` and `{len}` stand for the place of a request.
fn with_request(message: &[u8], body: &str) -> Guest {
    let mut guest = asking();
    let Returned::Frame { ptr, len } = Returned::unpack(guest.data(message)) else { return guest };
    guest.with(names::FLUSH, &body.replace("{ptr}", &ptr.to_string()).replace("{len}", &len.to_string()))
}

/// The numbers that a guest left at address 2048, eight bytes each.
fn numbers(instance: &mut Instance) -> Result<Vec<i64>> {
    let (_, state) = instance.ledger().take_staged();
    let bytes = state.first().and_then(|change| change.value.clone()).context("no numbers")?;
    Ok(bytes.chunks_exact(8).map(|n| i64::from_le_bytes(n.try_into().unwrap_or_default())).collect())
}

/// Puts the first `count` numbers at address 2048 into the state.
fn put(count: u32) -> String {
    let len = count * 8;
    format!("(drop (call $state_put (i32.const 0) (i32.const 1) (i32.const 2048) (i32.const {len}))) (i64.const 0)")
}

#[tokio::test]
async fn an_answer_without_room_is_kept_until_it_is_fetched() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("kept")).await?;
    let fetch = format!("(call $http_send (i32.const 0) (i32.const 0) (i32.const {OUT})");
    let body = format!(
        "(i64.store (i32.const 2048) (call $http_send (i32.const {{ptr}}) (i32.const {{len}}) (i32.const {OUT}) (i32.const 0)))
        (i64.store (i32.const 2056) (i64.load (i32.const {OUT})))
        (i64.store (i32.const 2064) {fetch} (i32.const 8)))
        (i64.store (i32.const 2072) {fetch} (i32.wrap_i64 (i64.load (i32.const 2048)))))
        (i64.store (i32.const 2080) {fetch} (i32.const {CAP})))
        (i64.store (i32.const 2088) (i64.load8_u (i32.add (i32.const {OUT})
            (i32.sub (i32.wrap_i64 (i64.load (i32.const 2048))) (i32.const 1)))))
        {}",
        put(6)
    );
    let guest = with_request(&http::encode(&get(server.url("/")), &[])?, &body);
    let mut instance = open(&guest, Some(Reach::only(&server).client().await?)).await?;
    instance.flush().await?;
    let found = numbers(&mut instance)?;
    let len = found[0];
    assert!(len > 4);
    // Nothing was written, it is still too long, it is written, it is gone; it ends with the body's last byte.
    assert_eq!(found, [len, 0, len, len, -1, i64::from(b't')]);
    assert_eq!(server.asked().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_kept_answer_ends_with_the_call_and_with_the_next_request() -> Result<()> {
    let server = HttpServer::start(|asked| Reply::ok(vec![b'x'; asked.number * 100])).await?;
    let fetch = format!("(call $http_send (i32.const 0) (i32.const 0) (i32.const {OUT}) (i32.const 0))");
    let ask = "(call $http_send (i32.const {ptr}) (i32.const {len}) (i32.const 0) (i32.const 0))";
    let body = format!(
        "(i64.store (i32.const 2048) {fetch}) (i64.store (i32.const 2056) {ask}) (i64.store (i32.const 2064) {ask})
        (i64.store (i32.const 2072) {fetch}) {}",
        put(4)
    );
    let guest = with_request(&http::encode(&get(server.url("/")), &[])?, &body);
    let mut instance = open(&guest, Some(Reach::only(&server).client().await?)).await?;
    for _ in 0..2 {
        instance.flush().await?;
        let found = numbers(&mut instance)?;
        assert!(found[0] == -1 && found[1] + 90 < found[2] && found[3] == found[2], "{found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn pointers_outside_memory_trap() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("")).await?;
    let client = Reach::only(&server).client().await?;
    let message = http::encode(&get(server.url("/")), &[])?;
    for (ptr, len, out, what) in [
        ("65536000", "1", "0", "http_send: request"),
        ("-1", "10", "0", "http_send: request"),
        ("8", "-1", "0", "http_send: request"),
        ("{ptr}", "{len}", "-1", "http_send: answer"),
        ("{ptr}", "{len}", "393215", "http_send: answer"),
    ] {
        let body = format!(
            "(drop (call $http_send (i32.const {ptr}) (i32.const {len}) (i32.const {out}) (i32.const -1))) (i64.const 0)"
        );
        let mut instance = open(&with_request(&message, &body), Some(Arc::clone(&client))).await?;
        let error = instance.flush().await.err().context("it must trap")?.to_string();
        assert!(error.contains(&format!("flush: trapped: {what} at 0x")), "{error}");
    }
    assert_eq!(server.asked().len(), 2);
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_request_are_invalid() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("")).await?;
    let client = Reach::only(&server).client().await?;
    let head = |json: &str| [&u32::try_from(json.len()).unwrap_or(0).to_le_bytes(), json.as_bytes()].concat();
    for (message, why) in [
        (vec![1], "shorter than its head"),
        (vec![0xff; 16], "shorter than its head"),
        (head("{\"url\""), "head: "),
        (head("[]"), "head: "),
        (head("{\"url\":\"/x\"}"), "must be absolute"),
        (head("{\"url\":\"http://127.0.0.1\",\"unheard\":1}"), "unknown field"),
    ] {
        let (found, body) = send(&mut open(&sending(&message), Some(Arc::clone(&client))).await?).await?;
        match found {
            Answer::Error(failure) if failure.kind == FailureKind::Invalid => {
                assert!(failure.message.contains(why) && body.is_empty(), "{failure:?}");
            }
            other => bail!("{other:?}"),
        }
    }
    assert_eq!(server.connections().opened, 0);
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_granted_everything_is_denied() -> Result<()> {
    let mut instance = open(&sending(&http::encode(&get("http://127.0.0.1"), &[])?), None).await?;
    instance.flush().await?;
    match answer(&mut instance)?.0 {
        Answer::Error(failure) => assert_eq!(failure.kind, FailureKind::Denied),
        other => bail!("{other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_module_that_does_not_ask_may_not_import_it() -> Result<()> {
    let wasm = asking().build()?;
    inspect(&wasm).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let mut manifest = inspect(&wasm).map_err(|errors| anyhow::anyhow!("{errors:?}"))?.manifest;
    manifest.capabilities.http.clear();
    let errors = inspect(&sandbar::plugins::embed(&wasm, &manifest)?).err().context("it must be refused")?;
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let expected = "import \"sandbar_v1\" \"http_send\": is there only for plugins whose manifest asks for it: add \
                    capabilities.http";
    assert_eq!(told, [expected]);
    Ok(())
}

#[test]
fn a_manifest_with_a_host_that_is_none_is_not_valid() -> Result<()> {
    let read = |hosts: serde_json::Value| {
        let json =
            json!({"name": "a", "version": "1.0.0", "abi": 1, "kinds": ["sink"], "capabilities": {"http": hosts}});
        sandbar_abi::Manifest::from_json(json.to_string().as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(read(json!(["*", "*.example.com", "http://[::1]:80"])), Ok(()));
    let error = read(json!(["https://example.com/path"])).err().context("it must be refused")?;
    assert!(
        error.starts_with("manifest field \"capabilities.http\": \"https://example.com/path\" is not a host"),
        "{error}"
    );
    let error = read(json!(vec!["*"; 101])).err().context("it must be refused")?;
    assert!(error.ends_with("has 101 hosts, the limit is 100"), "{error}");
    Ok(())
}
