//! Which role a request needs, by its method and path: one table, and whatever is not in it needs the highest role.

use std::fmt;
use std::str::FromStr;

use axum::http::Method;

/// What somebody may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ask whether the host is up, and have the files of the page.
    Nobody,
    /// Look at everything.
    Read,
    /// Have connectors pause, go on and start again.
    Operate,
    /// Say what runs.
    Admin,
}

impl Role {
    /// Its word in the configuration and the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = String;

    /// Reads a role that can be given to somebody.
    fn from_str(text: &str) -> Result<Self, String> {
        let roles = [Self::Read, Self::Operate, Self::Admin];
        let wrong = || format!("must be one of read, operate, admin, not \"{text}\"");
        roles.into_iter().find(|role| role.word() == text).ok_or_else(wrong)
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The methods.
    pub methods: &'static [&'static str],
    /// The path: `*` stands for one part of it, `**` at the end for any that follow.
    pub path: &'static str,
    /// What it needs.
    pub role: Role,
}

const fn row(methods: &'static [&'static str], path: &'static str, role: Role) -> Row {
    Row { methods, path, role }
}

const READS: &[&str] = &["GET", "HEAD"];
const POST: &[&str] = &["POST"];
const PUT: &[&str] = &["PUT"];
const DELETE: &[&str] = &["DELETE"];

/// What requests need. The first row that fits counts. The rows for `admin` say what is known; they could be left out.
pub const ROWS: &[Row] = &[
    row(READS, "/", Role::Nobody),
    row(READS, "/health", Role::Nobody),
    row(READS, "/ready", Role::Nobody),
    row(READS, "/ui", Role::Nobody),
    row(READS, "/ui/**", Role::Nobody),
    row(READS, "/favicon.ico", Role::Nobody),
    row(READS, "/openapi.json", Role::Nobody),
    row(READS, "/metrics", Role::Read),
    row(READS, "/connectors", Role::Read),
    row(READS, "/connectors/**", Role::Read),
    row(READS, "/connector-plugins", Role::Read),
    row(READS, "/connector-plugins/**", Role::Read),
    row(READS, "/admin/loggers", Role::Read),
    row(READS, "/admin/loggers/*", Role::Read),
    row(READS, "/v1/**", Role::Read),
    // It says what would be, and changes nothing.
    row(PUT, "/connector-plugins/*/config/validate", Role::Read),
    row(PUT, "/connectors/*/pause", Role::Operate),
    row(PUT, "/connectors/*/resume", Role::Operate),
    row(PUT, "/connectors/*/stop", Role::Operate),
    row(POST, "/connectors/*/restart", Role::Operate),
    row(POST, "/connectors/*/tasks/*/restart", Role::Operate),
    row(PUT, "/connectors/*/topics/reset", Role::Operate),
    row(&["PATCH", "DELETE"], "/connectors/*/offsets", Role::Operate),
    row(POST, "/v1/connectors/*/dead-letters/replay", Role::Operate),
    row(POST, "/v1/connectors/*/dead-letters/drop", Role::Operate),
    row(POST, "/connectors", Role::Admin),
    row(&["PUT", "PATCH"], "/connectors/*/config", Role::Admin),
    row(DELETE, "/connectors/*", Role::Admin),
    row(PUT, "/admin/loggers/*", Role::Admin),
    row(POST, UPLOAD, Role::Admin),
    row(POST, "/v1/plugins/*/versions/*/promote", Role::Admin),
    row(POST, "/v1/plugins/*/rollback", Role::Admin),
    row(DELETE, "/v1/plugins/*/versions/*", Role::Admin),
];

/// Where plugins are uploaded to.
const UPLOAD: &str = "/v1/plugins";

/// The role a request needs. The path is as it was sent: the router does not decode it either before it is matched, and
/// like this it does not mind a last slash.
#[must_use]
pub fn needs(method: &Method, path: &str) -> Role {
    let path = without_last_slash(path);
    // No route has them, and what serves files shall not be asked to be careful.
    if path.split('/').any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")) {
        return Role::Admin;
    }
    let fits = |row: &&Row| row.methods.contains(&method.as_str()) && matches(row.path, path);
    ROWS.iter().find(fits).map_or(Role::Admin, |row| row.role)
}

/// Whether a request uploads a plugin, which may be larger than all others.
pub(super) fn is_upload(method: &Method, path: &str) -> bool {
    method == Method::POST && without_last_slash(path) == UPLOAD
}

/// Whether a method may change anything.
pub(super) fn may_change(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|shorter| !shorter.is_empty()).unwrap_or(path)
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) | (Some("**"), Some(_)) => return true,
            (Some("*"), Some(part)) if !part.is_empty() => {}
            (Some(name), Some(part)) if name == part => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn need(request: &str, role: Role) {
        let (method, path) = request.split_once(' ').unwrap();
        assert_eq!(needs(&method.parse().unwrap(), path), role, "{request}");
    }

    #[test]
    fn looking_needs_read_and_probes_need_nothing() {
        for open in
            ["GET /", "HEAD /health", "GET /ready", "GET /ui", "GET /ui/", "GET /ui/assets/app.js", "GET /health/"]
        {
            need(open, Role::Nobody);
        }
        for read in [
            "GET /metrics",
            "GET /connectors",
            "GET /connectors/a/tasks/0/status",
            "GET /connector-plugins/a/config",
            "GET /admin/loggers/root",
            "GET /v1/status",
            "GET /connectors/",
            "HEAD /v1/status",
            "PUT /connector-plugins/a/config/validate",
        ] {
            need(read, Role::Read);
        }
    }

    #[test]
    fn what_keeps_things_running_needs_operate() {
        for operate in [
            "PUT /connectors/a/pause",
            "PUT /connectors/a%2Fb/resume",
            "PUT /connectors/a/resume/",
            "PUT /connectors/a/stop",
            "POST /connectors/a/restart",
            "POST /connectors/a/tasks/0/restart",
            "PUT /connectors/a/topics/reset",
            "PATCH /connectors/a/offsets",
            "DELETE /connectors/a/offsets",
            "POST /v1/connectors/a/dead-letters/replay",
            "POST /v1/connectors/a/dead-letters/drop",
        ] {
            need(operate, Role::Operate);
        }
    }

    #[test]
    fn what_says_what_runs_needs_admin_and_so_does_what_is_not_known() {
        for admin in [
            "POST /connectors",
            "PUT /connectors/a/config",
            "PATCH /connectors/a/config",
            "DELETE /connectors/a",
            "PUT /admin/loggers/root",
            "POST /v1/plugins",
            "POST /v1/plugins/a/versions/1.0.0/promote",
            "POST /v1/plugins/a/rollback",
            "DELETE /v1/plugins/a/versions/1.0.0",
            // Not of the table, or not quite.
            "GET /elsewhere",
            "GET /v1",
            "GET //health",
            "GET /health//",
            "GET /uix",
            "POST /ui",
            "BREW /connectors",
            "OPTIONS /connectors",
            "TRACE /",
            "PUT /connectors//pause",
            "PUT /connectors/a/b/pause",
            "PUT /connectors/a/%70ause",
            "PUT /connectors/a/pause//",
            "PUT /connectors/a/pause/x",
            "POST /connectors/a/pause",
            "GET /ui/../v1/status",
            "GET /ui/%2e%2E/secret",
            "GET /ui/.%2e/secret",
            "GET *",
        ] {
            need(admin, Role::Admin);
        }
    }

    #[test]
    fn a_plugin_is_uploaded_to_one_place() {
        assert!(is_upload(&Method::POST, "/v1/plugins") && is_upload(&Method::POST, "/v1/plugins/"));
        for (method, path) in [(Method::GET, "/v1/plugins"), (Method::POST, "/v1/plugins//"), (Method::POST, "/v1")] {
            assert!(!is_upload(&method, path), "{method} {path}");
        }
    }

    #[test]
    fn no_row_hides_behind_one_before_it() {
        for row in ROWS {
            let path = row.path.replace("**", "x").replace('*', "x");
            for method in row.methods {
                need(&format!("{method} {path}"), row.role);
            }
        }
    }

    #[test]
    fn roles_are_read_as_they_are_written_and_nobody_is_none_to_give() {
        for role in [Role::Read, Role::Operate, Role::Admin] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("nobody".parse::<Role>().is_err());
        assert!(Role::Nobody < Role::Read && Role::Read < Role::Operate && Role::Operate < Role::Admin);
    }
}
