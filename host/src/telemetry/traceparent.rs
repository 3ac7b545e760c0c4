//! The header `traceparent` of the W3C's Trace Context: which span a record comes of.

use std::fmt;

/// The header that says which span a record comes of.
pub const TRACEPARENT: &str = "traceparent";
/// The header beside it in which vendors keep their own.
pub const TRACESTATE: &str = "tracestate";

/// How long the header is in version 00; later ones may only append.
const LEN: usize = 55;
/// The flag that the trace is recorded.
const SAMPLED: u8 = 1;

/// A span as others know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) flags: u8,
    /// Whether another process, or an earlier task, made it.
    pub(super) is_remote: bool,
}

impl TraceContext {
    /// Reads the value of the header. Whatever is not one is nothing: it says nothing about the record it is on.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (fixed, more) = header.split_at_checked(LEN)?;
        let version: [u8; 1] = hex(fixed.get(..2)?)?;
        // What a later version appends is not read.
        let fits = if version == [0] { more.is_empty() } else { more.is_empty() || more.starts_with(b"-") };
        let dashes = [2, 35, 52].iter().all(|at| fixed.get(*at) == Some(&b'-'));
        if !fits || !dashes || version == [0xff] {
            return None;
        }
        let (trace, span) = (hex(fixed.get(3..35)?)?, hex(fixed.get(36..52)?)?);
        let [flags] = hex(fixed.get(53..LEN)?)?;
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace, span, flags, is_remote: true })
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceContext {
    /// As the header has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

/// Bytes in hexadecimal, of which only the lower case is allowed.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_is_read_and_written() {
        let context = TraceContext::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert!(context.is_sampled());
        assert!(!TraceContext::parse(EXAMPLE.replace("-01", "-02").as_bytes()).unwrap().is_sampled());
    }

    #[test]
    fn what_a_later_version_appends_is_left_out() {
        let later = EXAMPLE.replacen("00-", "01-", 1);
        for header in [later.clone(), format!("{later}-more")] {
            assert_eq!(TraceContext::parse(header.as_bytes()).unwrap().to_string(), EXAMPLE, "{header}");
        }
        assert_eq!(TraceContext::parse(format!("{later}more").as_bytes()), None);
        assert_eq!(TraceContext::parse(format!("{EXAMPLE}-more").as_bytes()), None);
    }

    #[test]
    fn what_is_not_a_header_is_nothing() {
        let bad = [
            String::new(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replacen("00-", "ff-", 1),
            EXAMPLE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            EXAMPLE.replace("b7ad6b7169203331", &"0".repeat(16)),
            EXAMPLE.replace('-', "_"),
            EXAMPLE.replace("-01", "-0g"),
            EXAMPLE[..54].to_owned(),
        ];
        for header in bad {
            assert_eq!(TraceContext::parse(header.as_bytes()), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_what_is_read_is_what_was_there(header in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(context) = TraceContext::parse(&header) {
                let written = context.to_string();
                prop_assert_eq!(written.as_bytes().get(2..), header.get(2..LEN));
            }
        }
    }
}
