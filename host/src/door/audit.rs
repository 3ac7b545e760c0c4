//! Who changed what, and who was not let: one event in the log for each request, at the target `audit`. It has neither
//! bodies nor queries: they may hold secrets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use tokio::time::Instant;
use tracing::info;

use super::buckets::{Buckets, Rate};
use super::caller::{Caller, Peer};
use super::role::{Role, may_change};

/// As much of a method and a path as is told, in bytes. The longest that means something has two names.
const MAX_TEXT_BYTES: usize = 1024;
/// How many refused requests of a client are told, and how often one more: what is refused shall not fill the disk.
const REFUSED: Rate = Rate { burst: 20, each: Duration::from_secs(1) };
/// Who somebody is who was not asked.
const ANONYMOUS: &str = "anonymous";

/// What is told, and how much of it is not.
#[derive(Debug)]
pub(super) struct Audit {
    refused: Buckets,
    untold: AtomicU64,
}

/// One request. It is told when this is dropped, so that a client that goes away is told of as well.
pub(super) struct Entry<'a> {
    audit: &'a Audit,
    peer: Peer,
    method: Method,
    path: String,
    needs: Role,
    start: Instant,
    pub(super) caller: Option<Caller>,
    /// The status, and why it was refused. Without one there was nobody to answer to any more.
    pub(super) outcome: Option<(StatusCode, Option<String>)>,
}

impl Audit {
    pub(super) fn new(now: Instant) -> Self {
        Self { refused: Buckets::new(REFUSED, now), untold: AtomicU64::new(0) }
    }

    /// A request that begins now.
    pub(super) fn entry(&self, peer: Peer, method: &Method, path: &str, needs: Role) -> Entry<'_> {
        let (method, path) = (method.clone(), cut(path).to_owned());
        Entry { audit: self, peer, method, path, needs, start: Instant::now(), caller: None, outcome: None }
    }

    /// Whether one more refused request is told.
    fn has_room(&self, peer: SocketAddr) -> bool {
        let room = self.refused.take(peer.ip(), Instant::now()).is_ok();
        self.untold.fetch_add(u64::from(!room), Ordering::Relaxed);
        room
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let (status, reason) = match &self.outcome {
            Some((status, reason)) => (Some(status.as_u16()), reason.as_deref()),
            None => (None, Some("the client went away")),
        };
        let refused = matches!(status, Some(401 | 403 | 429));
        let changes = may_change(&self.method) && self.needs > Role::Read;
        // Whoever showed nothing and only looked has been told to show something. That is how it begins.
        let looked = self.caller.is_none() && status == Some(401) && reason == Some(NOTHING_SHOWN);
        if !(changes || refused && !looked) {
            return;
        }
        if let (true, Peer::Address(peer)) = (refused, self.peer)
            && !self.audit.has_room(peer)
        {
            return;
        }
        let untold = match self.audit.untold.swap(0, Ordering::Relaxed) {
            0 => None,
            untold => Some(untold),
        };
        info!(
            target: "audit",
            who = self.caller.as_ref().map_or(ANONYMOUS, |caller| &caller.name),
            role = self.caller.as_ref().map(|caller| caller.role.word()),
            peer = %self.peer,
            method = cut(self.method.as_str()),
            path = self.path,
            status,
            reason,
            milliseconds = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            untold,
            "{}", if refused { "a request was refused" } else { "a request was answered" },
        );
    }
}

/// What is answered to a request without credentials.
pub(super) const NOTHING_SHOWN: &str = "this needs credentials: a bearer token, or a user and a password";

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
