//! Names to addresses, checked when a connection is dialled: what a name resolved to before, or for somebody else, counts
//! for nothing, so that a name that changes its address changes no verdict.

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::address;

/// Look-ups of one client that may be on their way at once. A look-up of the system cannot be cancelled: without a bound
/// a guest could fill the threads for blocking calls with names whose servers do not answer.
const MAX_LOOKUPS: usize = 2;
/// The same of all clients of a worker: a tenth of the threads for blocking calls.
const MAX_SYSTEM_LOOKUPS: usize = 50;
/// Addresses of a name that are looked at: more would only be tried one after the other, in vain.
const MAX_ADDRESSES: usize = 32;

/// The addresses of a name, on their way.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Knows the addresses of names; production asks the system.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a name.
    fn lookup(&self, name: &str) -> Looking;
}

/// The system's own names.
pub(super) struct System(Arc<Semaphore>);

impl Default for System {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_SYSTEM_LOOKUPS)))
    }
}

impl Lookup for System {
    fn lookup(&self, name: &str) -> Looking {
        let (name, permits) = (name.to_owned(), Arc::clone(&self.0));
        Box::pin(async move {
            let _permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why a name leads nowhere.
#[derive(Debug, Error)]
pub(super) enum ResolveError {
    /// It has no address.
    #[error("{name} cannot be resolved: {why}")]
    Unknown { name: String, why: String },
    /// It has addresses, and none may be dialled.
    #[error("{name} resolves to {}: sandbox.http.addresses would grant it", list(refused))]
    Refused { name: String, refused: Vec<(IpAddr, &'static str)> },
}

fn list(refused: &[(IpAddr, &str)]) -> String {
    let mut text = String::new();
    for (index, (address, why)) in refused.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{address}, which is not public ({why})");
    }
    text
}

/// Resolves names for one client, and leaves out what may not be dialled.
pub(super) struct Resolver {
    lookup: Arc<dyn Lookup>,
    granted: Arc<[IpNet]>,
    permits: Arc<Semaphore>,
}

impl Resolver {
    pub(super) fn new(lookup: Arc<dyn Lookup>, granted: &[IpNet]) -> Self {
        Self { lookup, granted: granted.into(), permits: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    pub(super) fn lookup(&self) -> Arc<dyn Lookup> {
        Arc::clone(&self.lookup)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, granted, permits) = (Arc::clone(&self.lookup), Arc::clone(&self.granted), self.permits.clone());
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let permit = permits.acquire_owned().await?;
            let looking = lookup.lookup(&name);
            // A task of its own: where the request is given up, the permit is held until the look-up has ended.
            let looking = tokio::spawn(async move {
                let _permit = permit;
                looking.await
            });
            let found = looking.await?.map_err(|error| error.to_string());
            let addresses = found.and_then(|found| match found.is_empty() {
                true => Err("it has no address".to_owned()),
                false => Ok(found),
            });
            let addresses = match addresses {
                Ok(addresses) => permitted(&name, addresses, &granted)?,
                Err(why) => return Err(ResolveError::Unknown { name, why }.into()),
            };
            // The port is that of the URL.
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

fn permitted(name: &str, addresses: Vec<IpAddr>, granted: &[IpNet]) -> Result<Vec<IpAddr>, ResolveError> {
    let (mut permitted, mut refused) = (Vec::new(), Vec::new());
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        match address::check(address, granted) {
            Ok(()) => permitted.push(address),
            Err(why) => refused.push((address, why)),
        }
    }
    if permitted.is_empty() { Err(ResolveError::Refused { name: name.to_owned(), refused }) } else { Ok(permitted) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;

    fn check(addresses: &[&str], granted: &[&str]) -> Result<Vec<String>, String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let granted: Vec<_> = granted.iter().map(|text| text.parse().unwrap()).collect();
        let found = permitted("n", addresses, &granted).map_err(|error| error.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    /// Never answers, and counts.
    struct Silent(AtomicUsize);

    impl Lookup for Silent {
        fn lookup(&self, _name: &str) -> Looking {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn lookups_that_were_given_up_count_until_they_end() {
        let silent = Arc::new(Silent(AtomicUsize::new(0)));
        let resolver = Resolver::new(Arc::clone(&silent) as Arc<dyn Lookup>, &[]);
        for _ in 0..10 {
            assert!(resolver.resolve("n".parse().unwrap()).now_or_never().is_none());
        }
        assert_eq!(silent.0.load(Ordering::Relaxed), MAX_LOOKUPS);
    }

    #[test]
    fn only_what_may_be_dialled_is_left() {
        assert_eq!(check(&["10.0.0.1", "1.1.1.1", "::1"], &[]).unwrap(), ["1.1.1.1"]);
        assert_eq!(check(&["10.0.0.1", "::1"], &["10.0.0.0/8"]).unwrap(), ["10.0.0.1"]);
        let expected = "n resolves to 10.0.0.1, which is not public (private), ::1, which is not public (loopback): \
                        sandbox.http.addresses would grant it";
        assert_eq!(check(&["10.0.0.1", "::1"], &[]).unwrap_err(), expected);
    }
}
