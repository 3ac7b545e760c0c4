//! What would keep a host from answering, found without listening: for whoever looks before the host is started.

use std::net::{SocketAddr, ToSocketAddrs as _};

use super::error::{DoorError, Fault};
use super::guard::Door;
use super::options::{DoorOptions, ListenOptions};
use super::tls::Tls;

impl Door {
    /// Everything that is wrong with what was configured. Where it `listens`, too: with its address, but for whether the
    /// port is free, and with its certificates. After it, what is wrong here, and may not be for the host: names mean
    /// something else on another machine, and another account may read other files.
    #[must_use]
    pub fn check(options: DoorOptions, listens: bool) -> (Vec<Fault>, Vec<Fault>) {
        let (mut listen, has_credentials) = (options.listen.clone(), !options.credentials.is_empty());
        let (mut wrong, mut unsure) = (Self::new(options).err().into_iter().collect::<Vec<_>>(), Vec::new());
        // Credentials that are wrong are none to forget.
        listen.insecure |= has_credentials;
        if listens {
            match address(&listen) {
                Ok(()) => {}
                Err(error @ DoorError::Address { .. }) => unsure.push(error),
                Err(error) => wrong.push(error),
            }
            let (wrong_tls, unsure_tls) = listen.tls.as_ref().map(Tls::check).unwrap_or_default();
            wrong.extend(wrong_tls);
            unsure.extend(unsure_tls);
        }
        let faults = |errors: Vec<DoorError>| errors.into_iter().flat_map(DoorError::faults).collect::<Vec<_>>();
        (faults(wrong), faults(unsure))
    }
}

/// Whether everybody may come in who reaches the address.
pub(super) fn is_open(listen: &ListenOptions, no_credentials: bool) -> bool {
    no_credentials && listen.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none())
}

/// Whether others than this machine reach one of these.
pub(super) fn is_reached(addresses: &[SocketAddr]) -> bool {
    addresses.iter().any(|address| !address.ip().to_canonical().is_loopback())
}

/// Whether an address may be listened on.
pub(super) fn may_listen(
    listen: &ListenOptions,
    no_credentials: bool,
    addresses: &[SocketAddr],
) -> Result<(), DoorError> {
    if is_open(listen, no_credentials) && is_reached(addresses) && !listen.insecure {
        return Err(DoorError::Exposed(listen.address.clone()));
    }
    Ok(())
}

fn address(listen: &ListenOptions) -> Result<(), DoorError> {
    let wrong = |error| DoorError::Address { address: listen.address.clone(), error };
    let addresses: Vec<_> = listen.address.to_socket_addrs().map_err(wrong)?.collect();
    may_listen(listen, true, &addresses)
}
