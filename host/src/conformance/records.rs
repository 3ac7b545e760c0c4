//! The records that cases pass on: generic ones, or the user's own, at offsets that only rise.

use sandbar_abi::{FrameBuilder, FrameError};

use super::{PARTITION, TOPIC};
use crate::batch::Batch;

/// The timestamp of offset 0: some day in 2023.
const EPOCH: i64 = 1_700_000_000_000;
/// The most bytes that ordinary records of one batch add up to: the user's own may be large.
const BATCH_BYTES: usize = 16 << 20;
/// Different generic records.
const GENERIC: usize = 50;

/// A record that a case makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Whether it says where it was read.
    pub(super) no_place: bool,
    /// A number of an earlier call that it carries.
    pub(super) input: Option<u32>,
    /// Offsets that are left out before it.
    pub(super) gap: i64,
}

impl Made {
    pub(super) fn new(key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        Self { key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), ..Self::default() }
    }

    pub(super) fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }
}

/// Where records come from.
pub(super) struct Feed {
    samples: Vec<Made>,
    next_sample: usize,
    next_offset: i64,
    builder: FrameBuilder,
}

impl Feed {
    /// Of these records, again and again; without any, of generic ones.
    pub(super) fn new(own: Option<&Batch>) -> Self {
        let own = own.into_iter().flat_map(|batch| batch.frame().records().map(|r| made(&r)).collect::<Vec<_>>());
        let mut samples: Vec<_> = own.collect();
        if samples.is_empty() {
            samples.extend((0..GENERIC).map(generic));
        }
        Self { samples, next_sample: 0, next_offset: 0, builder: FrameBuilder::new() }
    }

    /// The next ordinary records.
    pub(super) fn samples(&mut self, count: usize) -> Vec<Made> {
        let mut bytes = 0;
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let sample = &self.samples[self.next_sample % self.samples.len()];
            bytes += sample.key.as_ref().map_or(0, Vec::len) + sample.value.as_ref().map_or(0, Vec::len);
            if bytes > BATCH_BYTES && !taken.is_empty() {
                break;
            }
            self.next_sample += 1;
            taken.push(sample.clone());
        }
        taken
    }

    /// A batch of the next ordinary records.
    pub(super) fn ordinary(&mut self, count: usize) -> Result<Batch, FrameError> {
        let samples = self.samples(count);
        self.batch(&samples)
    }

    /// A batch of these records.
    pub(super) fn batch(&mut self, records: &[Made]) -> Result<Batch, FrameError> {
        self.builder.clear();
        let place = self.builder.topic_partition(Some(TOPIC), Some(PARTITION));
        for made in records {
            self.next_offset += made.gap;
            let mut record = self.builder.record(made.key.as_deref(), made.value.as_deref());
            record.timestamp(EPOCH + self.next_offset);
            if !made.no_place {
                record.offset(self.next_offset).topic_partition(place);
            }
            if let Some(input) = made.input {
                record.input(input);
            }
            for (name, value) in &made.headers {
                record.header(name, value.as_deref());
            }
            self.next_offset += 1;
        }
        Batch::build(&self.builder)
    }
}

fn made(record: &sandbar_abi::Record<'_>) -> Made {
    let mut made = Made::new(record.key, record.value);
    for (name, value) in record.headers {
        made = made.header(name, value);
    }
    made
}

/// An object as JSON: text for those who want text, fields for those who want fields.
fn generic(n: usize) -> Made {
    let key = format!("key-{}", n % 7);
    let value =
        format!(r#"{{"n":{n},"name":"record {n}","even":{},"text":"the quick brown fox"}}"#, n.is_multiple_of(2));
    Made::new(Some(key.as_bytes()), Some(value.as_bytes())).header("source", Some(b"sandbar conformance"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_rise_over_batches_and_leave_gaps_out() {
        let mut feed = Feed::new(None);
        feed.ordinary(3).unwrap();
        let records = [Made { gap: 5, ..Made::default() }, Made::default()];
        let batch = feed.batch(&records).unwrap();
        let offsets: Vec<_> = batch.frame().records().map(|r| r.offset).collect();
        assert_eq!(offsets, [Some(8), Some(9)]);
    }

    #[test]
    fn the_users_records_come_as_they_are_and_again() {
        let mut builder = FrameBuilder::new();
        builder.record(None, Some(b"a")).header("h", None);
        builder.record(Some(b"k"), None);
        let mut feed = Feed::new(Some(&Batch::build(&builder).unwrap()));
        let samples = feed.samples(3);
        assert_eq!(samples[0], Made::new(None, Some(b"a")).header("h", None));
        assert_eq!((samples[1].key.as_deref(), &samples[2]), (Some(&b"k"[..]), &samples[0]));
    }
}
