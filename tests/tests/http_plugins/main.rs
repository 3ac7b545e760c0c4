//! The plugins that use HTTP, in a whole worker, against a real server: what it took it is not sent again, and what it
//! gave is there once.

mod sink;
mod source;

use std::collections::BTreeMap;

use sandbar_tests::http_server::HttpServer;
use serde_json::{Value, json};

/// How many records or items there are.
pub(crate) const COUNT: u64 = 500;

/// The configuration of a connector that may reach this server and nothing else.
pub(crate) fn config(class: &str, server: &HttpServer, more: Value) -> Value {
    let mut config = json!({ "connector.class": class, "sandbox.http.hosts": server.origin() });
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
    }
    config
}

/// How often each number comes.
pub(crate) fn counts(numbers: impl IntoIterator<Item = u64>) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for number in numbers {
        *counts.entry(number).or_default() += 1;
    }
    counts
}
