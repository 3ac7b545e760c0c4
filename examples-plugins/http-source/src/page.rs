//! An answer read as a page: its records, and where the source stands once they are all given.

use sandbar_plugin::http::Response;
use sandbar_plugin::json::{self, RawValue};
use sandbar_plugin::{Error, Result, serde_json};

use crate::config::{CursorFrom, Settings};
use crate::offset::{Offset, fingerprint};
use crate::{address, link};

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The records, as they came.
    pub(crate) records: Vec<Box<RawValue>>,
    /// Where the source stands behind the last of them.
    pub(crate) after: Offset,
    /// Whether to ask again at once: there were records, and the next request is another one.
    pub(crate) leads_on: bool,
}

impl Page {
    /// Reads the answer to a request that was sent at an offset.
    pub(crate) fn read(settings: &Settings, at: &Offset, asked: &str, response: &Response) -> Result<Self> {
        let from = address::place(asked);
        if response.body.is_empty() {
            let mut after = Offset { next: None, skip: 0, last: None, ..at.clone() };
            if at.next.is_some() || at.skip > 0 {
                // The marks are of another address, or of an answer that was not given to its end.
                after.forget_marks();
            }
            return Ok(Self { records: Vec::new(), after, leads_on: false });
        }
        let document: &RawValue = serde_json::from_slice(&response.body)
            .map_err(|error| Error::fatal(format!("the answer of {from} is not JSON: {error}")))?;
        let records = records(settings, document)
            .ok_or_else(|| Error::fatal(format!("the answer of {from} has nothing at \"{}\"", settings.records)))?;
        let mut after = Offset {
            cursor: cursor(settings, document, &records, from)?.or_else(|| at.cursor.clone()),
            next: next(settings, document, response, asked)?,
            ..Offset::default()
        };
        let url = settings.request_url(&after);
        if url == asked {
            after.etag = response.header("etag").map(str::to_owned);
            after.last_modified = response.header("last-modified").map(str::to_owned);
        }
        // To begin with the first page again, from the same cursor, is not to go on.
        let goes_on = after.next.is_some() || after.cursor != at.cursor;
        Ok(Self { leads_on: goes_on && !records.is_empty(), records, after })
    }

    /// How many of its records were given before, as an offset in the middle of it tells. `None`: the last of them is not
    /// among them any more.
    pub(crate) fn given(&self, at: &Offset) -> Option<usize> {
        let is_last = |record: &RawValue| at.last.as_ref() == Some(&fingerprint(record.get().as_bytes()));
        match at.skip.checked_sub(1) {
            None => Some(0),
            Some(place) if self.records.get(place).is_some_and(|record| is_last(record)) => Some(at.skip),
            Some(_) => self.records.iter().position(|record| is_last(record)).map(|place| place + 1),
        }
    }

    /// Whether what was given before, and is left out, may have changed since.
    pub(crate) fn may_hide(&self, at: &Offset, given: usize) -> bool {
        given > 0 && (given != at.skip || self.after.marks() != at.marks())
    }

    /// Where the source stands with so many of the records given, but not all.
    pub(crate) fn within(&self, at: &Offset, given: usize) -> Offset {
        let Some(last) = given.checked_sub(1).and_then(|place| self.records.get(place)) else {
            return Offset { skip: 0, last: None, ..at.clone() };
        };
        Offset {
            skip: given,
            last: Some(fingerprint(last.get().as_bytes())),
            etag: self.after.etag.clone(),
            last_modified: self.after.last_modified.clone(),
            ..at.clone()
        }
    }
}

impl Settings {
    /// The address of the request at an offset.
    pub(crate) fn request_url(&self, at: &Offset) -> String {
        match (&at.next, &self.cursor, &at.cursor) {
            (Some(next), _, _) => next.clone(),
            (None, Some(cursor), Some(value)) => address::with_param(&self.url, &cursor.param, value),
            (None, _, _) => self.url.clone(),
        }
    }
}

fn records(settings: &Settings, document: &RawValue) -> Option<Vec<Box<RawValue>>> {
    let found = settings.records.find(document)?;
    Some(match found.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(found.get()).ok()?,
        Some(b'n') => Vec::new(),
        _ => vec![found.to_owned()],
    })
}

/// The cursor that an answer has; `None` where it leaves it as it was.
fn cursor(settings: &Settings, document: &RawValue, records: &[Box<RawValue>], from: &str) -> Result<Option<String>> {
    let Some(cursor) = &settings.cursor else { return Ok(None) };
    match &cursor.from {
        CursorFrom::Document(pointer) => match pointer.find(document) {
            None => Ok(None),
            Some(found) if found.get() == "null" => Ok(None),
            Some(found) => match json::text(found) {
                Some(text) => Ok(Some(text.into_owned()).filter(|text| !text.is_empty())),
                None => Err(Error::fatal(format!("the answer of {from} has no string or number at \"{pointer}\""))),
            },
        },
        CursorFrom::Record(pointer) => {
            let Some(last) = records.last() else { return Ok(None) };
            let text = pointer.find(last).and_then(json::text).filter(|text| !text.is_empty());
            let text = text.ok_or_else(|| {
                Error::fatal(format!("the last record of {from} has no string or number at \"{pointer}\""))
            })?;
            Ok(Some(text.into_owned()))
        }
    }
}

/// The address of the next page, if the answer names another one.
fn next(settings: &Settings, document: &RawValue, response: &Response, asked: &str) -> Result<Option<String>> {
    let reference = match &settings.next {
        Some(pointer) => pointer.find(document).and_then(json::text),
        None => response.header_values("link").find_map(link::next).map(Into::into),
    };
    let Some(reference) = reference.filter(|reference| !reference.is_empty()) else { return Ok(None) };
    let base = if response.url.is_empty() { asked } else { &response.url };
    let from = address::place(asked);
    let next = address::resolve(base, &reference)
        .ok_or_else(|| Error::fatal(format!("the next page of {from} is no address: \"{reference}\"")))?;
    // Our headers may hold what is meant for this server alone.
    if !address::same_origin(&settings.url, &next) {
        let there = address::place(&next);
        return Err(Error::fatal(format!("the next page of {from} is on another server: {there}")));
    }
    Ok(Some(next).filter(|next| next != asked))
}

#[cfg(test)]
mod tests {
    use sandbar_plugin::serde_json::json;

    use super::*;

    #[test]
    fn an_empty_body_keeps_the_marks_of_what_was_given_whole_and_of_nothing_else() {
        let settings = Settings::new(serde_json::from_value(json!({"url": "https://api/"})).unwrap()).unwrap();
        let whole = Offset { cursor: Some("c".into()), etag: Some("v1".into()), ..Offset::default() };
        let unmarked = Offset { etag: None, ..whole.clone() };
        let page = Offset { next: Some("https://api/2".into()), ..whole.clone() };
        let part = Offset { skip: 2, last: Some("x".into()), ..whole.clone() };
        for (at, expected) in [(&whole, &whole), (&page, &unmarked), (&part, &unmarked)] {
            let read = Page::read(&settings, at, "https://api/", &Response::default()).unwrap();
            assert_eq!(read.after, *expected, "{at:?}");
        }
    }
}
