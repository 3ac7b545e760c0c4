//! The header `Link` (RFC 8288), as far as it names the next page.

/// The reference of the first link of a header that has the relation `next`.
pub(crate) fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (reference, after) = after.split_once('>')?;
        let (params, after) = split_params(after);
        if params.into_iter().any(is_next) {
            return Some(reference);
        }
        rest = after;
    }
    None
}

/// The parameters of a link, and what follows it: a comma within quotes separates nothing.
fn split_params(text: &str) -> (Vec<&str>, &str) {
    let (mut params, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' | ',' if !quoted => {
                params.push(&text[start..at]);
                start = at + 1;
                if c == ',' {
                    return (params, &text[start..]);
                }
            }
            _ => {}
        }
    }
    params.push(&text[start..]);
    (params, "")
}

/// Whether a parameter says `rel="next"`, maybe among other relations.
fn is_next(param: &str) -> bool {
    let Some((name, value)) = param.split_once('=') else { return false };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel")
        && value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (header, expected) in [
            (r#"<https://a/?page=2>; rel="next""#, Some("https://a/?page=2")),
            (
                r#"<a>; rel="prev", <b?x=1,2;3>; title="x, y; rel=no"; rel="last Next" , <c>; rel=next"#,
                Some("b?x=1,2;3"),
            ),
            ("<a>;rel=next", Some("a")),
            ("<a>; REL = next", Some("a")),
            (r#"<a>; title="\"; rel=next""#, None),
            (r#"<a>; rel="nextish", <b>"#, None),
            ("<a; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next(header), expected, "{header}");
        }
    }
}
