//! Any text is survived as a pattern of hosts, and what is one says the same when it is written out.

use proptest::prelude::*;
use sandbar_abi::pattern::Pattern;

proptest! {
    #[test]
    fn what_is_read_reads_the_same_when_written(text in "(http://|https://|HTTP://)?(\\*\\.)?[a-zA-Z0-9._x:\\[\\]-]{0,20}") {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
            prop_assert!(pattern.covers(&pattern) && pattern.overlaps(&pattern));
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        if let Err(error) = text.parse::<Pattern>() {
            prop_assert!(error.to_string().contains(&text));
        }
    }
}
