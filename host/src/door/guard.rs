//! Every request comes through here, in this order: names and sites, how often, who, with what right, how much.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::audit::{Audit, Entry, NOTHING_SHOWN};
use super::buckets::{Buckets, Rate};
use super::caller::{Caller, Peer, Visit};
use super::credentials::{Credentials, Known};
use super::error::DoorError;
use super::limits::{self, Places};
use super::options::{DoorOptions, Limits};
use super::presented::Presented;
use super::refused::Refused;
use super::role::{Role, needs};
use super::site::Sites;
use super::{headers, options};

/// How long a minute is, for a rate by the minute.
const MINUTE: Duration = Duration::from_secs(60);

/// What stands between listeners and routes. Clones are the same door.
#[derive(Clone)]
pub struct Door(pub(super) Arc<Inner>);

/// What a door knows.
pub(super) struct Inner {
    pub(super) listen: options::ListenOptions,
    pub(super) credentials: Credentials,
    limits: Limits,
    sites: Sites,
    requests: Option<Buckets>,
    failures: Option<Buckets>,
    places: Places,
    audit: Audit,
}

/// Routes that have a guard: the only ones that are served.
#[derive(Clone, Debug)]
pub struct Guarded(pub(super) Router);

impl Door {
    /// A door, or everything that is wrong with what was configured.
    pub fn new(options: DoorOptions) -> Result<Self, DoorError> {
        let DoorOptions { listen, credentials, limits, allowed_origins, hosts } = options;
        let credentials = Credentials::new(&credentials);
        // Whoever needs nothing but to reach this host may be reached through by a page.
        let has_certificates = listen.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let strict = credentials.as_ref().is_ok_and(Credentials::is_empty) && !has_certificates;
        let sites = Sites::new(&allowed_origins, &hosts, strict);
        let (credentials, sites) = match (credentials, sites) {
            (Ok(credentials), Ok(sites)) => (credentials, sites),
            (credentials, sites) => {
                let wrong = [credentials.err(), sites.err()].into_iter().flatten().flatten();
                return Err(DoorError::Options(wrong.collect()));
            }
        };
        let now = Instant::now();
        let buckets = |count: u32, burst: u32, per: Duration| {
            (count > 0).then(|| Buckets::new(Rate { burst, each: per / count }, now))
        };
        let (often, failures) = (limits.requests_per_second, limits.failures_per_minute);
        Ok(Self(Arc::new(Inner {
            requests: buckets(often, often.saturating_mul(2), Duration::from_secs(1)),
            failures: buckets(failures, failures, MINUTE),
            places: Places::new(&limits),
            audit: Audit::new(now),
            listen,
            credentials,
            limits,
            sites,
        })))
    }

    /// Puts the guard before routes, all of them: those that are added to it later have none.
    pub fn guard(&self, router: Router) -> Guarded {
        // The guard bounds bodies, by what they are for.
        let router = router.layer(DefaultBodyLimit::disable());
        Guarded(router.layer(from_fn_with_state(self.clone(), pass)))
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { listen, credentials, limits, .. } = &*self.0;
        f.debug_struct("Door")
            .field("listen", listen)
            .field("credentials", credentials)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

async fn pass(State(Door(door)): State<Door>, request: Request, next: Next) -> Response {
    let Some(visit) = request.extensions().get::<Visit>().cloned() else {
        // Served by something else than this door, who knows to whom.
        return Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the connection is not known").into_response();
    };
    let path = request.uri().path().to_owned();
    let needs = needs(request.method(), &path);
    let mut entry = door.audit.entry(visit.peer, request.method(), &path, needs);
    let allowed = door.sites.allowed(request.headers());
    let answer = timeout(door.limits.request_timeout, door.answer(&visit, needs, request, next, &mut entry));
    let answered = tokio::select! {
        biased;
        answered = answer => answered.unwrap_or_else(|_| Err(limits::timed_out())),
        () = door.has_stopped(visit.stopped.clone()) => Err(limits::stopping()),
    };
    let (mut response, reason) = match answered {
        Ok(response) => (response, None),
        Err(refused) => (refused.clone().into_response(), Some(refused.message.into_owned())),
    };
    entry.outcome = Some((response.status(), reason));
    headers::set(&path, response.headers_mut());
    door.sites.mark(allowed, response.headers_mut());
    response
}

impl Inner {
    /// Comes once the host has been stopping for as long as it waits for answers.
    async fn has_stopped(&self, mut stopped: watch::Receiver<()>) {
        // It is never told anything else than that nothing more comes.
        let _ = stopped.changed().await;
        sleep(self.listen.shutdown_timeout).await;
    }

    async fn answer(
        &self,
        visit: &Visit,
        needs: Role,
        mut request: Request,
        next: Next,
        entry: &mut Entry<'_>,
    ) -> Result<Response, Refused> {
        if let Peer::Address(peer) = visit.peer {
            self.sites.check(request.method(), request.uri(), request.headers(), visit.local)?;
            if let Some(preflight) = self.sites.preflight(request.method(), request.headers()) {
                return Ok(preflight);
            }
            self.is_not_too_often(peer, needs)?;
        }
        let caller = self.identify(visit, needs, request.headers()).await?;
        entry.caller = Some(caller.clone());
        if caller.role < needs {
            let message = format!("this needs the role {needs}, and {} has the role {}", caller.name, caller.role);
            return Err(Refused::new(StatusCode::FORBIDDEN, message));
        }
        // Probes and operators on this machine are answered whatever goes on.
        let takes_place = needs > Role::Nobody && visit.peer != Peer::LocalSocket;
        let _place = if takes_place { Some(self.places.take(&request)?) } else { None };
        request.headers_mut().remove(AUTHORIZATION);
        request.extensions_mut().insert(caller);
        limits::answer(&self.limits, request, next).await
    }

    /// What nobody needs credentials for costs nothing either: probes are not counted.
    fn is_not_too_often(&self, peer: SocketAddr, needs: Role) -> Result<(), Refused> {
        let Some(requests) = self.requests.as_ref().filter(|_| needs > Role::Nobody) else { return Ok(()) };
        requests.take(peer.ip(), Instant::now()).map_err(|wait| too_many("too many requests from this address", wait))
    }

    async fn identify(&self, visit: &Visit, needs: Role, headers: &HeaderMap) -> Result<Caller, Refused> {
        let caller = |name: &str, role| Caller { name: name.into(), role, peer: visit.peer };
        let peer = match visit.peer {
            Peer::LocalSocket => return Ok(caller("local socket", Role::Admin)),
            Peer::Address(peer) => peer,
        };
        if self.credentials.is_empty() {
            return Ok(caller(visit.certificate.as_deref().unwrap_or("anonymous"), Role::Admin));
        }
        if needs == Role::Nobody {
            return Ok(caller("anonymous", Role::Nobody));
        }
        let presented = Presented::read(headers);
        if matches!(presented, Presented::Nothing) {
            return Err(Refused::unknown(NOTHING_SHOWN));
        }
        let Known { name, role } = self.recognise(peer, &presented).await?;
        Ok(Caller { name, role, peer: visit.peer })
    }

    /// Who has these credentials. A client that guesses is not told any more whether it guessed right.
    async fn recognise(&self, peer: SocketAddr, presented: &Presented) -> Result<Known, Refused> {
        let guesses = |wait| too_many("too many wrong credentials from this address", wait);
        let failures = self.failures.as_ref();
        failures.map_or(Ok(()), |failures| failures.look(peer.ip(), Instant::now())).map_err(guesses)?;
        if let Some(known) = self.credentials.find(presented) {
            return Ok(known);
        }
        // It counts before it is known to be wrong: many at once are no way around.
        failures.map_or(Ok(()), |failures| failures.take(peer.ip(), Instant::now())).map_err(guesses)?;
        if self.credentials.may_be_slow(presented)
            && let Some(known) = self.credentials.find_slowly(presented).await
        {
            failures.inspect(|failures| failures.give_back(peer.ip()));
            return Ok(known);
        }
        Err(Refused::unknown("these credentials are not known"))
    }
}

fn too_many(message: &'static str, wait: Duration) -> Refused {
    Refused::later(StatusCode::TOO_MANY_REQUESTS, message, wait)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn a_request_that_came_by_no_connection_of_the_door_is_not_let_in() {
        let door = Door::new(DoorOptions::default()).unwrap();
        let routes = door.guard(Router::new().fallback(async || "fine"));
        let request = Request::get("/v1/status").header("host", "localhost").body(Body::empty()).unwrap();
        let answer = TowerToHyperService::new(routes.0).call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
