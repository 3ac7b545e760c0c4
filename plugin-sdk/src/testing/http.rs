//! Stands in for the servers a plugin talks to: a closure answers what it sends, and every request is kept to look at.
//! Requests and answers pass through the messages of the ABI, as with a host.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

use sandbar_abi::http::{self as message, Answer, Failure};

use crate::http::{Error, ErrorKind, Request, Response};

type Handler = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

#[derive(Default)]
struct Server {
    /// The number of the guard it belongs to; 0 where there is none.
    guard: u64,
    handler: Option<Handler>,
    requests: Vec<Request>,
}

thread_local! {
    static SERVER: RefCell<Server> = RefCell::default();
    /// How many guards there have been.
    static GUARDS: Cell<u64> = const { Cell::new(0) };
}

/// Answers the requests of plugins on this thread for as long as it lives, or until a newer one does. Without one every
/// request is denied.
#[must_use = "requests are answered only while this lives"]
pub struct Http {
    guard: u64,
    /// It belongs to its thread.
    thread: PhantomData<*const ()>,
}

impl Http {
    pub(super) fn new(handler: impl FnMut(&Request) -> Result<Response, Error> + 'static) -> Self {
        let guard = GUARDS.get() + 1;
        GUARDS.set(guard);
        SERVER.set(Server { guard, handler: Some(Box::new(handler)), requests: Vec::new() });
        Self { guard, thread: PhantomData }
    }

    /// The requests since the last look; none once a newer one answers.
    pub fn requests(&self) -> Vec<Request> {
        SERVER.with_borrow_mut(|server| {
            if server.guard == self.guard { std::mem::take(&mut server.requests) } else { Vec::new() }
        })
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // An older one may outlive a newer one's beginning: what it answered is gone by then.
        if SERVER.with_borrow(|server| server.guard == self.guard) {
            SERVER.take();
        }
    }
}

/// What the import does where there is a host.
pub(super) fn send(request: &[u8]) -> Option<Vec<u8>> {
    let (answer, body) = match message::decode::<message::Request>(request) {
        Ok((head, body)) => answer(Request {
            method: head.method,
            url: head.url,
            headers: head.headers,
            body: body.to_vec(),
            timeout: head.timeout_ms.map(std::time::Duration::from_millis),
        }),
        Err(error) => (failed(&Error::new(ErrorKind::Invalid, error)), Vec::new()),
    };
    message::encode(&answer, &body).ok()
}

fn answer(request: Request) -> (Answer, Vec<u8>) {
    // Taken out meanwhile: a handler may look at the plugin's host.
    let (guard, handler) = SERVER.with_borrow_mut(|server| (server.guard, server.handler.take()));
    let Some(mut handler) = handler else {
        return (failed(&Error::new(ErrorKind::Denied, "no handler answers requests in this test")), Vec::new());
    };
    let answered = handler(&request);
    SERVER.with_borrow_mut(|server| {
        // The handler may have begun another server, or ended its own.
        if server.guard == guard {
            server.handler = Some(handler);
            server.requests.push(request.clone());
        }
    });
    match answered {
        Ok(response) => {
            let or = |given: String, asked: String| if given.is_empty() { asked } else { given };
            let head = message::Response {
                status: response.status,
                method: or(response.method, request.method),
                url: or(response.url, request.url),
                headers: response.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
            };
            (Answer::Response(head), response.body)
        }
        Err(error) => (failed(&error), Vec::new()),
    }
}

fn failed(error: &Error) -> Answer {
    Answer::Error(Failure { kind: error.kind(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_answers_while_it_lives_and_sees_what_was_sent() {
        let http = crate::testing::http(|request| match request.url.as_str() {
            "http://down/" => Err(Error::new(ErrorKind::Connect, "down")),
            _ => Ok(Response { status: 201, body: request.body.clone(), ..Response::default() }),
        });
        let request = Request::post("http://up/").json(&[1]).unwrap().timeout(std::time::Duration::from_secs(2));
        let response = request.send().unwrap();
        assert_eq!((response.status, response.url.as_str(), &*response.text()), (201, "http://up/", "[1]"));
        assert_eq!(Request::get("http://down/").send().unwrap_err().kind(), ErrorKind::Connect);
        assert_eq!(http.requests(), [request, Request::get("http://down/")]);
        drop(http);
        assert_eq!(Request::get("http://up/").send().unwrap_err().kind(), ErrorKind::Denied);
    }

    #[test]
    fn an_older_guard_that_is_dropped_leaves_a_newer_one_answering() {
        let status = |status| move |_: &Request| Ok(Response { status, ..Response::default() });
        let older = crate::testing::http(status(201));
        let newer = crate::testing::http(status(202));
        let request = Request::get("http://up/");
        assert_eq!(request.send().unwrap().status, 202);
        assert!(older.requests().is_empty());
        drop(older);
        assert_eq!(request.send().unwrap().status, 202);
        assert_eq!(newer.requests().len(), 2);
        drop(newer);
        assert_eq!(request.send().unwrap_err().kind(), ErrorKind::Denied);
    }
}
