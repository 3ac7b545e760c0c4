//! What is sent of a record: its value, or a template that its parts are put into so that they stay what they are.

use sandbar_plugin::serde_json;
use serde::Deserialize;

use crate::template::{Field, Fields, Found, Piece, Template};

/// What becomes of records without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NullValues {
    /// Nothing is sent.
    #[default]
    Skip,
    /// They are sent as well.
    Send,
    /// They fail.
    Fail,
}

/// How the records of a request make its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// There is one record.
    Single,
    /// A JSON array.
    Array,
    /// A line each.
    Lines,
}

/// How a record becomes a body, or a part of one.
#[derive(Debug)]
pub(crate) struct BodyTemplate {
    template: Option<Pieces>,
    format: Format,
    null_values: NullValues,
}

/// A template, and whether its text is JSON.
#[derive(Debug)]
enum Pieces {
    Text(Template),
    /// With whether each piece ends within quotes.
    Json(Vec<(Piece, bool)>),
}

impl BodyTemplate {
    /// Reads the template, of JSON where `json` says so.
    pub(crate) fn new(
        template: Option<&str>,
        json: bool,
        format: Format,
        null_values: NullValues,
    ) -> Result<Self, String> {
        let read = |text: &str| {
            let template = Template::parse(text)?;
            if json || format == Format::Array { json_pieces(template) } else { Ok(Pieces::Text(template)) }
        };
        let template = template.map(read).transpose();
        let template = template.map_err(|what| format!("configuration key \"body\": {what}"))?;
        Ok(Self { template, format, null_values })
    }

    /// What is sent of a record; `None` for one that is skipped. An error: it cannot be sent.
    pub(crate) fn of(&self, value: Option<&[u8]>, fields: &Fields<'_>) -> Result<Option<Vec<u8>>, String> {
        match (value, self.null_values) {
            (None, NullValues::Skip) => return Ok(None),
            (None, NullValues::Fail) => return Err("the record has no value".to_owned()),
            _ => {}
        }
        let body = match (&self.template, value) {
            (Some(template), _) => template.fill(fields)?,
            (None, Some(value)) if self.format != Format::Array => value.to_vec(),
            (None, None) if self.format == Format::Single => Vec::new(),
            (None, _) => fields.json()?.get().as_bytes().to_vec(),
        };
        if self.format == Format::Lines { one_line(body).map(Some) } else { Ok(Some(body)) }
    }
}

impl Format {
    /// How many bytes a body takes beyond its records.
    pub(crate) fn overhead(self, records: usize) -> usize {
        match self {
            Self::Single => 0,
            Self::Array => records + 1,
            Self::Lines => records,
        }
    }

    /// The body of a request.
    pub(crate) fn join<'b>(self, bodies: impl ExactSizeIterator<Item = &'b [u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        if self == Self::Array {
            out.push(b'[');
        }
        for (place, body) in bodies.enumerate() {
            if self == Self::Array && place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(body);
            if self == Self::Lines {
                out.push(b'\n');
            }
        }
        if self == Self::Array {
            out.push(b']');
        }
        out
    }
}

impl Pieces {
    fn fill(&self, fields: &Fields<'_>) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match self {
            Self::Text(template) => {
                for piece in &template.pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Field(field) => out.extend_from_slice(&fields.find(field)?.text(field)?),
                    }
                }
            }
            Self::Json(pieces) => {
                for (piece, in_string) in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Field(field) if *in_string => {
                            let bytes = fields.find(field)?.text(field)?;
                            let text = quoted(&bytes)?;
                            out.extend_from_slice(&text.as_bytes()[1..text.len() - 1]);
                        }
                        Piece::Field(field) => out.extend_from_slice(json(fields, field)?.as_bytes()),
                    }
                }
            }
        }
        Ok(out)
    }
}

/// A part of a record as a JSON value.
fn json(fields: &Fields<'_>, field: &Field) -> Result<String, String> {
    if *field == Field::Value {
        return Ok(fields.json()?.get().to_owned());
    }
    Ok(match fields.find(field)? {
        Found::Nothing(_) => "null".to_owned(),
        Found::Bytes(bytes) => quoted(bytes)?,
        Found::Number(number) => number.to_string(),
        Found::Json(json) => json.get().to_owned(),
    })
}

/// Bytes as a JSON string.
fn quoted(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a part that is not UTF-8 cannot stand in JSON".to_owned())?;
    serde_json::to_string(text).map_err(|error| error.to_string())
}

/// Finds out which placeholders stand within quotes, and makes sure that what comes of the template is JSON.
fn json_pieces(template: Template) -> Result<Pieces, String> {
    let (mut in_string, mut escaped) = (false, false);
    let mut sample = String::new();
    let mut pieces = Vec::with_capacity(template.pieces.len());
    for piece in template.pieces {
        match &piece {
            Piece::Text(text) => {
                for c in text.chars() {
                    match c {
                        _ if escaped => escaped = false,
                        '\\' if in_string => escaped = true,
                        '"' => in_string = !in_string,
                        _ => {}
                    }
                }
                sample.push_str(text);
            }
            // Neither continues an escape that stands before it.
            Piece::Field(_) => sample.push_str(if in_string { "x" } else { "null" }),
        }
        pieces.push((piece, in_string));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(&sample)
        .map_err(|error| format!("is not JSON, with its placeholders filled in: {error}"))?;
    Ok(Pieces::Json(pieces))
}

/// The same without line feeds, which JSON does not need.
fn one_line(mut body: Vec<u8>) -> Result<Vec<u8>, String> {
    if body.iter().any(|b| matches!(b, b'\n' | b'\r')) {
        // In JSON a line feed is white space: within a string it is escaped.
        serde_json::from_slice::<serde::de::IgnoredAny>(&body)
            .map_err(|_| "a value with a line feed that is not JSON cannot stand in a line".to_owned())?;
        for byte in &mut body {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_does_not_make_json_is_refused() {
        let refused = |text: &str| BodyTemplate::new(Some(text), true, Format::Single, NullValues::Send).is_err();
        for text in ["{", "{\"a\": ${key}${key}}", "{${key}: 1}", "\"\\${key}\"", "\"\\u00${key}\"", "${nope}"] {
            assert!(refused(text), "{text}");
        }
        for text in ["${value}", "{\"a\": [${key}, \"x\\\"${key}\", \"${key}${topic}\"]}", "{\"${key}\": 1}"] {
            assert!(!refused(text), "{text}");
        }
        // Other text is nobody's business.
        BodyTemplate::new(Some("{"), false, Format::Lines, NullValues::Send).unwrap();
    }

    #[test]
    fn bodies_are_joined_and_measured() {
        for (format, expected) in [(Format::Array, "[1,2,3]"), (Format::Lines, "1\n2\n3\n")] {
            let bodies = [&b"1"[..], b"2", b"3"];
            assert_eq!(format.join(bodies.into_iter()), expected.as_bytes());
            assert_eq!(3 + format.overhead(3), expected.len());
        }
        assert_eq!(Format::Single.join([&b"x"[..]].into_iter()), b"x");
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(one_line(b"{\r\n \"a\": 1}".to_vec()).unwrap(), b"{   \"a\": 1}");
        assert_eq!(one_line(b"\xFF".to_vec()).unwrap(), b"\xFF");
        assert!(one_line(b"a\nb".to_vec()).is_err());
    }
}
