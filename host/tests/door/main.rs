//! The door over real sockets: what it promises, kept against clients that mean harm.

// A test that cannot be set up has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod audit;
mod connections;
mod limits;
mod log;
mod pages;
mod support;
mod tls;
