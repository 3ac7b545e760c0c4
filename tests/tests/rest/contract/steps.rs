//! The requests, one after the other, as each side has to be asked.

use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

/// What is asked of a side in its own words.
pub(super) struct Side {
    source: Value,
    sink: Value,
    logger: &'static str,
    input: String,
    output: String,
}

/// One thing after the other.
pub(super) struct Step {
    pub(super) id: &'static str,
    pub(super) action: Action,
}

pub(super) enum Action {
    /// A request whose answer is compared.
    Send(Method, String, Body),
    /// An answer that a later request sends back.
    Keep(String),
    /// Waits for an answer.
    Until(String, fn(&Value) -> bool),
}

pub(super) enum Body {
    None,
    Json(Value),
    Text(&'static str, &'static str),
    /// What was kept.
    Kept,
}

impl Body {
    pub(super) fn with(self, kept: &Value) -> Option<(Bytes, String)> {
        let json = |value: &Value| Some((value.to_string().into(), "application/json".to_owned()));
        match self {
            Self::None => None,
            Self::Json(value) => json(&value),
            Self::Text(text, kind) => Some((text.into(), kind.to_owned())),
            Self::Kept => json(kept),
        }
    }
}

impl Side {
    pub(super) fn connect(folder: &Path) -> Self {
        let (input, output) = paths(folder, "connect");
        let class = |name: &str| format!("org.apache.kafka.connect.file.{name}Connector");
        let text = "org.apache.kafka.connect.storage.StringConverter";
        Self {
            source: json!({"connector.class": class("FileStreamSource"), "file": input, "topic": "contract-connect",
                "tasks.max": "1", "value.converter": text,
                "topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1"}),
            sink: json!({"connector.class": class("FileStreamSink"), "file": output, "topics": "contract-connect",
                "tasks.max": "1", "value.converter": text}),
            logger: "org.apache.kafka.connect.runtime",
            input,
            output,
        }
    }

    pub(super) fn sandbar(folder: &Path) -> Self {
        let (input, output) = paths(folder, "sandbar");
        let granted = |name: &str| folder.join(name).display().to_string();
        Self {
            source: json!({"connector.class": "file-source", "path": input, "topic": "contract-sandbar",
                "tasks.max": "1", "sandbox.fs.read": granted("in")}),
            sink: json!({"connector.class": "file-sink", "path": output, "topics": "contract-sandbar",
                "tasks.max": "1", "sandbox.fs.write": granted("out")}),
            logger: "sandbar",
            input,
            output,
        }
    }

    fn class(&self) -> &str {
        self.source["connector.class"].as_str().unwrap_or_default()
    }

    /// A text in which what each side has names of its own for is called the same.
    pub(super) fn without_names(&self, text: &str) -> String {
        // Names of loggers stand alone.
        if let Some(part) = text.strip_prefix(self.logger)
            && (part.is_empty() || part.starts_with(['.', ':']))
        {
            return "<logger>".to_owned();
        }
        let sink = self.sink["connector.class"].as_str().unwrap_or_default();
        let topic = self.source["topic"].as_str().unwrap_or_default();
        text.replace(self.class(), "<source>")
            .replace(sink, "<sink>")
            .replace(topic, "<topic>")
            .replace(&self.input, "<input>")
            .replace(&self.output, "<output>")
    }

    /// The source with other keys.
    fn source_with(&self, changes: Value) -> Value {
        let mut config = self.source.clone();
        if let (Some(config), Value::Object(changes)) = (config.as_object_mut(), changes) {
            config.extend(changes);
        }
        config
    }
}

fn paths(folder: &Path, side: &str) -> (String, String) {
    let input = folder.join("in").join(format!("{side}.txt"));
    // It is a test's own folder: what goes wrong shows as soon as somebody reads it.
    let _ = std::fs::write(&input, "one\ntwo\nthree\n");
    (input.display().to_string(), folder.join("out").join(format!("{side}.txt")).display().to_string())
}

fn states(status: &Value, state: &str) -> bool {
    let tasks = status["tasks"].as_array();
    status["connector"]["state"] == state && tasks.is_some_and(|tasks| tasks.iter().all(|task| task["state"] == state))
}

fn runs(status: &Value) -> bool {
    states(status, "RUNNING") && status["tasks"].as_array().is_some_and(|tasks| tasks.len() == 1)
}

fn has_offsets(answer: &Value) -> bool {
    answer["offsets"].as_array().is_some_and(|offsets| !offsets.is_empty())
}

/// All steps.
pub(super) fn all(side: &Side) -> Vec<Step> {
    let mut steps = Vec::new();
    creating(side, &mut steps);
    reading(&mut steps);
    changing(side, &mut steps);
    living(&mut steps);
    standing(&mut steps);
    sinking(side, &mut steps);
    judging(side, &mut steps);
    logging(side, &mut steps);
    leaving(&mut steps);
    steps
}

fn get(steps: &mut Vec<Step>, id: &'static str, path: &str) {
    send(steps, id, Method::GET, path, Body::None);
}

fn send(steps: &mut Vec<Step>, id: &'static str, method: Method, path: &str, body: Body) {
    steps.push(Step { id, action: Action::Send(method, path.to_owned(), body) });
}

fn until(steps: &mut Vec<Step>, id: &'static str, path: &str, is_so: fn(&Value) -> bool) {
    steps.push(Step { id, action: Action::Until(path.to_owned(), is_so) });
}

fn creating(side: &Side, to: &mut Vec<Step>) {
    get(to, "root", "/");
    get(to, "health", "/health");
    get(to, "list-empty", "/connectors");
    get(to, "list-empty-expanded", "/connectors?expand=status");
    let mut create = |id, body| send(to, id, Method::POST, "/connectors", body);
    create("create-malformed", Body::Text("{\"name\":", "application/json"));
    create("create-list", Body::Json(json!([])));
    create("create-empty", Body::Text("", "application/json"));
    create("create-text", Body::Text("{}", "text/plain"));
    create("create-without-config", Body::Json(json!({"name": "c1"})));
    create("create-without-class", Body::Json(json!({"name": "c1", "config": {}})));
    create("create-other-name", Body::Json(json!({"name": "c1", "config": side.source_with(json!({"name": "c2"}))})));
    create("create-blank-name", Body::Json(json!({"name": " ", "config": side.source})));
    create(
        "create-unknown-class",
        Body::Json(json!({"name": "c1", "config": side.source_with(json!({"connector.class": "nothing"}))})),
    );
    create(
        "create-invalid",
        Body::Json(json!({"name": "c1", "config": side.source_with(json!({"tasks.max": "many"}))})),
    );
    create(
        "create-null-value",
        Body::Json(json!({"name": "c1", "config": side.source_with(json!({"tasks.max": null}))})),
    );
    create(
        "create-list-value",
        Body::Json(json!({"name": "c1", "config": side.source_with(json!({"tasks.max": [1]}))})),
    );
    create("create-unknown-field", Body::Json(json!({"name": "c1", "config": side.source, "more": 1})));
    create("create-unknown-state", Body::Json(json!({"name": "c1", "config": side.source, "initial_state": "ASLEEP"})));
    create("create", Body::Json(json!({"name": "c1", "config": side.source})));
    create("create-again", Body::Json(json!({"name": "c1", "config": side.source})));
    create("create-stopped", Body::Json(json!({"name": "c0", "config": side.source, "initial_state": "STOPPED"})));
    until(to, "it runs", "/connectors/c1/status", runs);
    until(to, "it has read", "/connectors/c1/offsets", has_offsets);
    until(to, "the other one is stopped", "/connectors/c0/status", |status| states(status, "STOPPED"));
    get(to, "status-created-stopped", "/connectors/c0/status");
    send(to, "delete-stopped", Method::DELETE, "/connectors/c0", Body::None);
    until(to, "it is gone", "/connectors/c0/status", |answer| answer["error_code"] == 404);
}

fn reading(to: &mut Vec<Step>) {
    for (id, path) in [
        ("list", "/connectors"),
        ("list-slash", "/connectors/"),
        ("list-info", "/connectors?expand=info"),
        ("list-status", "/connectors?expand=status"),
        ("list-both", "/connectors?expand=info&expand=status"),
        ("list-unknown", "/connectors?expand=foo"),
        ("list-joined", "/connectors?expand=info,status"),
        ("info", "/connectors/c1"),
        ("config", "/connectors/c1/config"),
        ("status", "/connectors/c1/status"),
        ("tasks", "/connectors/c1/tasks"),
        ("task-status", "/connectors/c1/tasks/0/status"),
        ("task-status-unknown", "/connectors/c1/tasks/7/status"),
        ("task-status-negative", "/connectors/c1/tasks/-1/status"),
        ("task-status-text", "/connectors/c1/tasks/x/status"),
        ("topics", "/connectors/c1/topics"),
        ("offsets", "/connectors/c1/offsets"),
        ("unknown-info", "/connectors/nope"),
        ("unknown-config", "/connectors/nope/config"),
        ("unknown-status", "/connectors/nope/status"),
        ("unknown-tasks", "/connectors/nope/tasks"),
        ("unknown-task-status", "/connectors/nope/tasks/0/status"),
        ("unknown-topics", "/connectors/nope/topics"),
        ("unknown-offsets", "/connectors/nope/offsets"),
        ("unknown-path", "/nope"),
        ("unknown-part", "/connectors/c1/nope"),
        ("wrong-method", "/connectors/c1/pause"),
    ] {
        get(to, id, path);
    }
    send(to, "wrong-method-list", Method::PUT, "/connectors", Body::None);
    send(to, "head", Method::HEAD, "/connectors/c1", Body::None);
}

fn changing(side: &Side, to: &mut Vec<Step>) {
    let mut put = |id, path, body| send(to, id, Method::PUT, path, body);
    put("put", "/connectors/c1/config", Body::Json(side.source_with(json!({"name": "c1"}))));
    put("put-new", "/connectors/c2/config", Body::Json(side.source.clone()));
    put("put-other-name", "/connectors/c1/config", Body::Json(side.source_with(json!({"name": "c2"}))));
    put("put-unknown-class", "/connectors/c1/config", Body::Json(json!({"connector.class": "nothing"})));
    put("put-without-class", "/connectors/c1/config", Body::Json(json!({})));
    put("put-list", "/connectors/c1/config", Body::Json(json!([])));
    let mut patch = |id, path, body| send(to, id, Method::PATCH, path, Body::Json(body));
    patch("patch", "/connectors/c1/config", json!({"tasks.max": "1", "errors.tolerance": "all"}));
    patch("patch-null", "/connectors/c1/config", json!({"errors.tolerance": null}));
    patch("patch-invalid", "/connectors/c1/config", json!({"tasks.max": "many"}));
    patch("patch-unknown", "/connectors/nope/config", json!({"tasks.max": "1"}));
    until(to, "it runs again", "/connectors/c1/status", runs);
    until(to, "the new one runs", "/connectors/c2/status", runs);
}

fn living(to: &mut Vec<Step>) {
    let mut put = |id, path| send(to, id, Method::PUT, path, Body::None);
    put("pause", "/connectors/c1/pause");
    put("pause-unknown", "/connectors/nope/pause");
    put("resume-unknown", "/connectors/nope/resume");
    put("stop-unknown", "/connectors/nope/stop");
    until(to, "it is paused", "/connectors/c1/status", |status| states(status, "PAUSED"));
    get(to, "status-paused", "/connectors/c1/status");
    send(to, "resume", Method::PUT, "/connectors/c1/resume", Body::None);
    until(to, "it is resumed", "/connectors/c1/status", runs);
    for (id, path) in [
        // Its answer depends on the states: Kafka Connect's show a restart a while after it was asked for.
        ("restart-failed", "/connectors/c1/restart?includeTasks=true&onlyFailed=true"),
        ("restart", "/connectors/c1/restart"),
        ("restart-tasks", "/connectors/c1/restart?includeTasks=true"),
        ("restart-unknown", "/connectors/nope/restart"),
        ("restart-unknown-tasks", "/connectors/nope/restart?includeTasks=true"),
        ("task-restart", "/connectors/c1/tasks/0/restart"),
        ("task-restart-unknown", "/connectors/c1/tasks/7/restart"),
        ("unknown-task-restart", "/connectors/nope/tasks/0/restart"),
    ] {
        until(to, "it runs before a restart", "/connectors/c1/status", runs);
        send(to, id, Method::POST, path, Body::None);
    }
    until(to, "it runs after restarts", "/connectors/c1/status", runs);
}

fn standing(to: &mut Vec<Step>) {
    let path = "/connectors/c1/offsets";
    until(to, "it has read before it is stopped", path, has_offsets);
    to.push(Step { id: "keep", action: Action::Keep(path.to_owned()) });
    send(to, "alter-running", Method::PATCH, path, Body::Kept);
    send(to, "reset-running", Method::DELETE, path, Body::None);
    send(to, "stop", Method::PUT, "/connectors/c1/stop", Body::None);
    until(to, "it is stopped", "/connectors/c1/status", |status| states(status, "STOPPED"));
    get(to, "status-stopped", "/connectors/c1/status");
    get(to, "tasks-stopped", "/connectors/c1/tasks");
    get(to, "task-status-stopped", "/connectors/c1/tasks/0/status");
    get(to, "info-stopped", "/connectors/c1");
    send(to, "task-restart-stopped", Method::POST, "/connectors/c1/tasks/0/restart", Body::None);
    send(to, "alter", Method::PATCH, path, Body::Kept);
    send(to, "alter-empty", Method::PATCH, path, Body::Json(json!({"offsets": []})));
    send(to, "alter-nothing", Method::PATCH, path, Body::Json(json!({})));
    send(to, "alter-unknown-empty", Method::PATCH, "/connectors/nope/offsets", Body::Json(json!({"offsets": []})));
    send(to, "alter-unknown", Method::PATCH, "/connectors/nope/offsets", Body::Kept);
    get(to, "offsets-altered", path);
    send(to, "reset", Method::DELETE, path, Body::None);
    send(to, "reset-unknown", Method::DELETE, "/connectors/nope/offsets", Body::None);
    get(to, "offsets-reset", path);
}

fn sinking(side: &Side, to: &mut Vec<Step>) {
    let path = "/connectors/s1/offsets";
    send(to, "create-sink", Method::POST, "/connectors", Body::Json(json!({"name": "s1", "config": side.sink})));
    until(to, "the sink runs", "/connectors/s1/status", runs);
    until(to, "the sink has read", path, has_offsets);
    get(to, "sink-info", "/connectors/s1");
    send(to, "sink-stop", Method::PUT, "/connectors/s1/stop", Body::None);
    until(to, "the sink is stopped", "/connectors/s1/status", |status| states(status, "STOPPED"));
    let topic = &side.source["topic"];
    let at = |offset: Value| {
        Body::Json(json!({"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": offset}]}))
    };
    send(to, "sink-alter", Method::PATCH, path, at(json!({"kafka_offset": 1})));
    get(to, "sink-altered", path);
    send(to, "sink-alter-text", Method::PATCH, path, at(json!({"kafka_offset": "2"})));
    send(to, "sink-alter-wrong", Method::PATCH, path, at(json!({"position": 1})));
    let nowhere = |topic: &Value, partition| {
        let partition = json!({"kafka_topic": topic, "kafka_partition": partition});
        Body::Json(json!({"offsets": [{"partition": partition, "offset": {"kafka_offset": 1}}]}))
    };
    send(to, "sink-alter-no-partition", Method::PATCH, path, nowhere(topic, 77));
    send(to, "sink-alter-no-topic", Method::PATCH, path, nowhere(&json!("not.there"), 0));
    send(to, "sink-alter-no-topic-name", Method::PATCH, path, nowhere(&json!("not a topic"), 0));
    get(to, "sink-unaltered", path);
    send(to, "sink-alter-null", Method::PATCH, path, at(json!(null)));
    get(to, "sink-forgotten", path);
    send(to, "sink-reset", Method::DELETE, path, Body::None);
    get(to, "sink-reset-offsets", path);
    send(to, "sink-delete", Method::DELETE, "/connectors/s1", Body::None);
}

fn judging(side: &Side, to: &mut Vec<Step>) {
    get(to, "plugins", "/connector-plugins");
    get(to, "plugins-all", "/connector-plugins?connectorsOnly=false");
    get(to, "plugin-config", &format!("/connector-plugins/{}/config", side.class()));
    get(to, "plugin-config-unknown", "/connector-plugins/nope/config");
    let path = format!("/connector-plugins/{}/config/validate", side.class());
    send(to, "validate", Method::PUT, &path, Body::Json(side.source_with(json!({"name": "v"}))));
    send(
        to,
        "validate-invalid",
        Method::PUT,
        &path,
        Body::Json(side.source_with(json!({"name": "v", "tasks.max": "many"}))),
    );
    send(to, "validate-other", Method::PUT, &path, Body::Json(side.sink.clone()));
    send(to, "validate-empty", Method::PUT, &path, Body::Json(json!({})));
    send(
        to,
        "validate-unknown",
        Method::PUT,
        "/connector-plugins/nope/config/validate",
        Body::Json(json!({"connector.class": "nope"})),
    );
}

fn logging(side: &Side, to: &mut Vec<Step>) {
    let path = format!("/admin/loggers/{}", side.logger);
    get(to, "loggers", "/admin/loggers");
    get(to, "logger-root", "/admin/loggers/root");
    get(to, "logger-unknown", "/admin/loggers/nope.nope");
    let mut set = |id, query: &str, body| send(to, id, Method::PUT, &format!("{path}{query}"), Body::Json(body));
    set("logger-none", "", json!({}));
    set("logger-loud", "", json!({"level": "LOUD"}));
    set("logger-same", "", json!({"level": "INFO"}));
    set("logger-cluster", "?scope=cluster", json!({"level": "INFO"}));
}

fn leaving(to: &mut Vec<Step>) {
    send(to, "topics-reset", Method::PUT, "/connectors/c1/topics/reset", Body::None);
    send(to, "topics-reset-unknown", Method::PUT, "/connectors/nope/topics/reset", Body::None);
    send(to, "delete", Method::DELETE, "/connectors/c1", Body::None);
    until(to, "it is gone in the end", "/connectors/c1/status", |answer| answer["error_code"] == 404);
    send(to, "delete-again", Method::DELETE, "/connectors/c1", Body::None);
    send(to, "delete-other", Method::DELETE, "/connectors/c2", Body::None);
}
