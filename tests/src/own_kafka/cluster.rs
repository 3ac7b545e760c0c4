//! Brokers of a test's own that replicate each other, each behind a proxy: one may go and come back while the others hold
//! what it had, and the way to each may break.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};

use super::{OwnKafka, script, unique};
use crate::chance::Chance;
use crate::proxy::Proxy;

/// How often a cluster is started anew where another process took a port between the look and the start.
const ATTEMPTS: u32 = 3;
/// Ports below the range that outgoing connections use, as `scripts/kafka.sh` takes them.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// A broker, and the way to it that clients take.
pub struct Node {
    /// The broker.
    pub kafka: OwnKafka,
    /// The way.
    pub proxy: Proxy,
}

/// See the module. Who asks a proxy for the brokers' addresses is told those of the proxies; the brokers' own addresses
/// lead past them.
pub struct OwnCluster(Vec<Node>);

impl OwnCluster {
    /// Starts as many brokers, with these properties on top of those that all tests have.
    pub async fn start(what: &str, count: usize, properties: &[&str]) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::try_start(what, count, properties).await {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_start(what: &str, count: usize, properties: &[&str]) -> Result<Self> {
        let name = unique(what);
        let mut args = vec!["cluster".to_owned(), name.clone(), count.to_string()];
        args.push(
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT".to_owned(),
        );
        let mut proxies = Vec::with_capacity(count);
        for id in 1..=count {
            let port = free_port()?;
            let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
            args.push(format!(
                "{id}:listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,\
                 PROXIED://127.0.0.1:{port}"
            ));
            args.push(format!("{id}:advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,PROXIED://{}", proxy.address()));
            proxies.push(proxy);
        }
        args.extend(properties.iter().map(ToString::to_string));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let addresses = script(&args)?;
        let brokers =
            (1..).zip(addresses.split(',')).map(|(id, address)| OwnKafka::started(format!("{name}-{id}"), address));
        Ok(Self(brokers.zip(proxies).map(|(kafka, proxy)| Node { kafka, proxy }).collect()))
    }

    /// The brokers, each with its way.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// The brokers' own addresses, as `host:port,host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.0.iter().map(|node| node.kafka.bootstrap().to_owned()).collect::<Vec<_>>().join(",")
    }

    /// The addresses of the proxies, in the same form.
    #[must_use]
    pub fn proxied(&self) -> String {
        self.0.iter().map(|node| node.proxy.address().to_string()).collect::<Vec<_>>().join(",")
    }
}

fn free_port() -> Result<u16> {
    let mut chance = Chance::new()?;
    let ports = (0..PORTS.end - PORTS.start).map(|_| chance.among(PORTS));
    let mut ports = ports.filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).context("there is no free port")
}
