//! Upper-cases the values of records: the smallest useful plugin, shown whole in the README.

use sandbar_plugin::{NoConfig, Records, Result, Task, Transform, TransformBatch};

pub struct Shout;

impl Transform for Shout {
    type Config = NoConfig;

    fn open(_config: NoConfig, _task: &Task) -> Result<Self> {
        Ok(Self)
    }

    fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> Result<()> {
        for record in records {
            let value = record.value.map(<[u8]>::to_ascii_uppercase);
            out.emit(&record, record.key, value.as_deref());
        }
        Ok(())
    }
}

sandbar_plugin::export! {
    transform: Shout,
    manifest: r#"{"name": "shout", "version": "0.1.0", "abi": 1, "kinds": ["transform"]}"#,
}

#[test]
fn shouts() {
    use sandbar_plugin::testing::{TestRecord, transform};
    let mut shout = transform::<Shout>(sandbar_plugin::serde_json::json!({})).unwrap();
    assert_eq!(shout.transform(&[TestRecord::value("abc")]).unwrap().records[0].text(), "ABC");
}
