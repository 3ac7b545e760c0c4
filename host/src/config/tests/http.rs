//! Which servers plugins may send requests to, and which headers are added for them.

use std::time::Duration;

use super::{definition, good, plugins, refused, shown, warned};
use crate::config::{ConnectorSettings, HttpSettings, SecretSource, SystemSecrets, WorkerConfig};

fn hook(lines: &[&'static str]) -> Vec<&'static str> {
    [&[r#""connector.class": "Hook""#, r#""topics": "a""#], lines].concat()
}

fn http(settings: ConnectorSettings) -> HttpSettings {
    settings.plugin.sandbox.grants.http.unwrap()
}

const HOSTS: &str = r#""sandbox.http.hosts": "a.com, http://127.0.0.1:8080""#;

#[test]
fn a_plugin_that_asks_gets_what_is_granted() {
    let policy = http(good(&hook(&[HOSTS]))).policy;
    assert_eq!(shown(&policy.grant.hosts), ["https://a.com", "http://127.0.0.1:8080"]);
    assert_eq!(policy.timeout, Duration::from_secs(30));
    assert_eq!((policy.response_max_bytes, policy.addresses.len()), (8 << 20, 0));
    let lines = hook(&[
        HOSTS,
        r#""sandbox.http.addresses": "10.1.0.0/16, ::1""#,
        r#""sandbox.http.timeout.ms": "5""#,
        r#""sandbox.http.response.max.bytes": "7""#,
    ]);
    let policy = http(good(&lines)).policy;
    assert_eq!(shown(&policy.addresses), ["10.1.0.0/16", "::1/128"]);
    assert_eq!((policy.timeout, policy.response_max_bytes), (Duration::from_millis(5), 7));
}

#[test]
fn a_plugin_that_does_not_ask_gets_nothing() {
    let lines = [r#""connector.class": "Plain""#, r#""topic": "a""#, r#""sandbox.http.hosts": "a.com""#];
    let told = "c.json:5:1: sandbox.http.hosts: https://a.com is not granted: no plugin asks to send requests there";
    assert_eq!(warned(&lines, &[told]).plugin.sandbox.grants.http, None);
}

#[test]
fn what_is_asked_for_and_not_granted_is_an_error_that_names_the_key() {
    refused(
        &hook(&[]),
        &["c.json: sandbox.http.hosts: is required: plugin Hook asks to send requests to hosts that it names"],
    );
    let api = [r#""connector.class": "Api""#, r#""topics": "a""#];
    let org = "sandbox.http.hosts: must name http://example.org:8080: plugin Api asks to send requests there";
    let com = "sandbox.http.hosts: must name https://*.example.com: plugin Api asks to send requests there";
    refused(&api, &[&format!("c.json: {com}"), &format!("c.json: {org}")]);
    let lines = [&api[..], &[r#""sandbox.http.hosts": "x.example.com, example.org:8080""#]].concat();
    refused(&lines, &[&format!("c.json:5:1: {org}")]);
}

#[test]
fn what_is_granted_and_not_asked_for_is_a_warning() {
    let hosts = r#""sandbox.http.hosts": "x.example.com,http://example.org:8080,example.com""#;
    let told =
        "c.json:5:1: sandbox.http.hosts: https://example.com is not granted: no plugin asks to send requests there";
    warned(&[r#""connector.class": "Api""#, r#""topics": "a""#, hosts], &[told]);
    let lines = [r#""connector.class": "Plain""#, r#""topic": "a""#, r#""sandbox.http.addresses": "10.0.0.1""#];
    warned(&lines, &["c.json:5:1: sandbox.http.addresses: has no effect: sandbox.http.hosts names none"]);
}

#[test]
fn hosts_and_addresses_are_checked() {
    refused(
        &hook(&[r#""sandbox.http.hosts": "*""#]),
        &[
            "c.json:5:1: sandbox.http.hosts: \"*\" is not a host, which is [scheme://]host[:port]: a name has labels of the \
           letters a-z, 0-9, '-' and '_' with dots between them; write others as xn--",
        ],
    );
    refused(
        &hook(&[HOSTS, r#""sandbox.http.addresses": "10.1.0.0/33""#]),
        &[
            "c.json:6:1: sandbox.http.addresses: \"10.1.0.0/33\" is neither an address nor a block of them, as 10.1.0.0/16",
        ],
    );
    let many: Vec<_> = (0..101).map(|n| format!("h{n}.com")).collect();
    let hosts: &'static str = format!(r#""sandbox.http.hosts": "{}""#, many.join(",")).leak();
    refused(&hook(&[hosts]), &["c.json:5:1: sandbox.http.hosts: has 101 items, the limit is 100"]);
}

const INJECT: &str = r#""sandbox.http.inject": "api""#;
const HEADER: &str = r#""sandbox.http.inject.api.header": "Authorization""#;
const VALUE: &str = r#""sandbox.http.inject.api.value": "Bearer s3-${env:CARGO_PKG_NAME}""#;

#[test]
fn a_header_is_read_and_its_value_stays_hidden() {
    let settings = good(&hook(&[r#""sandbox.http.hosts": "a.com""#, INJECT, HEADER, VALUE]));
    assert!(!format!("{settings:?}").contains("s3"), "{settings:?}");
    let inject = http(settings).inject;
    assert_eq!(
        (inject[0].header.as_str(), shown(&inject[0].hosts)),
        ("Authorization", vec!["https://a.com".to_owned()])
    );
    let value = inject[0].value.resolve(&SystemSecrets as &dyn SecretSource).map(|value| value.expose().to_owned());
    assert!(value.is_ok_and(|value| value.starts_with("Bearer s3-")) || std::env::var("CARGO_PKG_NAME").is_err());
}

#[test]
fn where_more_hosts_are_granted_the_header_says_for_which() {
    let required = "sandbox.http.inject.api.hosts: is required: sandbox.http.hosts grants more than one host";
    refused(&hook(&[HOSTS, INJECT, HEADER, VALUE]), &[&format!("c.json: {required}")]);
    let below = r#""sandbox.http.hosts": "*.a.com""#;
    refused(&hook(&[below, INJECT, HEADER, VALUE]), &[&format!("c.json: {required}")]);
    let hosts = r#""sandbox.http.inject.api.hosts": "x.a.com""#;
    assert_eq!(http(good(&hook(&[below, INJECT, HEADER, VALUE, hosts]))).inject[0].hosts.len(), 1);
    let hosts = r#""sandbox.http.inject.api.hosts": "a.com,b.com""#;
    let told =
        "c.json:9:1: sandbox.http.inject.api.hosts: names https://b.com, which sandbox.http.hosts does not grant";
    refused(&hook(&[HOSTS, INJECT, HEADER, VALUE, hosts]), &[told]);
}

#[test]
fn a_header_in_the_clear_is_a_warning() {
    let (local, plain) = (r#""sandbox.http.hosts": "http://localhost""#, r#""sandbox.http.hosts": "http://a.com""#);
    good(&hook(&[local, INJECT, HEADER, VALUE]));
    let told = "c.json: sandbox.http.inject.api.hosts: http://a.com gets the header in the clear, for anyone on the way to read";
    warned(&hook(&[plain, INJECT, HEADER, VALUE]), &[told]);
}

#[test]
fn headers_are_checked() {
    let one = r#""sandbox.http.hosts": "a.com""#;
    refused(
        &hook(&[
            one,
            INJECT,
            r#""sandbox.http.inject.api.header": "Host""#,
            r#""sandbox.http.inject.api.value": "${env:}""#,
        ]),
        &[
            "c.json:7:1: sandbox.http.inject.api.header: the header host is set by the host alone",
            "c.json:8:1: sandbox.http.inject.api.value: ${env:...} must name an environment variable",
        ],
    );
    refused(
        &hook(&[one, INJECT]),
        &["c.json: sandbox.http.inject.api.header: is required", "c.json: sandbox.http.inject.api.value: is required"],
    );
    refused(
        &hook(&[
            one,
            r#""sandbox.http.inject": "apl""#,
            HEADER,
            r#""sandbox.http.inject.apl.header": "x""#,
            r#""sandbox.http.inject.apl.value": "x""#,
        ]),
        &["c.json:7:1: sandbox.http.inject.api.header: \"api\" is not in sandbox.http.inject, did you mean \"apl\"?"],
    );
    refused(
        &hook(&[one, r#""sandbox.http.inject": "a.b, api, api""#, HEADER, VALUE]),
        &[
            "c.json:6:1: sandbox.http.inject: \"a.b\" must have no dot in it",
            "c.json:6:1: sandbox.http.inject: names \"api\" twice",
        ],
    );
    refused(
        &hook(&[one, INJECT, HEADER, r#""sandbox.http.inject.api.value": """#]),
        &["c.json:8:1: sandbox.http.inject.api.value: must be a single value"],
    );
    let unknown = hook(&[one, INJECT, HEADER, VALUE, r#""sandbox.http.inject.api.host": "a.com""#]);
    let errors = ConnectorSettings::resolve(&definition(&unknown), &plugins(), &WorkerConfig::default()).unwrap_err();
    assert!(errors[0].to_string().starts_with("c.json:9:1: sandbox.http.inject.api.host: is not known"), "{errors:?}");
}
