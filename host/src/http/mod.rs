//! Requests of guests to servers outside: what was granted is checked at every step, name, address, redirect, size, time.
//!
//! It gets a request as bytes and gives an answer as bytes ([`sandbar_abi::http`]); that the bytes come from a guest, and
//! which task it works for, is not known here. Nothing is reached but by way of a [`Client`], and a client reaches what
//! its [`Policy`] says, whatever names resolve to and wherever servers redirect. What the host sends for itself goes by a
//! [`Poster`], to the one URL that its operator named.

mod address;
mod client;
mod failure;
mod grant;
mod inject;
mod network;
mod post;
mod redirect;
mod request;
mod resolver;

pub use client::{Client, Policy};
pub use grant::{Ask, Grant};
pub use inject::{Injection, check_header};
pub(crate) use network::tls_client;
pub use network::{Network, NetworkError};
pub use post::{Posted, Poster};
pub use resolver::{Looking, Lookup};
