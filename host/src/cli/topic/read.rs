//! `sandbar topic read`.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use sandbar_abi::Record;
use tokio::sync::watch;

use super::super::failure::{Failure, Outcome};
use super::super::text;
use super::super::worker::WorkerArgs;
use super::{Connection, position, topic_name};
use crate::broker::{BatchLimits, BrokerError, PartitionBatch, ReadFrom, ReadSpec, Reader, TopicPartition};
use crate::json_record::JsonRecord;

/// One answer of the broker: small enough to show the first records at once.
const LIMITS: BatchLimits = BatchLimits { records: 1000, bytes: 1 << 20 };
/// How long one call waits for records; Ctrl-C is heeded meanwhile.
const WAIT: Duration = Duration::from_millis(500);

/// Print the records of a topic
///
/// Prints committed records, partition by partition in order, and ends when everything is printed that was committed
/// when it began; with --follow it goes on until Ctrl-C.
///
/// Each line is a record's value; --keys and --headers put key and headers before it, separated by tabs. A null key or
/// value prints as `null`; --null chooses another word, --json tells null from the text. Bytes go out as they are,
/// unless they go to a terminal: then control characters and what is not UTF-8 show as escapes.
#[derive(Args)]
#[command(after_help = "\
With --json each line is an object, in which bytes that are not UTF-8 are {\"base64\": \"..\"}:
  {\"topic\":\"t\",\"partition\":0,\"offset\":7,\"timestamp\":1700000000000,\"key\":null,\"value\":\"v\",
   \"headers\":[{\"key\":\"h\",\"value\":\"1\"}]}

Examples:
  sandbar topic read orders --count 10
  sandbar topic read orders --follow --from end
  sandbar topic read orders --from 2026-01-02T03:04:05Z --keys
  sandbar topic read orders --json | sandbar topic write copy --json")]
pub(super) struct ReadArgs {
    /// The topic
    #[arg(value_parser = topic_name)]
    topic: String,
    /// Where to start: beginning, end, an offset, a time (RFC 3339), or @ and milliseconds since 1970
    #[arg(long, value_name = "FROM", default_value = "beginning", value_parser = position::parse)]
    from: ReadFrom,
    /// End after so many records
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Only this partition; may be given again
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    #[command(flatten)]
    style: Style,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// How records are printed.
#[derive(Args, Clone, Debug)]
struct Style {
    /// Print keys, before values
    #[arg(long, conflicts_with = "json")]
    keys: bool,
    /// Print headers as name=value,.. before keys and values
    #[arg(long, conflicts_with = "json")]
    headers: bool,
    /// What is printed for null
    #[arg(long, value_name = "TEXT", default_value = "null", conflicts_with = "json")]
    null: String,
    /// Print an object for each record
    #[arg(long)]
    json: bool,
}

/// Prints records.
pub(super) fn run(args: ReadArgs) -> Outcome {
    let connection = Connection::to_read(&args.worker)?;
    let partitions = (!args.partition.is_empty()).then_some(args.partition);
    let spec = ReadSpec { topic: args.topic.clone(), partitions, from: args.from };
    let reader = connection.wait(connection.broker.reader(spec)).map_err(|failure| {
        failure.hint(format!("`sandbar topic list` shows what there is at the {}", connection.broker.describe()))
    })?;

    let (out, safe) = (io::stdout(), io::stdout().is_terminal());
    let printer = Printer { out: BufWriter::new(out.lock()), style: args.style, safe, left: args.count };
    let (stop, stopped) = watch::channel(false);
    connection.runtime.spawn(async move {
        // Where Ctrl-C cannot be heard it keeps its usual meaning.
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.send_replace(true);
        }
    });
    connection.runtime.block_on(copy(reader, printer, args.follow, stopped)).map_err(|end| match end {
        End::Broker(error) => connection.failure(error),
        End::Output(error) => Failure::output(error),
    })
}

/// Why copying ended early.
enum End {
    Broker(BrokerError),
    Output(io::Error),
}

async fn copy<W: Write>(
    mut reader: Box<dyn Reader>,
    mut printer: Printer<W>,
    follow: bool,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), End> {
    loop {
        let batches = tokio::select! {
            batches = reader.next(LIMITS, WAIT) => batches.map_err(End::Broker)?,
            // The sender goes only where Ctrl-C cannot be heard.
            Ok(_) = stopped.wait_for(|stopped| *stopped) => return Ok(()),
        };
        let wants_more = printer.print(&batches).map_err(End::Output)?;
        if !wants_more || (!follow && reader.at_end()) {
            return Ok(());
        }
    }
}

struct Printer<W> {
    out: W,
    style: Style,
    /// Whether a terminal has to be protected from what records hold.
    safe: bool,
    /// How many records are still wanted.
    left: Option<u64>,
}

impl<W: Write> Printer<W> {
    /// Prints records, and says whether more are wanted.
    fn print(&mut self, batches: &[PartitionBatch]) -> io::Result<bool> {
        for PartitionBatch { partition, batch, .. } in batches {
            for record in batch.frame().records() {
                match &mut self.left {
                    Some(0) => break,
                    Some(left) => *left -= 1,
                    None => {}
                }
                self.record(&record, partition)?;
            }
        }
        self.out.flush()?;
        Ok(self.left != Some(0))
    }

    fn record(&mut self, record: &Record<'_>, place: &TopicPartition) -> io::Result<()> {
        if self.style.json {
            serde_json::to_writer(&mut self.out, &JsonRecord::of(record, place))?;
        } else {
            if self.style.headers {
                for (index, (name, value)) in record.headers.enumerate() {
                    self.out.write_all(if index == 0 { b"" } else { b"," })?;
                    self.bytes(Some(name.as_bytes()))?;
                    self.out.write_all(b"=")?;
                    self.bytes(value)?;
                }
                self.out.write_all(b"\t")?;
            }
            if self.style.keys {
                self.bytes(record.key)?;
                self.out.write_all(b"\t")?;
            }
            self.bytes(record.value)?;
        }
        self.out.write_all(b"\n")
    }

    fn bytes(&mut self, bytes: Option<&[u8]>) -> io::Result<()> {
        match bytes {
            None => self.out.write_all(self.style.null.as_bytes()),
            Some(bytes) if self.safe => {
                for chunk in bytes.utf8_chunks() {
                    self.out.write_all(text::shown(chunk.valid()).as_bytes())?;
                    write!(self.out, "{}", chunk.invalid().escape_ascii())?;
                }
                Ok(())
            }
            Some(bytes) => self.out.write_all(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    //! How records print.

    use sandbar_abi::FrameBuilder;

    use super::*;
    use crate::batch::Batch;

    fn batches() -> Vec<PartitionBatch> {
        let mut builder = FrameBuilder::new();
        builder.record(Some(b"k"), Some(b"a\x1b\xff")).offset(0).header("h", Some(b"1")).header("i", None);
        builder.record(None, None).offset(1);
        builder.record(None, Some(b"")).offset(2);
        let (partition, batch) = (TopicPartition::new("t", 0), Batch::build(&builder).unwrap());
        vec![PartitionBatch { partition, batch, next_offset: 3 }]
    }

    fn printed(style: Style, safe: bool, left: Option<u64>) -> (Vec<u8>, bool) {
        let mut printer = Printer { out: Vec::new(), style, safe, left };
        let wants_more = printer.print(&batches()).unwrap();
        (printer.out, wants_more)
    }

    fn style() -> Style {
        Style { keys: false, headers: false, null: "null".to_owned(), json: false }
    }

    #[test]
    fn values_are_printed_as_they_are() {
        assert_eq!(printed(style(), false, None), (b"a\x1b\xff\nnull\n\n".to_vec(), true));
    }

    #[test]
    fn a_terminal_is_protected() {
        assert_eq!(printed(style(), true, Some(1)), (b"a\\u{1b}\\xff\n".to_vec(), false));
    }

    #[test]
    fn keys_and_headers_come_first() {
        let style = Style { keys: true, headers: true, null: "-".to_owned(), ..style() };
        assert_eq!(printed(style, false, Some(2)), (b"h=1,i=-\tk\ta\x1b\xff\n\t-\t-\n".to_vec(), false));
    }

    #[test]
    fn json_is_a_line_each() {
        let (out, _) = printed(Style { json: true, ..style() }, true, None);
        let lines: Vec<_> = std::str::from_utf8(&out).unwrap().lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with(r#""key":null,"value":null,"headers":[]}"#), "{}", lines[1]);
    }
}
