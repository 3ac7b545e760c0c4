//! The kafka broker.
