//! A configuration as it may be shown: secrets that are written out are hidden, references to secrets stay references.

use std::collections::BTreeMap;

use super::connector::ManifestLookup;
use super::definition::Definition;
use super::keys::{self, KEYS};
use super::schema::Schema;
use super::secrets::{self, HIDDEN};

const TRANSFORMS: &str = "transforms.";

impl Definition {
    /// The configuration as Kafka Connect shows it, secrets hidden. Of a plugin that is not there nobody knows which of
    /// its keys hold one; names tell what they can.
    #[must_use]
    pub fn shown(&self, manifests: &dyn ManifestLookup) -> BTreeMap<String, String> {
        let config = self.config();
        let is_secret = |key: &str| is_secret(key, &config, manifests);
        let hidden = |(key, text): (&String, &String)| {
            let hide = !text.is_empty() && !secrets::has_reference(text) && is_secret(key);
            (key.clone(), if hide { HIDDEN.to_owned() } else { text.clone() })
        };
        config.iter().map(hidden).collect()
    }
}

/// Puts back what was hidden: whoever changes a configuration that was shown sends it along.
pub fn reveal(new: &mut BTreeMap<String, String>, before: &BTreeMap<String, String>) {
    for (key, text) in new.iter_mut().filter(|(_, text)| *text == HIDDEN) {
        if let Some(known) = before.get(key) {
            text.clone_from(known);
        }
    }
}

fn is_secret(key: &str, config: &BTreeMap<String, String>, manifests: &dyn ManifestLookup) -> bool {
    if secrets::looks_secret(key) || keys::SANDBOX_HTTP_INJECT_VALUE.matches(key) {
        return true;
    }
    let by_schema = |class: &str, key: &str| {
        let schema = config.get(class).and_then(|class| manifests.manifest(class)?.config.as_ref());
        schema.is_some_and(|schema| Schema::new(schema).is_secret(key))
    };
    let of_transform = key.strip_prefix(TRANSFORMS).and_then(|rest| rest.split_once('.'));
    match of_transform {
        Some((alias, key)) => by_schema(&keys::TRANSFORM_TYPE.name_for(alias), key),
        None => {
            let listed = !KEYS.iter().any(|host| host.matches(key));
            listed && by_schema(keys::CONNECTOR_CLASS.name, key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbar_abi::Manifest;
    use serde_json::json;

    struct One(Manifest);

    impl ManifestLookup for One {
        fn manifest(&self, class: &str) -> Option<&Manifest> {
            (class == self.0.name).then_some(&self.0)
        }
    }

    #[test]
    fn secrets_are_hidden_and_come_back() {
        let manifest = json!({"name": "p", "version": "1.0.0", "kinds": ["source"], "abi": 1, "config": {"properties": {
            "key": {"type": "string", "format": "password"}, "url": {"type": "string"}}}});
        let manifests = One(serde_json::from_value(manifest).unwrap());
        let entries = [
            ("connector.class", "p", "p"),
            ("key", "s3", HIDDEN),
            ("url", "http://x", "http://x"),
            ("my.password", "s3", HIDDEN),
            ("other.password", "${env:PW}", "${env:PW}"),
            ("transforms", "t", "t"),
            ("transforms.t.type", "p", "p"),
            ("transforms.t.key", "s3", HIDDEN),
            ("sandbox.http.inject.a.value", "Bearer s3", HIDDEN),
            ("producer.override.sasl.password", "s3", HIDDEN),
        ];
        let config: BTreeMap<_, _> = entries.iter().map(|(key, text, _)| ((*key).into(), (*text).into())).collect();
        let definition = Definition::from_config("c", &config, "REST").unwrap();
        let mut shown = definition.shown(&manifests);
        for (key, _, expected) in entries {
            assert_eq!(shown[key], expected, "{key}");
        }
        assert!(!shown.values().any(|text| text.contains("s3")));
        reveal(&mut shown, &definition.config());
        assert_eq!(shown, definition.config());
    }
}
