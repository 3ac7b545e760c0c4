//! Templates, taken apart once: rendering a record only copies the text between the placeholders and writes those.

use sandbar_plugin::serde_json::{self, Value};

use crate::moment::Moment;
use crate::placeholder::Placeholder;
use crate::random::Random;

/// A template, ready to render.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(Vec<u8>),
    Place(Placeholder),
}

/// How a placeholder's text stands in what surrounds it.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// Plain text: nothing is escaped.
    Text,
    /// A JSON string.
    Json,
}

impl Template {
    /// Plain text with placeholders.
    pub(crate) fn text(text: &str) -> Result<Self, String> {
        let mut template = Self(Vec::new());
        template.add_text(text, Within::Text)?;
        Ok(template)
    }

    /// JSON whose strings hold placeholders; a string by itself is plain text, unless it holds an object or an array,
    /// which is how a configuration of nothing but strings spells those.
    pub(crate) fn json(value: &Value) -> Result<Self, String> {
        let mut template = Self(Vec::new());
        match value {
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(inner @ (Value::Object(_) | Value::Array(_))) => template.add_json(&inner)?,
                _ => return Self::text(text),
            },
            other => template.add_json(other)?,
        }
        Ok(template)
    }

    /// Appends the record of a sequence number.
    pub(crate) fn render(&self, out: &mut Vec<u8>, seq: u64, moment: &Moment, random: &mut Random) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Place(place) => place.write(out, seq, moment, random),
            }
        }
    }

    fn add_json(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Object(fields) => {
                self.add("{");
                for (i, (name, field)) in fields.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    self.add(&format!("{comma}{}:", Value::from(name.as_str())));
                    self.add_json(field)?;
                }
                self.add("}");
            }
            Value::Array(items) => {
                self.add("[");
                for (i, item) in items.iter().enumerate() {
                    self.add(if i > 0 { "," } else { "" });
                    self.add_json(item)?;
                }
                self.add("]");
            }
            Value::String(text) => self.add_string(text)?,
            plain => self.add(&plain.to_string()),
        }
        Ok(())
    }

    fn add_string(&mut self, text: &str) -> Result<(), String> {
        if let Some(inner) = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"))
            && !inner.contains("{{")
        {
            let place = Placeholder::parse(inner)?;
            if !place.is_text() {
                self.0.push(Part::Place(place));
                return Ok(());
            }
        }
        self.add("\"");
        self.add_text(text, Within::Json)?;
        self.add("\"");
        Ok(())
    }

    fn add_text(&mut self, text: &str, within: Within) -> Result<(), String> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inner, behind)) = after.split_once("}}") else {
                return Err(format!("\"{{{{{after}\" has no closing }}}}"));
            };
            self.add_escaped(before, within);
            let place = Placeholder::parse(inner)?;
            self.0.push(Part::Place(if within == Within::Json { place.map_choices(escape) } else { place }));
            rest = behind;
        }
        self.add_escaped(rest, within);
        Ok(())
    }

    fn add_escaped(&mut self, text: &str, within: Within) {
        match within {
            Within::Text => self.add(text),
            Within::Json => self.add(&escape(text)),
        }
    }

    fn add(&mut self, text: &str) {
        if let Some(Part::Text(last)) = self.0.last_mut() {
            last.extend_from_slice(text.as_bytes());
        } else if !text.is_empty() {
            self.0.push(Part::Text(text.as_bytes().to_vec()));
        }
    }
}

/// A text as it stands inside a JSON string.
fn escape(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use sandbar_plugin::serde_json::json;

    use super::*;

    fn render(template: &Template, seq: u64) -> String {
        let mut out = Vec::new();
        template.render(&mut out, seq, &Moment::at(0), &mut Random::new(1, 0, seq));
        String::from_utf8(out).unwrap()
    }

    fn json_of(template: &Value, seq: u64) -> Value {
        serde_json::from_str(&render(&Template::json(template).unwrap(), seq)).unwrap()
    }

    #[test]
    fn a_string_that_is_one_placeholder_takes_its_type() {
        let made = json_of(
            &json!({"seq": "{{seq}}", "ms": "{{now_ms}}", "yes": "{{bool}}", "n": "{{int 3 3}}", "x": "{{float 1 2}}",
                    "id": "{{uuid}}", "one": "{{pick 1}}", "text": "n={{seq}}", "list": [1, null, "{{seq}}"]}),
            7,
        );
        assert_eq!(made["seq"], json!(7));
        assert_eq!(made["ms"], json!(0));
        assert!(made["yes"].is_boolean());
        assert_eq!(made["n"], json!(3));
        assert!(made["x"].is_f64());
        assert_eq!(made["id"].as_str().unwrap().len(), 36);
        assert_eq!(made["one"], json!("1"));
        assert_eq!(made["text"], json!("n=7"));
        assert_eq!(made["list"], json!([1, null, 7]));
    }

    #[test]
    fn text_is_escaped_inside_json_and_only_there() {
        let made = json_of(&json!({"quo\"te": "a\"b{{pick x\"y}}\n"}), 0);
        assert_eq!(made, json!({"quo\"te": "a\"bx\"y\n"}));
        assert_eq!(render(&Template::text("a\"{{pick x\"y}}").unwrap(), 0), "a\"x\"y");
        assert_eq!(json_of(&json!({"two": "{{seq}}{{seq}}"}), 4), json!({"two": "44"}));
    }

    #[test]
    fn a_string_template_is_text_unless_it_holds_json() {
        assert_eq!(render(&Template::json(&json!("{{seq}},{{now}}")).unwrap(), 3), "3,1970-01-01T00:00:00.000Z");
        assert_eq!(render(&Template::json(&json!(r#"{"a": "{{seq}}"}"#)).unwrap(), 3), r#"{"a":3}"#);
    }

    #[test]
    fn faults_are_named() {
        for (template, what) in [
            ("{{nope}}", "{{nope}} is no placeholder"),
            ("{{int 1}}", "{{int 1}}: takes MIN MAX"),
            ("{{int 2 1}}", "{{int 2 1}}: MIN is above MAX"),
            ("{{float a 1}}", "{{float a 1}}: \"a\" is no number"),
            ("{{float nan 1}}", "{{float nan 1}}: \"nan\" is no number"),
            ("{{pick}}", "{{pick}}: takes at least one choice"),
            ("{{seq 1}}", "{{seq 1}}: takes no arguments"),
            ("a {{seq", "\"{{seq\" has no closing }}"),
        ] {
            assert_eq!(Template::text(template).unwrap_err(), what);
        }
    }
}
