//! What the tests share: contract suites, harnesses for processes and brokers, checkers.

pub mod built;
pub mod chance;
pub mod checks;
pub mod contract;
pub mod faults;
pub mod files;
pub mod fire;
pub mod fuzzing;
pub mod hostile;
pub mod http_server;
pub mod in_process;
pub mod kafka;
pub mod logs;
pub mod own_connect;
pub mod own_kafka;
pub mod plugins;
pub mod proxy;
pub mod rest;
pub mod scenario;
pub mod simulation;
pub mod small_disk;
pub mod topics;
pub mod wait;
pub mod wat;
pub mod worker;
