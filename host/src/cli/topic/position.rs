//! Where reading starts, as it is written on the command line.

use jiff::Timestamp;

use crate::broker::ReadFrom;

/// Reads `beginning`, `end`, an offset, a time (RFC 3339), or `@` and milliseconds since 1970.
pub(super) fn parse(text: &str) -> Result<ReadFrom, String> {
    if let Some(millis) = text.strip_prefix('@') {
        let millis = millis.parse().ok().filter(|millis| *millis >= 0);
        return millis.map(ReadFrom::Timestamp).ok_or_else(|| "after @ come milliseconds since 1970".to_owned());
    }
    match text {
        "beginning" => return Ok(ReadFrom::Beginning),
        "end" => return Ok(ReadFrom::End),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>() {
        return if offset < 0 { Err("offsets begin at 0".to_owned()) } else { Ok(ReadFrom::Offset(offset)) };
    }
    match text.parse::<Timestamp>() {
        Ok(time) => Ok(ReadFrom::Timestamp(time.as_millisecond())),
        Err(_) => {
            let forms =
                "\"beginning\", \"end\", an offset, a time with its zone (2026-01-02T03:04:05Z), or @MILLISECONDS";
            Err(format!("must be {forms}"))
        }
    }
}

#[cfg(test)]
mod tests {
    //! Every form, and what is none.

    use super::*;

    #[test]
    fn every_form_is_read() {
        let forms = [
            ("beginning", ReadFrom::Beginning),
            ("end", ReadFrom::End),
            ("0", ReadFrom::Offset(0)),
            ("42", ReadFrom::Offset(42)),
            ("@1700000000000", ReadFrom::Timestamp(1_700_000_000_000)),
            ("2026-01-02T03:04:05.678Z", ReadFrom::Timestamp(1_767_323_045_678)),
            ("2026-01-02T04:04:05+01:00", ReadFrom::Timestamp(1_767_323_045_000)),
        ];
        for (text, from) in forms {
            assert_eq!(parse(text), Ok(from), "{text}");
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "start", "-1", "@", "@-1", "@x", "1.5", "2026-01-02", "2026-01-02T03:04:05"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
