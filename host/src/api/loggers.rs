//! How much is logged, and of whom: changed while the host runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::wall_clock::now_ms;
use tracing_subscriber::EnvFilter;

/// The levels, the least severe messages last.
pub(super) const LEVELS: [&str; 6] = ["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
/// The logger of what operators do: who may change the others must not silence it.
pub(crate) const AUDIT: &str = "audit";
/// The logger that all others are part of.
pub(super) const ROOT: &str = "root";
/// Loggers that are known without anybody having set one.
const KNOWN: [&str; 10] = [
    "sandbar",
    "sandbar::api",
    "sandbar::broker",
    "sandbar::control",
    "sandbar::discovery",
    "sandbar::http",
    "sandbar::sandbox",
    "sandbar::task",
    "plugin",
    "librdkafka",
];

/// Loggers with what was set of them, and when.
type Levels = BTreeMap<String, (&'static str, i64)>;
type Apply = Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Loggers(Arc<Mutex<Set>>);

impl Default for Loggers {
    /// Loggers of a process that logs in its own way: what is set of them is known, and changes nothing.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Set { base: "info".to_owned(), ..Set::default() })))
    }
}

#[derive(Default)]
struct Set {
    /// What was logged from the start.
    base: String,
    /// What was set since, and when.
    set: Levels,
    apply: Option<Apply>,
}

/// How much a logger says, and since when where that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) level: &'static str,
    pub(super) last_modified: Option<i64>,
}

impl Loggers {
    /// Loggers of which `base` are the directives they start with, and `apply` brings others into force.
    pub fn new(base: &str, apply: impl Fn(EnvFilter) -> Result<(), String> + Send + Sync + 'static) -> Self {
        let set = Set { base: base.to_owned(), set: BTreeMap::new(), apply: Some(Arc::new(apply)) };
        Self(Arc::new(Mutex::new(set)))
    }

    /// All loggers that are known.
    pub(super) fn all(&self) -> BTreeMap<String, Level> {
        let set = self.lock();
        let names = [ROOT].into_iter().chain(KNOWN).map(str::to_owned).chain(set.set.keys().cloned());
        names.map(|name| (name.clone(), set.level(&name))).collect()
    }

    /// A logger, if it is known.
    pub(super) fn get(&self, name: &str) -> Option<Level> {
        self.all().remove(name)
    }

    /// Sets how much a logger says, and all that are part of it. Returns those that say something else now.
    pub(super) fn set(&self, name: &str, level: &'static str) -> Result<Vec<String>, String> {
        let before = self.all();
        let mut set = self.lock();
        let (new, filter) = set.with(name, level)?;
        if let Some(apply) = &set.apply {
            apply(filter)?;
        }
        set.set = new;
        drop(set);
        let changed = |(name, now): &(String, Level)| before.get(name).is_none_or(|before| before.level != now.level);
        Ok(self.all().into_iter().filter(changed).map(|(name, _)| name).collect())
    }

    /// Whether a logger could be set, here and on workers like this.
    pub(super) fn check(&self, name: &str, level: &'static str) -> Result<(), String> {
        self.lock().with(name, level).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    /// What would be set if this were, and what would be logged then.
    fn with(&self, name: &str, level: &'static str) -> Result<(Levels, EnvFilter), String> {
        if name == AUDIT {
            return Err("what operators do is always logged".to_owned());
        }
        let mut new = self.set.clone();
        let inner = format!("{name}::");
        new.retain(|set, _| name != ROOT && *set != name && !set.starts_with(&inner));
        new.insert(name.to_owned(), (level, now_ms()));
        let filter = EnvFilter::try_new(directives(&self.base, &new)).map_err(|error| error.to_string())?;
        Ok((new, filter))
    }

    /// What counts for a logger: what was set of it or of the closest one it is part of, else how it started.
    fn level(&self, name: &str) -> Level {
        let is_within =
            |outer: &str| name == outer || name.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"));
        let closest = self.set.iter().filter(|(outer, _)| is_within(outer)).max_by_key(|(outer, _)| outer.len());
        if let Some((_, (level, at))) = closest.or_else(|| self.set.get_key_value(ROOT)) {
            return Level { level, last_modified: Some(*at) };
        }
        let mut found = (0, "ERROR");
        for directive in self.base.split(',').map(str::trim) {
            match directive.split_once('=') {
                Some((outer, level)) if is_within(outer) && outer.len() >= found.0 => {
                    found = (outer.len(), known(level).unwrap_or(found.1));
                }
                None if found.0 == 0 => found.1 = known(directive).unwrap_or(found.1),
                _ => {}
            }
        }
        Level { level: found.1, last_modified: None }
    }
}

/// A level by its name, in either case.
pub(super) fn known(name: &str) -> Option<&'static str> {
    LEVELS.into_iter().find(|level| level.eq_ignore_ascii_case(name.trim()))
}

fn directives(base: &str, set: &Levels) -> String {
    // Who sets the root means everything.
    let mut directives = match set.get(ROOT) {
        Some((level, _)) => (*level).to_ascii_lowercase(),
        None => base.to_owned(),
    };
    for (name, (level, _)) in set.iter().filter(|(name, _)| *name != ROOT) {
        directives.push_str(&format!(",{name}={}", level.to_ascii_lowercase()));
    }
    // Of what operators do as much is told as at the start, whatever they set.
    let start = Set { base: base.to_owned(), ..Set::default() }.level(AUDIT).level;
    directives.push_str(&format!(",{AUDIT}={}", start.to_ascii_lowercase()));
    directives
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loggers() -> (Loggers, Arc<Mutex<String>>) {
        from("info,librdkafka=warn,rdkafka=warn")
    }

    fn from(base: &str) -> (Loggers, Arc<Mutex<String>>) {
        let applied = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&applied);
        let apply = move |filter: EnvFilter| {
            *to.lock().unwrap() = filter.to_string();
            Ok(())
        };
        (Loggers::new(base, apply), applied)
    }

    fn level(loggers: &Loggers, name: &str) -> &'static str {
        loggers.get(name).unwrap().level
    }

    #[test]
    fn a_logger_is_part_of_another() {
        let (loggers, applied) = loggers();
        assert_eq!((level(&loggers, ROOT), level(&loggers, "librdkafka")), ("INFO", "WARN"));
        let changed = loggers.set("sandbar", "DEBUG").unwrap();
        assert!(
            changed.contains(&"sandbar::task".to_owned()) && !changed.contains(&"plugin".to_owned()),
            "{changed:?}"
        );
        assert!(applied.lock().unwrap().contains("sandbar=debug"));
        assert_eq!(level(&loggers, "sandbar::task"), "DEBUG");
        assert!(loggers.get("sandbar::task").unwrap().last_modified.is_some());
        assert_eq!(loggers.set("sandbar", "DEBUG").unwrap(), Vec::<String>::new());
        loggers.set("sandbar::task", "TRACE").unwrap();
        assert_eq!(level(&loggers, "sandbar::api"), "DEBUG");
        loggers.set(ROOT, "WARN").unwrap();
        assert_eq!((level(&loggers, "sandbar::task"), level(&loggers, "plugin")), ("WARN", "WARN"));
    }

    #[test]
    fn the_audit_stays_as_it_was_whatever_is_set() {
        for (base, audit) in [
            ("info,librdkafka=warn,rdkafka=warn", "audit=info"),
            ("error,audit=info", "audit=info"),
            ("off", "audit=off"),
            ("warn", "audit=warn"),
            ("sandbar=debug", "audit=error"),
        ] {
            let (loggers, applied) = from(base);
            for (logger, level) in [("sandbar", "DEBUG"), (ROOT, "TRACE"), (ROOT, "OFF")] {
                loggers.set(logger, level).unwrap();
                let applied = applied.lock().unwrap();
                assert!(applied.split(',').any(|directive| directive == audit), "{base}: {applied}");
            }
        }
    }

    #[test]
    fn what_is_no_directive_changes_nothing() {
        let (loggers, _) = loggers();
        assert!(loggers.set("a=b,c[", "DEBUG").is_err());
        assert!(loggers.get("a=b,c[").is_none());
        assert_eq!(known("debug"), Some("DEBUG"));
        assert_eq!(known("LOUD"), None);
    }
}
