//! "Did you mean": the known key nearest to one that nobody knows.

/// Longer words are not compared: the cost grows with the square, and nobody mistypes a key that long.
const MAX_WORD_BYTES: usize = 128;

/// The candidate nearest to a word, and by how many edits it differs; nothing if all are too far to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, usize)> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let far = (word.len() / 3).clamp(1, 3);
    let near = |candidate: &'a str| {
        // Words whose lengths differ by more than that cannot be near.
        let distance = if candidate.len().abs_diff(word.len()) > far {
            usize::MAX
        } else {
            strsim::damerau_levenshtein(word, candidate)
        };
        (distance <= far).then_some((candidate, distance))
    };
    candidates.into_iter().filter_map(near).min_by_key(|(_, distance)| *distance)
}

/// The end of a message: what was meant, if anything near is known.
pub(super) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|(known, _)| format!(", did you mean \"{known}\"?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    //! What counts as near.

    use super::*;

    #[test]
    fn the_nearest_is_meant_if_it_is_near() {
        let known = ["tasks.max", "topics", "topic", "errors.tolerance"];
        assert_eq!(nearest("task.max", known), Some(("tasks.max", 1)));
        assert_eq!(nearest("errors.tolerence", known), Some(("errors.tolerance", 1)));
        assert_eq!(nearest("topcis", known), Some(("topics", 1)));
        assert_eq!(nearest("host", known), None);
        assert_eq!(hint("topis", known), ", did you mean \"topics\"?");
        assert_eq!(hint(&"x".repeat(1 << 20), known), "");
    }
}
