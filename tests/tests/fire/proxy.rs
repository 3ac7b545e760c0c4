//! The proxy does to connections what the other tests rely on.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar_tests::proxy::{Mode, Proxy};
use sandbar_tests::wait::{self, Seen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough to say that nothing comes.
const NOTHING: Duration = Duration::from_millis(100);

/// A server that sends back what it is sent.
async fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok(address)
}

async fn says(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn is_reset(outcome: &std::io::Result<Vec<u8>>) -> bool {
    outcome.as_ref().is_err_and(|error| {
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe)
    })
}

#[tokio::test]
async fn bytes_pass_and_are_late_when_they_should_be() -> Result<()> {
    let proxy = Proxy::start(echo().await?).await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    ensure!(says(&mut stream, b"one").await? == b"one");
    let by = Duration::from_millis(60);
    proxy.set(Mode::Delay(by));
    let asked = std::time::Instant::now();
    ensure!(says(&mut stream, b"two").await? == b"two");
    // Both ways.
    ensure!(asked.elapsed() >= by * 2, "after {:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_cut_resets_connections_and_those_that_come() -> Result<()> {
    let proxy = Proxy::start(echo().await?).await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    ensure!(says(&mut stream, b"one").await? == b"one");
    proxy.set(Mode::Cut);
    let outcome = says(&mut stream, b"two").await;
    ensure!(is_reset(&outcome), "{outcome:?}");
    if let Ok(mut fresh) = TcpStream::connect(proxy.address()).await {
        let outcome = says(&mut fresh, b"three").await;
        ensure!(is_reset(&outcome), "{outcome:?}");
    }
    proxy.set(Mode::Pass);
    let mut fresh = TcpStream::connect(proxy.address()).await?;
    ensure!(says(&mut fresh, b"four").await? == b"four");
    Ok(())
}

#[tokio::test]
async fn what_was_swallowed_never_comes_and_ends_its_connection() -> Result<()> {
    let proxy = Proxy::start(echo().await?).await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    ensure!(says(&mut stream, b"one").await? == b"one");
    proxy.set(Mode::Swallow);
    ensure!(timeout(NOTHING, says(&mut stream, b"two")).await.is_err(), "something came back");
    proxy.set(Mode::Pass);
    let outcome = says(&mut stream, b"three").await;
    ensure!(is_reset(&outcome), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn it_breaks_off_after_the_last_byte_that_may_pass() -> Result<()> {
    let proxy = Proxy::start(echo().await?).await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    proxy.set(Mode::CutAfter(5));
    // Three there, and two of three back.
    stream.write_all(b"abc").await?;
    let mut got = Vec::new();
    let end = stream.read_to_end(&mut got).await;
    ensure!(b"ab".starts_with(&got), "{got:?}, {end:?}");
    wait::until("it is cut", wait::WITHIN, async || {
        Ok(Seen::when(proxy.mode() == Mode::Cut, || format!("{:?}", proxy.mode())))
    })
    .await
}
