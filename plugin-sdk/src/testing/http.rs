//! Stands in for the servers a plugin talks to: a closure answers what it sends, and every request is kept to look at.
//! Requests and answers pass through the messages of the ABI, as with a host.

use std::cell::RefCell;
use std::marker::PhantomData;

use sandbar_abi::http::{self as message, Answer, Failure};

use crate::http::{Error, ErrorKind, Request, Response};

type Handler = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

#[derive(Default)]
struct Server {
    handler: Option<Handler>,
    requests: Vec<Request>,
}

thread_local! {
    static SERVER: RefCell<Server> = RefCell::default();
}

/// Answers the requests of plugins on this thread for as long as it lives. Without one every request is denied.
#[must_use = "requests are answered only while this lives"]
pub struct Http {
    /// It belongs to its thread.
    thread: PhantomData<*const ()>,
}

impl Http {
    pub(super) fn new(handler: impl FnMut(&Request) -> Result<Response, Error> + 'static) -> Self {
        SERVER.set(Server { handler: Some(Box::new(handler)), requests: Vec::new() });
        Self { thread: PhantomData }
    }

    /// The requests since the last look.
    pub fn requests(&self) -> Vec<Request> {
        SERVER.with_borrow_mut(|server| std::mem::take(&mut server.requests))
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        SERVER.take();
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
    let handler = SERVER.with_borrow_mut(|server| server.handler.take());
    let Some(mut handler) = handler else {
        return (failed(&Error::new(ErrorKind::Denied, "no handler answers requests in this test")), Vec::new());
    };
    let answered = handler(&request);
    SERVER.with_borrow_mut(|server| {
        server.handler = Some(handler);
        server.requests.push(request.clone());
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
}
