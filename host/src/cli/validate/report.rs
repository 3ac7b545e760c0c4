//! What was found: for people a line for each fault and a sum, for programs one JSON object.

use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::super::text;
use crate::config::{ConfigError, ErrorKind, Place, Warning, WorkerConfig};
use crate::http::Network;

/// Everything that was found, and how much was looked at.
#[derive(Default)]
pub(super) struct Report {
    /// Plugins looked at.
    pub plugins: usize,
    /// Definitions looked at.
    pub definitions: usize,
    /// `sandbar.toml`s looked at.
    workers: usize,
    findings: Vec<Finding>,
}

/// A fault, or something odd.
#[derive(Serialize)]
struct Finding {
    severity: Severity,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    message: String,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Error,
    Warning,
}

/// What sort of finding it is.
#[derive(Serialize)]
#[serde(untagged)]
enum Kind {
    Config(ErrorKind),
    Other { kind: &'static str },
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// Checks a `sandbar.toml`.
    pub fn worker(&mut self, file: &Path) -> Option<WorkerConfig> {
        self.workers += 1;
        match WorkerConfig::load(file) {
            Ok((worker, warnings)) => {
                self.warnings(warnings);
                // A worker reads it when it starts.
                if let Err(error) = Network::new(worker.http_ca_file.as_deref()) {
                    self.error(file, "file", error);
                }
                super::door::check(file, &worker, self);
                Some(worker)
            }
            Err(errors) => {
                self.config_errors(errors);
                None
            }
        }
    }

    /// Something wrong with a whole file or folder.
    pub fn error(&mut self, file: &Path, kind: &'static str, message: impl ToString) {
        self.add(Severity::Error, file, None, None, message.to_string(), Kind::Other { kind });
    }

    /// Something wrong with a key, wherever in the file it is.
    pub fn error_of_key(&mut self, file: &Path, key: &str, kind: &'static str, message: impl ToString) {
        self.add(Severity::Error, file, None, Some(key.to_owned()), message.to_string(), Kind::Other { kind });
    }

    /// Something odd, or wrong, that shows only when a key is put to use.
    pub fn in_use(&mut self, severity: Severity, file: &Path, place: Option<Place>, key: &str, message: String) {
        let kind = if severity == Severity::Error { "invalid" } else { "odd" };
        self.add(severity, file, place, Some(key.to_owned()), message, Kind::Other { kind });
    }

    /// What is wrong in a configuration file.
    pub fn config_errors(&mut self, errors: Vec<ConfigError>) {
        for ConfigError { file, line, column, key, message, kind } in errors {
            let place = line.zip(column).map(|(line, column)| Place { line, column });
            self.add(Severity::Error, &file, place, key, message, Kind::Config(kind));
        }
    }

    /// What is odd in a configuration file.
    pub fn warnings(&mut self, warnings: Vec<Warning>) {
        for Warning { file, place, key, message } in warnings {
            self.add(Severity::Warning, &file, place, key, message, Kind::Other { kind: "odd" });
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        file: &Path,
        place: Option<Place>,
        key: Option<String>,
        message: String,
        kind: Kind,
    ) {
        let (line, column) = place.map(|place| (place.line, place.column)).unzip();
        let file = file.display().to_string();
        self.findings.push(Finding { severity, file, line, column, key, message, kind });
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text: String = self.findings.iter().map(Finding::line).collect();
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    fn summary(&self) -> String {
        let mut looked_at = vec![text::counted(self.plugins, "plugin"), text::counted(self.definitions, "definition")];
        if self.workers > 0 {
            looked_at.push(text::counted(self.workers, "worker configuration"));
        }
        let errors = text::counted(self.count(Severity::Error), "error");
        let warnings = match self.count(Severity::Warning) {
            0 => String::new(),
            count => format!(", {}", text::counted(count, "warning")),
        };
        format!("{}: {errors}{warnings}", looked_at.join(", "))
    }
}

impl Finding {
    fn line(&self) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = self.line.zip(self.column).map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        let key = self.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        let line = format!("{severity}: {}{place}: {key}{}", self.file, self.message);
        format!("{}\n", text::shown(&line))
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Report", 6)?;
        object.serialize_field("ok", &self.is_ok())?;
        object.serialize_field("plugins", &self.plugins)?;
        object.serialize_field("definitions", &self.definitions)?;
        object.serialize_field("errors", &self.count(Severity::Error))?;
        object.serialize_field("warnings", &self.count(Severity::Warning))?;
        object.serialize_field("findings", &self.findings)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    //! How findings show.

    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let mut report = Report { plugins: 1, ..Report::default() };
        report.error(Path::new("a.wasm"), "plugin", "is\x1b empty");
        report.config_errors(vec![ConfigError {
            file: "c.json".into(),
            line: Some(3),
            column: Some(5),
            key: Some("tasks.max".to_owned()),
            message: "no".to_owned(),
            kind: ErrorKind::PluginMissing { class: "Upper".to_owned() },
        }]);
        report.warnings(vec![Warning { file: "c.json".into(), place: None, key: None, message: "odd".to_owned() }]);
        report
    }

    #[test]
    fn a_line_each_and_a_sum() {
        let expected = "error: a.wasm: is\\u{1b} empty\nerror: c.json:3:5: tasks.max: no\nwarning: c.json: odd\n\
                        1 plugin, 0 definitions: 2 errors, 1 warning\n";
        assert_eq!(report().text(), expected);
        assert_eq!(Report::default().text(), "0 plugins, 0 definitions: 0 errors\n");
    }

    #[test]
    fn programs_get_one_object() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["ok"], false);
        let finding = json!({"severity": "error", "file": "c.json", "line": 3, "column": 5, "key": "tasks.max",
            "message": "no", "kind": "plugin_missing", "class": "Upper"});
        assert_eq!(json["findings"][1], finding);
        assert_eq!(json["findings"][0]["kind"], "plugin");
    }
}
