//! Which file a record goes to.

use std::path::{Path, PathBuf};

use sandbar_plugin::{Error, Result};

/// A path with placeholders.
#[derive(Debug)]
pub(crate) struct PathTemplate {
    text: String,
}

const TOPIC: &str = "{topic}";
const PARTITION: &str = "{partition}";

impl PathTemplate {
    pub(crate) fn new(text: &str) -> std::result::Result<Self, String> {
        if !text.starts_with('/') {
            return Err("must be absolute: a plugin has no working directory".to_owned());
        }
        if text.ends_with('/') {
            return Err("names a directory, not a file".to_owned());
        }
        let rest = text.replace(TOPIC, "").replace(PARTITION, "");
        if rest.contains(['{', '}']) {
            return Err("holds a brace that is not of {topic} or {partition}".to_owned());
        }
        Ok(Self { text: text.to_owned() })
    }

    /// Whether every partition has a file of its own.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.text.contains(TOPIC) && self.text.contains(PARTITION)
    }

    /// The file of a partition.
    pub(crate) fn of(&self, topic: &str, partition: i32) -> Result<PathBuf> {
        // No broker lets such a topic be made, but a path must not depend on that.
        if topic.contains('/') || topic == "." || topic == ".." {
            return Err(Error::fatal(format!("topic \"{topic}\" cannot be part of a path")));
        }
        Ok(self.text.replace(TOPIC, topic).replace(PARTITION, &partition.to_string()).into())
    }

    /// The innermost directory that is the same for all files.
    pub(crate) fn directory(&self) -> &Path {
        let fixed = self.text.split_once('{').map_or(self.text.as_str(), |(before, _)| before);
        let directory = fixed.rsplit_once('/').map_or("", |(directory, _)| directory);
        Path::new(if directory.is_empty() { "/" } else { directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let path = PathTemplate::new("/a/{topic}/x-{partition}.log").unwrap();
        assert_eq!(path.of("t", 3).unwrap(), PathBuf::from("/a/t/x-3.log"));
        assert_eq!(path.directory(), Path::new("/a"));
        assert!(path.is_exclusive());
        assert!(!PathTemplate::new("/a/{partition}").unwrap().is_exclusive());
        assert_eq!(PathTemplate::new("/x").unwrap().directory(), Path::new("/"));
    }

    #[test]
    fn no_topic_leads_out_of_the_directory() {
        let path = PathTemplate::new("/a/{topic}/x").unwrap();
        for topic in ["..", ".", "../b", "a/b"] {
            assert!(path.of(topic, 0).is_err(), "{topic}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "a/b", "/a/", "/a/{task}", "/a/{topic"] {
            assert!(PathTemplate::new(text).is_err(), "{text}");
        }
    }
}
