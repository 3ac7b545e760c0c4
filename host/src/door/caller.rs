//! Who sent a request: what the connection knows of them, and what handlers are told.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

use super::role::Role;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client on the network.
    Address(SocketAddr),
    /// Whoever may open the control socket.
    LocalSocket,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::LocalSocket => f.write_str("local socket"),
        }
    }
}

/// Who sent a request. Handlers find it in the request's extensions, of those requests only that were let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in the configuration, `anonymous`, `local socket`, or `certificate` and the start of its sha256.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// Where they are.
    pub peer: Peer,
}

/// What is known of a connection before its first request. Each of its requests carries it to the guard.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) peer: Peer,
    /// The address of this end of the connection.
    pub(super) local: IpAddr,
    /// The name of the client certificate that was verified.
    pub(super) certificate: Option<Arc<str>>,
    /// Says that the host stops.
    pub(super) stopped: watch::Receiver<()>,
}

impl Visit {
    /// A connection to the control socket.
    pub(super) fn local(stopped: watch::Receiver<()>) -> Self {
        Self { peer: Peer::LocalSocket, local: IpAddr::V6(Ipv6Addr::LOCALHOST), certificate: None, stopped }
    }
}

/// The bits of an IPv6 address that name a network; the rest its owner chooses, as often as they like.
const IPV6_NETWORK: u128 = !0 << 64;

/// What counts as one client where clients are counted.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client_and_so_is_an_address_of_ipv4() -> Result<(), std::net::AddrParseError> {
        for (address, expected) in [
            ("10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            assert_eq!(neighbourhood(address.parse()?), expected.parse::<IpAddr>()?, "{address}");
        }
        Ok(())
    }
}
