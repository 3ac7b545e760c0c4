//! Which topics a connector reads and writes.

use sandbar_abi::manifest::Kind;

use super::DeadLetterSettings;
use crate::broker::{OwnTopics, Topics, whole_names};
use crate::config::error::ErrorKind;
use crate::config::keys;
use crate::config::reader::Reader;

/// The topics it reads: sinks and transforms need them, in one of two ways; sources have none.
pub(super) fn input(reader: &mut Reader<'_>, kind: Option<Kind>) -> Option<Topics> {
    let names = reader.list(&keys::TOPICS);
    let pattern = reader.text(&keys::TOPICS_REGEX);
    match kind? {
        Kind::Source => {
            for key in [&keys::TOPICS, &keys::TOPICS_REGEX] {
                if reader.has(key) {
                    let message = "a source reads no topics; the topic it writes to is \"topic\"";
                    reader.error(ErrorKind::Invalid, key.name, message);
                }
            }
            None
        }
        Kind::Sink | Kind::Transform => match (names.is_empty(), pattern) {
            (false, None) => Some(Topics::Names(names)),
            (true, Some(pattern)) => Some(Topics::Pattern(pattern)),
            (false, Some(_)) => {
                reader.error(ErrorKind::Invalid, keys::TOPICS_REGEX.name, "cannot go together with topics");
                None
            }
            (true, None) => {
                // A value that is wrong has been told already.
                if !reader.told(&keys::TOPICS) && !reader.told(&keys::TOPICS_REGEX) {
                    reader.error(ErrorKind::Missing, keys::TOPICS.name, "topics or topics.regex is required");
                }
                None
            }
        },
    }
}

/// The topic it writes to: sources and transforms need one.
pub(super) fn output(reader: &mut Reader<'_>, kind: Option<Kind>) -> Option<String> {
    match kind? {
        Kind::Source | Kind::Transform => reader.required(&keys::TOPIC, keys::TOPIC.name),
        Kind::Sink => None,
    }
}

/// A connector that reads what it writes never comes to an end, and what lies in the topics of worker groups is believed.
pub(super) fn check_written(
    reader: &mut Reader<'_>,
    topics: Option<&Topics>,
    topic: Option<&str>,
    dead_letters: Option<&DeadLetterSettings>,
    own: &OwnTopics,
) {
    let dead_letters = dead_letters.map(|letters| letters.topic.as_str());
    let written = [(&keys::TOPIC, topic), (&keys::ERRORS_DEADLETTERQUEUE_TOPIC_NAME, dead_letters)];
    for (key, topic) in written {
        let Some(topic) = topic else { continue };
        if topics.is_some_and(|topics| reads(topics, topic)) {
            reader.error(ErrorKind::Invalid, key.name, format!("the connector reads topic \"{topic}\" itself"));
        } else if own.hold(topic) {
            let message = format!("topic \"{topic}\" is a worker group's own: no connector writes to it");
            reader.error(ErrorKind::Invalid, key.name, message);
        }
    }
}

fn reads(topics: &Topics, topic: &str) -> bool {
    match topics {
        Topics::Names(names) => names.iter().any(|name| name == topic),
        Topics::Pattern(pattern) => whole_names(pattern).is_ok_and(|regex| regex.is_match(topic)),
    }
}
