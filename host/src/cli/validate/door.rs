//! What would keep the REST interface from answering, checked without listening: who may come in, names, certificates.

use std::path::Path;

use super::report::{Report, Severity};
use crate::config::{ProofConfig, SystemSecrets, WorkerConfig};
use crate::door::{Door, Fault};
use crate::wiring;

/// Reports what the host would refuse at its start, key by key.
pub(super) fn check(file: &Path, worker: &WorkerConfig, report: &mut Report) {
    let places = WorkerConfig::places(file);
    let mut tell = |severity, key: &str, message| {
        // Of somebody as a whole: where the first of the keys is.
        let of = |(known, _): &(&String, _)| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let place = places.get(key).or_else(|| places.iter().find(of).map(|(_, place)| place));
        report.in_use(severity, file, place.copied(), key, message);
    };
    let mut worker = worker.clone();
    let count = worker.rest.credentials.len();
    worker.rest.credentials.retain(|credential| {
        let (ProofConfig::Token(secret) | ProofConfig::Password(secret)) = &credential.proof;
        let missing = secret.resolve(&SystemSecrets).err();
        if let Some(error) = &missing {
            tell(Severity::Warning, secret.key(), where_so(&error.message));
        }
        missing.is_none()
    });
    // Somebody will be asked for credentials, whatever they are.
    worker.rest.insecure |= worker.rest.credentials.len() < count;
    match wiring::door_options(&worker) {
        Ok(options) => {
            let (wrong, unsure) = Door::check(options, worker.rest.listen.is_some());
            for Fault { key, message } in wrong {
                tell(Severity::Error, &key, message);
            }
            for Fault { key, message } in unsure {
                tell(Severity::Warning, &key, where_so(&message));
            }
        }
        Err(error) => tell(Severity::Error, &error.key.unwrap_or_default(), error.message),
    }
}

/// What is so here. Whoever checks may not be the host's account, nor on its machine.
fn where_so(message: &str) -> String {
    format!("{message}; where that is so the host does not start")
}
