//! The door: what stands between a listener and the routes. Who comes in, with what right, and how much they may take.
//! It knows nothing of connectors; the routes know nothing of credentials, browsers and connections.

mod audit;
mod buckets;
mod caller;
mod check;
mod connection;
#[cfg(test)]
mod connection_tests;
mod credentials;
#[cfg(test)]
mod credentials_tests;
mod error;
mod guard;
mod headers;
mod limits;
mod listen;
mod options;
mod password;
mod presented;
mod refused;
mod role;
mod shares;
mod site;
#[cfg(test)]
mod site_tests;
mod stall;
mod tls;

pub use caller::{Caller, Peer};
pub use credentials::{Credential, Proof};
pub use error::{DoorError, Fault};
pub use guard::{Door, Guarded};
pub use listen::Listening;
pub use options::{DoorOptions, Limits, ListenOptions, TlsOptions};
pub use password::hash_password;
pub use refused::Refused;
pub use role::{ROWS, Role, Row, needs};
