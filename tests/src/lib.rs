//! What the tests share: contract suites, harnesses for processes and brokers, checkers.

pub mod contract;
pub mod kafka;
