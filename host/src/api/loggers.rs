//! How much is logged, and of whom: changed while the host runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::text::cut;
use crate::wall_clock::now_ms;
use tracing_subscriber::EnvFilter;

/// The levels, the least severe messages last.
pub(super) const LEVELS: [&str; 6] = ["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
/// The logger of what operators do: who may change the others must not silence it.
pub(crate) const AUDIT: &str = "audit";
/// The logger that all others are part of.
pub(super) const ROOT: &str = "root";
/// The longest name of a logger, in bytes: several times as much as that of a module has.
const MAX_NAME_BYTES: usize = 200;
/// How many loggers may be set: many times as many as there are modules, and what is logged is still decided fast.
const MAX_SET: usize = 1_000;
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
    /// What the worker group agreed on last, by logger.
    agreed: BTreeMap<String, String>,
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
        let set = Set { base: base.to_owned(), apply: Some(Arc::new(apply)), ..Set::default() };
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
        let mut new = set.set.clone();
        put(&mut new, name, level)?;
        set.enforce(new)?;
        drop(set);
        let changed = |(name, now): &(String, Level)| before.get(name).is_none_or(|before| before.level != now.level);
        Ok(self.all().into_iter().filter(changed).map(|(name, _)| name).collect())
    }

    /// Whether a logger could be set, here and on workers like this.
    pub(super) fn check(&self, name: &str, level: &'static str) -> Result<(), String> {
        let set = self.lock();
        put(&mut set.set.clone(), name, level)?;
        // What the group agreed on stays in its topic, whatever was set after it.
        let is_one_more = !set.agreed.contains_key(name);
        if is_one_more && set.agreed.keys().filter(|agreed| check_name(agreed).is_ok()).count() >= MAX_SET {
            return Err(too_many());
        }
        Ok(())
    }

    /// Sets what the worker group agreed on since it was told last. Returns what cannot be set, and why.
    pub(super) fn follow(&self, agreed: BTreeMap<String, String>) -> Vec<String> {
        let mut set = self.lock();
        let (mut new, mut wrong) = (set.set.clone(), Vec::new());
        for (name, level) in agreed.iter().filter(|(name, level)| set.agreed.get(*name) != Some(*level)) {
            // What is no level here may be one of a newer worker.
            let Some(level) = known(level) else { continue };
            if let Err(why) = put(&mut new, name, level) {
                // Whatever is in the topic gets into the log so, in one line.
                wrong.push(format!("logger {:?}: {why}", cut(name)));
            }
        }
        set.agreed = agreed;
        if new != set.set
            && let Err(why) = set.enforce(new)
        {
            wrong.push(why);
        }
        wrong
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    /// Has these count from now on. An event that comes after it is judged by them: that of the audit about the very
    /// request that set them, too, which passes since no logger that may be set stands above the audit's.
    fn enforce(&mut self, new: Levels) -> Result<(), String> {
        let filter = EnvFilter::try_new(directives(&self.base, &new)).map_err(|error| error.to_string())?;
        if let Some(apply) = &self.apply {
            apply(filter)?;
        }
        self.set = new;
        Ok(())
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

/// Takes in what is to be set of a logger, and of all that are part of it. What is refused changes nothing.
fn put(levels: &mut Levels, name: &str, level: &'static str) -> Result<(), String> {
    check_name(name)?;
    let inner = format!("{name}::");
    let stays = |set: &str| name != ROOT && set != name && !set.starts_with(&inner);
    if levels.keys().filter(|set| stays(set)).count() >= MAX_SET {
        return Err(too_many());
    }
    levels.retain(|set, _| stays(set));
    levels.insert(name.to_owned(), (level, now_ms()));
    Ok(())
}

/// Whether a logger that may be set can be called so. A name becomes a part of directives, where other characters mean
/// something: `audit[{who}]` would stand above the audit, and what comes after a comma is a directive of its own.
fn check_name(name: &str) -> Result<(), String> {
    if name == AUDIT {
        return Err("what operators do is always logged".to_owned());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    // The filter takes no dot for the beginning of a name.
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('.') {
        return Ok(());
    }
    let rule = "of the letters a-z, A-Z, 0-9, '_', ':', '-' and '.', which is not the first";
    Err(format!("that is not the name of a logger, which has 1 to {MAX_NAME_BYTES} {rule}"))
}

fn too_many() -> String {
    format!("{MAX_SET} loggers are set already, which is as many as may be; set one that they are part of")
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
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, SubscriberExt as _};
    use tracing_subscriber::{Layer, reload};

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

    /// What a worker group agreed on that has all of these off.
    fn group<N: AsRef<str>>(names: &[N]) -> BTreeMap<String, String> {
        names.iter().map(|name| (name.as_ref().to_owned(), "OFF".to_owned())).collect()
    }

    #[test]
    fn what_the_group_agreed_on_is_set_once() {
        let (loggers, applied) = loggers();
        assert_eq!(loggers.follow(group(&["plugin", "sandbar", "audit[{who}]"])).len(), 1);
        assert_eq!((level(&loggers, "plugin"), level(&loggers, "sandbar::task")), ("OFF", "OFF"));
        for directive in ["plugin=off", "sandbar=off", "audit=info"] {
            assert!(applied.lock().unwrap().split(',').any(|applied| applied == directive), "{directive}");
        }
        // What was set here since stays, until the group agrees on something else.
        loggers.set("plugin", "DEBUG").unwrap();
        assert_eq!(loggers.follow(group(&["plugin", "sandbar", "audit[{who}]"])), Vec::<String>::new());
        assert_eq!(level(&loggers, "plugin"), "DEBUG");
        let levels = [("plugin", "WARN"), ("sandbar", "LOUD")];
        let agreed = levels.map(|(name, level)| (name.to_owned(), level.to_owned()));
        assert_eq!(loggers.follow(BTreeMap::from(agreed)), Vec::<String>::new());
        assert_eq!((level(&loggers, "plugin"), level(&loggers, "sandbar")), ("WARN", "OFF"));
    }

    #[test]
    fn loggers_are_set_up_to_a_bound() {
        let names: Vec<_> = (0..=MAX_SET).map(|n| format!("l::{n:04}")).collect();
        let (here, _) = loggers();
        assert_eq!(here.follow(group(&names)).len(), 1);
        assert!(here.get(&names[MAX_SET - 1]).is_some() && here.get(&names[MAX_SET]).is_none());
        assert_eq!(here.set("one-more", "OFF"), Err(too_many()));
        // One that is set may change, and one that they are part of takes their place; to the topic it is one more.
        assert_eq!(here.set(&names[0], "DEBUG"), Ok(vec![names[0].clone()]));
        assert!(here.set("l", "INFO").is_ok() && here.get(&names[0]).is_none());
        assert_eq!((here.check("one-more", "OFF"), here.check(&names[0], "OFF")), (Err(too_many()), Ok(())));
    }

    #[test]
    fn a_request_that_turns_all_off_is_in_the_audit() {
        let (filter, handle) = reload::Layer::new(EnvFilter::new("info"));
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(filter).with(heard.clone());
        let loggers = Loggers::new("info", move |filter| handle.reload(filter).map_err(|error| error.to_string()));
        tracing::subscriber::with_default(subscriber, || {
            for name in [ROOT, "a", "aud", "audit::", "sandbar"] {
                loggers.set(name, "OFF").unwrap();
                tracing::info!(target: "sandbar::door", "not heard");
                // As the door does, once it has the answer.
                tracing::info!(target: "audit", who = "anna", path = name, "a request was answered");
            }
        });
        assert_eq!(*heard.0.lock().unwrap(), ["audit"; 5]);
    }

    /// Notes the targets of what is logged.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata().target().to_owned());
        }
    }

    #[test]
    fn what_is_no_directive_changes_nothing() {
        let (loggers, applied) = loggers();
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in ["a=b,c[", "audit[{who}]", "a,audit", "audit", "a b", "", ".a", "ä", long.as_str()] {
            assert!(loggers.set(name, "OFF").is_err() && loggers.check(name, "OFF").is_err(), "{name}");
            assert_eq!(loggers.follow(group(&[name])).len(), 1, "{name}");
            assert!(loggers.get(name).is_none(), "{name}");
        }
        assert_eq!(*applied.lock().unwrap(), "");
        for name in ["org.apache.kafka.connect.runtime", "a-b_C9", "::", &long[1..]] {
            assert_eq!(loggers.check(name, "OFF"), Ok(()));
            assert_eq!(loggers.set(name, "OFF"), Ok(vec![name.to_owned()]));
        }
        assert_eq!(known("debug"), Some("DEBUG"));
        assert_eq!(known("LOUD"), None);
    }
}
