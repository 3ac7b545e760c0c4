//! Connections: kept for the next request and the next instance, bounded, and encrypted for whom is trusted.

use std::sync::Arc;

use anyhow::Result;
use sandbar_abi::http::{self, FailureKind};
use sandbar_tests::http_server::{Authority, HttpServer, Reply};

use crate::{Reach, failure, get, open, response, send, sending};

#[tokio::test]
async fn calls_and_instances_share_a_connection() -> Result<()> {
    let server = HttpServer::start(|asked| Reply::ok(asked.number.to_string())).await?;
    let client = Reach::only(&server).client().await?;
    let guest = sending(&http::encode(&get(server.url("/")), &[])?);
    let mut instance = open(&guest, Some(Arc::clone(&client))).await?;
    for number in 0..3 {
        assert_eq!(send(&mut instance).await?.1, number.to_string().as_bytes());
    }
    drop(instance);
    let mut instance = open(&guest, Some(client)).await?;
    assert_eq!(send(&mut instance).await?.1, b"3");
    let connections: Vec<_> = server.asked().iter().map(|asked| asked.connection).collect();
    assert_eq!(connections, [0; 4]);
    drop(instance);
    server.wait_closed(1).await
}

#[tokio::test]
async fn another_task_has_connections_of_its_own() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("")).await?;
    let client = Reach::only(&server).client().await?;
    response(&client, &get(server.url("/")), &[]).await?;
    let another = Arc::new(client.another()?);
    response(&another, &get(server.url("/")), &[]).await?;
    assert_eq!(server.connections().opened, 2);
    drop(client);
    server.wait_closed(1).await
}

#[tokio::test]
async fn connections_that_wait_are_kept_to_some_servers_only() -> Result<()> {
    let mut servers = Vec::new();
    for _ in 0..17 {
        servers.push(HttpServer::start(|_| Reply::ok("")).await?);
    }
    let client = Reach::hosts(servers.iter().map(HttpServer::origin)).client().await?;
    for server in &servers[..16] {
        response(&client, &get(server.url("/")), &[]).await?;
    }
    let closed = |servers: &[HttpServer]| servers.iter().map(|server| server.connections().closed).sum::<usize>();
    assert_eq!(closed(&servers), 0);
    response(&client, &get(servers[16].url("/")), &[]).await?;
    for server in &servers[..16] {
        server.wait_closed(1).await?;
    }
    assert_eq!(closed(&servers), 16);
    Ok(())
}

#[tokio::test]
async fn a_certificate_counts_if_its_authority_is_trusted_and_its_name_is_right() -> Result<()> {
    let authority = Authority::new()?;
    let folder = tempfile::tempdir()?;
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem())?;
    let server = HttpServer::start_tls(&authority, &["127.0.0.1"], |_| Reply::ok("closed")).await?;

    let trusting = Reach { ca_file: Some(ca_file.clone()), ..Reach::only(&server) }.client().await?;
    assert_eq!(response(&trusting, &get(server.url("/")), &[]).await?.1, "closed");

    let message = failure(&Reach::only(&server).client().await?, &get(server.url("/")), FailureKind::Tls).await?;
    assert!(message.starts_with(&server.origin()) && message.contains("UnknownIssuer"), "{message}");

    let named = HttpServer::start_tls(&authority, &["example.com"], |_| Reply::ok("")).await?;
    let client = Reach { ca_file: Some(ca_file), ..Reach::only(&named) }.client().await?;
    let message = failure(&client, &get(named.url("/")), FailureKind::Tls).await?;
    assert!(message.contains("not valid for name"), "{message}");
    assert_eq!(named.asked().len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("")).await?;
    let url = server.url("/").replace("http://", "https://");
    failure(&Reach::hosts([url.trim_end_matches('/')]).client().await?, &get(&url), FailureKind::Tls).await?;
    assert_eq!(server.asked().len(), 0);
    Ok(())
}
