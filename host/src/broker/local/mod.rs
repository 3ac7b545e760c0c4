//! The local broker.
