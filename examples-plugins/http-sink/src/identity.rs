//! The name by which a receiver knows a record again: topic, partition and offset, and which of those that came of it.

use std::collections::BTreeMap;

use sandbar_plugin::InputRecord;

/// Where a record was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

/// The name of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    place: Place,
    /// Behind a transform several records of a batch may come of one: which of them it is, from 0.
    ordinal: u32,
}

/// Names the records of a batch, over all the calls it takes. What comes of one record need not come in a row.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// How many records of each place have been named.
    named: BTreeMap<Place, u32>,
    /// The names of this call, by index.
    call: Vec<Option<Identity>>,
    /// How many records of the batch are not resolved.
    left: usize,
}

impl Names {
    /// Begins a call with so many records: with those that are left of the batch, or with another batch.
    pub(crate) fn begin(&mut self, records: usize) {
        if records > self.left {
            self.named.clear();
            self.left = records;
        }
        self.call.clear();
    }

    /// The name of the next record of the call; `None` for one that is of no partition.
    pub(crate) fn next(&mut self, record: &InputRecord<'_>) -> Option<Identity> {
        let identity = record.partition().zip(record.offset).map(|(partition, offset)| {
            let place = Place { topic: record.topic().to_owned(), partition, offset };
            let named = self.named.entry(place.clone()).or_default();
            *named += 1;
            Identity { place, ordinal: *named - 1 }
        });
        self.call.push(identity.clone());
        identity
    }

    /// Ends a call that resolved so many of its records. The others get their names again when they come again.
    pub(crate) fn end(&mut self, resolved: usize) {
        for identity in self.call.drain(..).skip(resolved).flatten() {
            if let Some(named) = self.named.get_mut(&identity.place) {
                *named -= 1;
            }
        }
        self.left = self.left.saturating_sub(resolved);
    }
}

impl Identity {
    /// The name of what is sent, from this record to another. Topics hold `-` and `.` but neither `:` nor `,`: read from its
    /// end, a name says one thing only.
    pub(crate) fn through(&self, last: &Self) -> String {
        let name = self.name();
        if self == last {
            name
        } else if (&self.place.topic, self.place.partition) == (&last.place.topic, last.place.partition) {
            format!("{name}..{}", last.number())
        } else {
            format!("{name},{}", last.name())
        }
    }

    fn name(&self) -> String {
        format!("{}-{}-{}", self.place.topic, self.place.partition, self.number())
    }

    fn number(&self) -> String {
        match self.ordinal {
            0 => self.place.offset.to_string(),
            ordinal => format!("{}:{ordinal}", self.place.offset),
        }
    }
}
