//! Sets of statuses, as `408,500-599`.

use std::ops::RangeInclusive;

use serde::Deserialize;

/// A set of statuses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Whether a status is in the set.
    pub(crate) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![408..=408, 425..=425, 429..=429, 500..=599])
    }
}

impl TryFrom<String> for Statuses {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |part: &str| part.trim().parse().ok().filter(|status| (100..600).contains(status));
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(number(first)?..=number(last)?).filter(|range| !range.is_empty())
        };
        let ranges = text.split(',').map(|part| {
            range(part).ok_or_else(|| format!("\"{}\" is no status and no range of them, as in 500-599", part.trim()))
        });
        Ok(Self(ranges.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_ranges_make_a_set() {
        let read = |text: &str| Statuses::try_from(text.to_owned());
        assert_eq!(read("408,425, 429 ,500-599").unwrap(), Statuses::default());
        let set = read("409,500-502").unwrap();
        let members: Vec<u16> = (100..600).filter(|status| set.contains(*status)).collect();
        assert_eq!(members, [409, 500, 501, 502]);
        for text in ["", "x", "99", "600", "500-", "502-500", "408,,429", "-1"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
