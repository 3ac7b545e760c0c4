//! What can stand between double braces, and how it is written.

use std::io::Write;
use std::str::FromStr;

use crate::moment::Moment;
use crate::random::Random;

/// A placeholder with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Placeholder {
    Seq,
    Uuid,
    Now,
    NowMillis,
    Int(i64, i64),
    Float(f64, f64),
    Pick(Vec<String>),
    Bool,
}

impl Placeholder {
    /// Reads what stands between the braces.
    pub(crate) fn parse(inner: &str) -> Result<Self, String> {
        let fault = |what: &str| format!("{{{{{inner}}}}}: {what}");
        let mut words = inner.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let arguments: Vec<&str> = words.collect();
        let plain = |place| if arguments.is_empty() { Ok(place) } else { Err(fault("takes no arguments")) };
        match name {
            "seq" => plain(Self::Seq),
            "uuid" => plain(Self::Uuid),
            "now" => plain(Self::Now),
            "now_ms" => plain(Self::NowMillis),
            "bool" => plain(Self::Bool),
            "int" => range(&arguments).map(|(min, max)| Self::Int(min, max)).map_err(|what| fault(&what)),
            "float" => match range::<f64>(&arguments) {
                // A difference past the largest float would make infinities, which JSON cannot write.
                Ok((min, max)) if (max - min).is_finite() => Ok(Self::Float(min, max)),
                Ok(_) => Err(fault("the range is too wide")),
                Err(what) => Err(fault(&what)),
            },
            "pick" if arguments.is_empty() => Err(fault("takes at least one choice")),
            "pick" => Ok(Self::Pick(arguments.into_iter().map(str::to_owned).collect())),
            _ => Err(format!("{{{{{inner}}}}} is no placeholder")),
        }
    }

    /// Whether it is text in JSON; if not, it is a number or a boolean.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Uuid | Self::Now | Self::Pick(_))
    }

    /// The same with every text of its own changed.
    pub(crate) fn map_choices(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Pick(choices) => Self::Pick(choices.iter().map(|choice| change(choice)).collect()),
            other => other,
        }
    }

    /// Appends what it stands for in the record of a sequence number.
    pub(crate) fn write(&self, out: &mut Vec<u8>, seq: u64, moment: &Moment, random: &mut Random) {
        // Writing to a vector cannot fail.
        let _ = match self {
            Self::Seq => write_number(out, seq),
            Self::NowMillis => write!(out, "{}", moment.millis()),
            Self::Int(min, max) => {
                let n = random.int(*min, *max);
                if n < 0 {
                    out.push(b'-');
                }
                write_number(out, n.unsigned_abs())
            }
            Self::Float(min, max) => write!(out, "{:?}", random.float(*min, *max)),
            Self::Now => out.write_all(moment.iso_8601().as_bytes()),
            Self::Uuid => out.write_all(&uuid(random)),
            Self::Bool => out.write_all(if random.int(0, 1) == 1 { b"true" } else { b"false" }),
            Self::Pick(choices) => {
                let choice = choices.get(random.index(choices.len())).map_or("", String::as_str);
                out.write_all(choice.as_bytes())
            }
        };
    }
}

/// The two bounds of a range, in order.
fn range<N: FromStr + PartialOrd>(arguments: &[&str]) -> Result<(N, N), String> {
    let [min, max] = arguments else { return Err("takes MIN MAX".to_owned()) };
    let number = |text: &str| {
        let parsed = text.parse().ok().filter(|n: &N| n.partial_cmp(n).is_some());
        parsed.ok_or_else(|| format!("\"{text}\" is no number"))
    };
    let (min, max) = (number(min)?, number(max)?);
    if min > max { Err("MIN is above MAX".to_owned()) } else { Ok((min, max)) }
}

/// Appends a number in decimal; several times as fast as the formatting machinery, and every record has one.
fn write_number(out: &mut Vec<u8>, mut n: u64) -> std::io::Result<()> {
    let mut digits = [0_u8; 20]; // u64::MAX has 20
    let mut first = digits.len();
    loop {
        first -= 1;
        #[allow(clippy::cast_possible_truncation)] // one digit
        let digit = b'0' + (n % 10) as u8;
        digits[first] = digit;
        n /= 10;
        if n == 0 {
            return out.write_all(&digits[first..]);
        }
    }
}

/// The text of a version 4 UUID.
fn uuid(random: &mut Random) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (high, low) = (random.next(), random.next());
    let high = (high & !0xF000) | 0x4000; // version 4
    let low = (low & !(0b11 << 62)) | (0b10 << 62); // the variant of RFC 9562
    let bits = (u128::from(high) << 64) | u128::from(low);
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (i, letter) in text.iter_mut().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            continue;
        }
        shift -= 4;
        *letter = HEX[(bits >> shift) as usize & 0xF];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(place: &Placeholder, seq: u64) -> String {
        let mut out = Vec::new();
        place.write(&mut out, seq, &Moment::at(0), &mut Random::new(0, 0, seq));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_in_full() {
        for n in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(written(&Placeholder::Seq, n), n.to_string());
        }
        assert_eq!(written(&Placeholder::Int(i64::MIN, i64::MIN), 0), i64::MIN.to_string());
        assert_eq!(written(&Placeholder::Float(2.0, 2.0), 0), "2.0");
    }

    #[test]
    fn a_uuid_says_its_version_and_variant() {
        for seq in 0..50 {
            let uuid = written(&Placeholder::Uuid, seq);
            assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
            assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{uuid}");
            assert_eq!(uuid.matches('-').count(), 4);
        }
    }
}
