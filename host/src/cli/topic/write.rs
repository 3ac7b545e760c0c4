//! `sandbar topic write`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;

use clap::Args;
use sandbar_abi::FrameBuilder;

use super::super::failure::{Failure, Outcome};
use super::super::worker::WorkerArgs;
use super::create::SettingsArgs;
use super::{Connection, records, topic_name};
use crate::batch::Batch;
use crate::broker::{BrokerError, BrokerErrorKind, Output};
use crate::json_record::JsonRecord;

/// What is written at once at most; lines that are there already are gathered up to these.
const BATCH_RECORDS: usize = 1000;
const BATCH_BYTES: usize = 1 << 20;
/// The longest line. Brokers take about a MiB; JSON and base64 need more characters for it.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Write lines of standard input to a topic
///
/// Each line is the value of a record. Records are durable once they are written; a topic that does not exist is
/// created first.
///
/// With --key-separator what comes before the separator is the key. With --json each line is an object as `topic read
/// --json` prints them: `key`, `value`, `headers` and `timestamp` are taken, `topic`, `partition` and `offset` only say
/// where it was read.
///
/// An empty line is a record with an empty value, which is not null. A null, which deletes its key from a compacted
/// topic, is `null` in --json, or whatever word --null names.
#[derive(Args)]
#[command(after_help = "\
Examples:
  echo hello | sandbar topic write greetings
  seq 1000 | sandbar topic write numbers --partitions 4
  echo 'k1:v1' | sandbar topic write pairs --key-separator :
  echo 'k1:NULL' | sandbar topic write pairs --key-separator : --null NULL
  sandbar topic read orders --json | sandbar topic write copy --json --brokers localhost:9092")]
pub(super) struct WriteArgs {
    /// The topic
    #[arg(value_parser = topic_name)]
    topic: String,
    #[command(flatten)]
    form: Form,
    /// The partition; without it the key decides, as in Kafka's clients
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// What a line holds.
#[derive(Args, Clone, Debug, Default)]
struct Form {
    /// The key of all records
    #[arg(long, value_name = "K", conflicts_with_all = ["key_separator", "json"])]
    key: Option<String>,
    /// What stands between key and value
    #[arg(long, value_name = "SEP", conflicts_with = "json", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    /// A key or value that is exactly this text is null
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    null: Option<String>,
    /// Lines are objects
    #[arg(long)]
    json: bool,
}

/// A key and a value, either of which may be null.
type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Writes records.
pub(super) fn run(args: &WriteArgs) -> Outcome {
    let connection = Connection::to_write(&args.worker)?;
    let settings = args.settings.over(&connection.worker);
    connection.wait(connection.broker.create_topic(&args.topic, &settings))?;

    let topic: Arc<str> = args.topic.as_str().into();
    let mut write = |batch: Pending| {
        let output = Output { topic: Arc::clone(&topic), batch: batch.finish()? };
        let written = connection.runtime.block_on(connection.broker.write(output, &settings));
        written.map_err(|error| refused(&batch, &connection, error))
    };
    let written = copy(BufReader::new(io::stdin().lock()), &args.form, args.partition, &mut write)?;
    // For whoever watches; a closed standard error changes nothing of what was written.
    let _ = writeln!(io::stderr(), "{} written to {}", records(written), args.topic);
    Ok(())
}

fn refused(batch: &Pending, connection: &Connection, error: BrokerError) -> Failure {
    let (first, last) = (batch.lines.first().copied().unwrap_or(0), batch.lines.last().copied().unwrap_or(0));
    match error.kind {
        BrokerErrorKind::Rejected { record } => {
            let line = batch.lines.get(record).copied().unwrap_or(first);
            let message = format!("line {line}: {error}");
            Failure::new(message).hint(match first {
                0 | 1 => "nothing is written".to_owned(),
                first => format!("lines 1 to {} are written, no later one is", first - 1),
            })
        }
        _ => match connection.failure(error) {
            Failure::Errors { messages, hint } => {
                let messages = messages.into_iter().map(|message| format!("lines {first} to {last}: {message}"));
                Failure::Errors { messages: messages.collect(), hint }
            }
            other => other,
        },
    }
}

/// Passes lines on in batches, and counts records. A batch is complete where input pauses: nobody has to wait for more.
fn copy<R: Read>(
    mut input: BufReader<R>,
    form: &Form,
    partition: Option<i32>,
    write: &mut dyn FnMut(Pending) -> Outcome,
) -> Outcome<u64> {
    let (mut number, mut written, mut line) = (0, 0, Vec::new());
    let mut pending = Pending::new(partition);
    loop {
        line.clear();
        number += 1;
        let mut limited = input.by_ref().take(MAX_LINE_BYTES + 1);
        let read = limited.read_until(b'\n', &mut line);
        let at = |reason: &dyn std::fmt::Display| Failure::new(format!("line {number}: {reason}"));
        if read.map_err(|error| at(&format!("standard input cannot be read: {error}")))? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let parsed = if line.len() as u64 > MAX_LINE_BYTES {
            Err(format!("is longer than {MAX_LINE_BYTES} bytes"))
        } else {
            form.append(&line, &mut pending, number)
        };
        let complete = pending.is_full() || !input.buffer().contains(&b'\n');
        if !pending.is_empty() && (complete || parsed.is_err()) {
            let batch = std::mem::replace(&mut pending, Pending::new(partition));
            let count = batch.lines.len() as u64;
            write(batch)?;
            written += count;
        }
        parsed.map_err(|reason| at(&reason).hint(format!("written before it: {}", records(written))))?;
    }
    Ok(written)
}

impl Form {
    fn append(&self, line: &[u8], to: &mut Pending, number: u64) -> Result<(), String> {
        if self.json {
            if line.trim_ascii().is_empty() {
                return Ok(());
            }
            JsonRecord::parse(line)?.append(&mut to.frame, to.topic_partition)?;
        } else {
            let (key, value) = self.split(line)?;
            let mut record = to.frame.record(key, value);
            if let Some(index) = to.topic_partition {
                record.topic_partition(index);
            }
        }
        to.lines.push(number);
        Ok(())
    }

    fn split<'a>(&'a self, line: &'a [u8]) -> Result<KeyValue<'a>, String> {
        let (key, value) = match &self.key_separator {
            None => (self.key.as_ref().map(String::as_bytes), line),
            Some(separator) => {
                let at = line.windows(separator.len()).position(|window| window == separator.as_bytes());
                let at = at.ok_or_else(|| format!("has no key: the separator {separator:?} is not in it"))?;
                (Some(&line[..at]), &line[at + separator.len()..])
            }
        };
        let is_null = |bytes: &&[u8]| self.null.as_ref().is_some_and(|null| *bytes == null.as_bytes());
        Ok((key.filter(|key| !is_null(key)), Some(value).filter(|value| !is_null(value))))
    }
}

/// Records that are about to be written, and the lines they came from.
struct Pending {
    frame: FrameBuilder,
    topic_partition: Option<u32>,
    lines: Vec<u64>,
}

impl Pending {
    fn new(partition: Option<i32>) -> Self {
        let mut frame = FrameBuilder::new();
        let topic_partition = partition.map(|partition| frame.topic_partition(None, Some(partition)));
        Self { frame, topic_partition, lines: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_RECORDS || self.frame.heap_len() >= BATCH_BYTES
    }

    fn finish(&self) -> Outcome<Batch> {
        Batch::build(&self.frame).map_err(Failure::new)
    }
}

#[cfg(test)]
mod tests {
    //! Lines become records, in batches.

    use super::*;

    type Record = (Option<Vec<u8>>, Option<Vec<u8>>);

    /// What is written of an input, and whether all of it was taken.
    fn written(form: &Form, input: &str) -> (Vec<Vec<Record>>, Outcome<u64>) {
        let mut batches = Vec::new();
        let outcome = copy(BufReader::new(input.as_bytes()), form, None, &mut |batch| {
            let batch = batch.finish()?;
            let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            batches.push(batch.frame().records().map(|record| (own(record.key), own(record.value))).collect());
            Ok(())
        });
        (batches, outcome)
    }

    fn record(key: Option<&str>, value: Option<&str>) -> Record {
        let own = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        (own(key), own(value))
    }

    #[test]
    fn a_line_is_a_value_and_an_empty_one_too() {
        let (batches, outcome) = written(&Form::default(), "a\n\nb");
        assert_eq!(batches.concat(), [record(None, Some("a")), record(None, Some("")), record(None, Some("b"))]);
        assert_eq!(outcome.unwrap(), 3);
    }

    #[test]
    fn keys_come_before_a_separator_or_are_all_the_same() {
        let form = Form { key_separator: Some("::".to_owned()), null: Some("NULL".to_owned()), ..Form::default() };
        let (batches, _) = written(&form, "k::v::w\nk::NULL\nNULL::\n");
        let expected = [record(Some("k"), Some("v::w")), record(Some("k"), None), record(None, Some(""))];
        assert_eq!(batches.concat(), expected);
        let form = Form { key: Some("k".to_owned()), ..Form::default() };
        assert_eq!(written(&form, "v").0.concat(), [record(Some("k"), Some("v"))]);
    }

    #[test]
    fn a_bad_line_stops_it_after_the_good_ones_before_it() {
        let form = Form { json: true, ..Form::default() };
        let (batches, outcome) = written(&form, "{\"value\":\"a\"}\n\n{\"value\":1}\n{\"value\":\"b\"}\n");
        assert_eq!(batches.concat(), [record(None, Some("a"))]);
        let Err(Failure::Errors { messages, hint }) = outcome else { panic!("it must fail") };
        assert!(messages[0].starts_with("line 3: keys and values are"), "{messages:?}");
        assert_eq!(hint.as_deref(), Some("written before it: 1 record"));
    }

    #[test]
    fn a_batch_is_bounded() {
        let input = "x\n".repeat(2 * BATCH_RECORDS + 1);
        let (batches, outcome) = written(&Form::default(), &input);
        assert!(batches.iter().all(|batch| batch.len() <= BATCH_RECORDS));
        assert_eq!(outcome.unwrap(), 2 * BATCH_RECORDS as u64 + 1);
    }
}
