//! Where a record goes: an address and headers made from it, in which nothing a record holds can change what is around it.

use sandbar_plugin::http::percent_encode;

use crate::template::{Fields, Piece, Template};

/// Where requests go, with placeholders.
#[derive(Debug)]
pub(crate) struct TargetTemplate {
    url: Template,
    /// The first piece of `url` that belongs to the query.
    query: usize,
    headers: Vec<(String, Template)>,
}

/// Where one request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl TargetTemplate {
    /// Reads the templates. The error names the key.
    pub(crate) fn new<'a>(
        url: &str,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<Self, String> {
        let url = url_template(url).map_err(|what| format!("configuration key \"url\": {what}"))?;
        let query = url.pieces.iter().position(|piece| matches!(piece, Piece::Text(text) if text.contains('?')));
        let mut templates = Vec::new();
        for (name, value) in headers {
            let invalid = |what: String| format!("configuration key \"headers\", \"{name}\": {what}");
            check_header_name(name).map_err(|what| invalid(what.to_owned()))?;
            let template = Template::parse(value).map_err(invalid)?;
            for piece in &template.pieces {
                if let Piece::Text(text) = piece {
                    check_header_value(text.as_bytes()).map_err(|what| invalid(what.to_owned()))?;
                }
            }
            templates.push((name.clone(), template));
        }
        Ok(Self { query: query.unwrap_or(url.pieces.len()), url, headers: templates })
    }

    /// Where a record goes. An error: nowhere, because of what it holds.
    pub(crate) fn of(&self, fields: &Fields<'_>) -> Result<Target, String> {
        let mut url = String::new();
        for (place, piece) in self.url.pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Field(field) => {
                    let text = fields.find(field)?.text(field)?;
                    if text.is_empty() && place < self.query {
                        return Err("a part of the url's path would be empty".to_owned());
                    }
                    percent_encode(&mut url, &text);
                }
            }
        }
        if has_dot_segment(&url) {
            return Err("a part of the url's path would be \".\" or \"..\", and lead elsewhere".to_owned());
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, template) in &self.headers {
            let mut value = Vec::new();
            for piece in &template.pieces {
                match piece {
                    Piece::Text(text) => value.extend_from_slice(text.as_bytes()),
                    Piece::Field(field) => value.extend_from_slice(&fields.find(field)?.text(field)?),
                }
            }
            check_header_value(&value).map_err(|what| format!("header \"{name}\": {what}"))?;
            // What passed the check is ASCII.
            headers.push((name.clone(), String::from_utf8_lossy(&value).into_owned()));
        }
        Ok(Target { url, headers })
    }
}

impl Target {
    /// The address without its query, which may hold what must not stand in a log.
    pub(crate) fn place(&self) -> &str {
        self.url.split_once('?').map_or(&self.url, |(place, _)| place)
    }

    /// How long it is.
    pub(crate) fn bytes(&self) -> usize {
        self.url.len() + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// Whether a name can be that of a header (RFC 9110, token).
pub(crate) fn check_header_name(name: &str) -> Result<(), &'static str> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.is_empty() && name.bytes().all(is_token) { Ok(()) } else { Err("is not the name of a header") }
}

fn check_header_value(value: &[u8]) -> Result<(), &'static str> {
    if value.iter().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
        Ok(())
    } else {
        Err("a value holds a control character or something that is not ASCII")
    }
}

/// Reads an address. No placeholder reaches its host: which one is asked is granted, not read from a record.
fn url_template(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or("must begin with http:// or https://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains("${") {
        return Err("a record cannot choose the host: no placeholder before the path".to_owned());
    }
    if authority.is_empty() || authority.contains('@') {
        return Err("must name a host, and no user".to_owned());
    }
    let plain = |piece: &Piece| match piece {
        Piece::Text(text) => text.bytes().all(|b| b.is_ascii_graphic() && !b"#\\<>\"".contains(&b)),
        Piece::Field(_) => true,
    };
    if !template.pieces.iter().all(plain) {
        return Err("holds a character that must be percent-encoded, or a fragment".to_owned());
    }
    if has_dot_segment(path) {
        return Err("holds a segment \".\" or \"..\"".to_owned());
    }
    Ok(template)
}

/// Whether a segment of the path is one that servers and clients resolve, spelled in any way.
fn has_dot_segment(url: &str) -> bool {
    let path = url.split_once('?').map_or(url, |(path, _)| path);
    path.split('/').any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        for (url, what) in [
            ("ftp://a/", "must begin"),
            ("https:///x", "name a host"),
            ("https://u:p@a/x", "no user"),
            ("https://${topic}/x", "cannot choose the host"),
            ("https://a${key}", "cannot choose the host"),
            ("https://a/ b", "percent-encoded"),
            ("https://a/b#c", "fragment"),
            ("https://a/\\b", "percent-encoded"),
            ("https://a/../b", "segment"),
            ("https://a/%2E%2e", "segment"),
            ("https://a/${nope}", "no placeholder"),
        ] {
            let error = TargetTemplate::new(url, []).unwrap_err();
            assert!(error.starts_with("configuration key \"url\"") && error.contains(what), "{url}: {error}");
        }
        for url in ["https://a", "http://a:81/x?y=${key}", "http://[::1]/${value.a}", "https://a?x=../y"] {
            TargetTemplate::new(url, []).unwrap();
        }
    }

    #[test]
    fn headers_that_cannot_be_are_refused() {
        for (name, value) in [("a b", "x"), ("", "x"), ("a:", "x"), ("a", "x\r\ny: z"), ("a", "ü"), ("a", "${x}")] {
            let (name, value) = (name.to_owned(), value.to_owned());
            assert!(TargetTemplate::new("https://a", [(&name, &value)]).is_err(), "{name}: {value}");
        }
    }
}
