//! The name by which a receiver knows a record again: topic, partition and offset.

use sandbar_plugin::InputRecord;

/// The name of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    topic: String,
    partition: i32,
    offset: i64,
    /// Behind a transform several records in a row may come of one: which of them it is, from 0.
    ordinal: u32,
}

impl Identity {
    /// The name of a record that comes after another one; `None` for a record that is of no partition.
    pub(crate) fn after(last: Option<&Self>, record: &InputRecord<'_>) -> Option<Self> {
        let (topic, partition, offset) = (record.topic(), record.partition()?, record.offset?);
        let twin = last.filter(|last| last.topic == topic && last.partition == partition && last.offset == offset);
        Some(Self { topic: topic.to_owned(), partition, offset, ordinal: twin.map_or(0, |last| last.ordinal + 1) })
    }

    /// The name of what is sent, from this record to another.
    pub(crate) fn through(&self, last: &Self) -> String {
        let mut name = format!("{}-{}-{}", self.topic, self.partition, self.place());
        if self != last {
            name.push_str("..");
            name.push_str(&last.place());
        }
        name
    }

    fn place(&self) -> String {
        match self.ordinal {
            0 => self.offset.to_string(),
            ordinal => format!("{}-{ordinal}", self.offset),
        }
    }
}
