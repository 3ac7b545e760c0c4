//! What the door has to do with each call, added to what its handler says of itself: credentials, the role it takes, and
//! what is answered before, or instead of, what the handler answers.

use axum::http::Method;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
    Type,
};

use crate::door::{Role, needs};

const BEARER: &str = "bearer";
const BASIC: &str = "basic";
const JSON: &str = "application/json";
/// The tag of the calls that answer nobody who takes no JSON.
const CONNECT: &str = "connect";

/// Adds it to every call.
pub(super) fn add(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(operation, needs(&method, path));
        }
    }
    describe(document.components.get_or_insert_with(Components::new));
}

/// Those that a path has.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete(operation: &mut Operation, needs: Role) {
    let mut also = vec![("403", "Forbidden"), ("500", "TimedOut")];
    if needs == Role::Nobody {
        operation.security = Some(Vec::new());
    } else {
        // Where no credentials are configured nobody is asked for any.
        let asks = |scheme| SecurityRequirement::new(scheme, [needs.word()]);
        operation.security = Some(vec![SecurityRequirement::default(), asks(BEARER), asks(BASIC)]);
        also.extend([("401", "Unauthorized"), ("429", "TooMany"), ("503", "TooMuch")]);
    }
    if operation.tags.iter().flatten().any(|tag| tag == CONNECT) {
        also.push(("406", "NotAcceptable"));
    }
    if let Some(RefOr::T(body)) = &operation.request_body {
        also.extend([("400", "BadBody"), ("413", "TooLarge")]);
        if body.content.contains_key(JSON) {
            also.push(("415", "NotJson"));
        }
    }
    let takes = |place: ParameterIn| {
        operation.parameters.iter().flatten().any(|one| matches!(one, RefOr::T(one) if one.parameter_in == place))
    };
    if takes(ParameterIn::Path) {
        also.push(("404", "NotFound"));
    }
    if takes(ParameterIn::Query) {
        also.push(("400", "BadQuery"));
    }
    for (status, name) in also {
        let answer = || RefOr::Ref(Ref::from_response_name(name));
        operation.responses.responses.entry(status.to_owned()).or_insert_with(answer);
    }
}

/// What is said once for all calls.
fn describe(components: &mut Components) {
    let scheme =
        |scheme, what: &str| SecurityScheme::Http(Http::builder().scheme(scheme).description(Some(what)).build());
    components.add_security_scheme(BEARER, scheme(HttpAuthScheme::Bearer, "A token of the configuration."));
    components.add_security_scheme(BASIC, scheme(HttpAuthScheme::Basic, "A user and a password of the configuration."));
    let wait = "After how many seconds to come back";
    let answers = [
        ("BadQuery", refused("The query is not what it should be")),
        ("NotFound", refused("There is no such thing")),
        ("BadBody", refused("The body is not what it should be")),
        (
            "Unauthorized",
            with_header(
                refused("Credentials are missing, or not known"),
                "WWW-Authenticate",
                "What can be shown",
                Type::String,
            ),
        ),
        (
            "Forbidden",
            refused("The role does not suffice, a page of another site sent it, or `Host` does not name this host"),
        ),
        ("NotAcceptable", refused("The client takes no JSON")),
        ("TooLarge", refused("The body is too long")),
        ("NotJson", refused("The body is not sent as JSON")),
        (
            "TooMany",
            with_header(
                refused("Too many requests, or wrong credentials, from one address"),
                "Retry-After",
                wait,
                Type::Integer,
            ),
        ),
        ("TimedOut", refused("It took too long, and may be done; or a defect of the host, of which its log says more")),
        ("TooMuch", refused("Too much is asked at once, or the host is stopping")),
    ];
    components.responses.extend(answers.map(|(name, answer)| (name.to_owned(), RefOr::T(answer))));
}

fn refused(why: &str) -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().description(why).content(JSON, body).build()
}

fn with_header(mut response: Response, name: &str, what: &str, kind: Type) -> Response {
    let value = ObjectBuilder::new().schema_type(kind).build();
    let header = HeaderBuilder::new().schema(Some(value)).description(Some(what)).build();
    response.headers.insert(name.to_owned(), RefOr::T(header));
    response
}
