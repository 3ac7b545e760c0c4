//! What the tests share: contract suites, harnesses for processes and brokers, checkers.

pub mod contract;
pub mod in_process;
pub mod kafka;
pub mod logs;
pub mod wat;
