//! `sandbar dlq`: the dead letters of a connector.

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::failure::{Failure, Outcome};
use super::super::text::Table;
use super::super::{print, print_json};
use super::{HostArgs, read};
use crate::api::client::{Asked, ClientError};

/// How many letters are dealt with by one request, at most: few enough for an answer in time, whatever has to be read.
const AT_ONCE: usize = 100;
/// The status that says that these letters are too large to be dealt with at once.
const TOO_LARGE: u16 = 413;

/// List the dead letters of a connector, send them back, or drop them
///
/// Dead letters are records that failed, in the topic that errors.deadletterqueue.topic.name names.
#[derive(Args)]
pub(in crate::cli) struct DlqArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the newest dead letters
    ///
    /// With where each came from and why it failed.
    #[command(after_help = "Examples:\n  sandbar dlq list orders\n  sandbar dlq list orders --json --limit 500")]
    List {
        /// The connector's name
        connector: String,
        /// The most letters
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: u32,
        /// Print JSON: keys, values and headers too
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Send dead letters back to the topics they came from
    ///
    /// Each goes back once. Whoever else reads those topics gets them, too.
    #[command(after_help = "Examples:\n  sandbar dlq replay orders 0:17 0:18\n  sandbar dlq replay orders --all")]
    Replay(Chosen),
    /// Drop dead letters
    ///
    /// They are not listed as open any more. The records stay in the topic for as long as it keeps them.
    #[command(after_help = "Examples:\n  sandbar dlq drop orders 0:17")]
    Drop(Chosen),
}

#[derive(Args)]
struct Chosen {
    /// The connector's name
    connector: String,
    /// The letters, as `sandbar dlq list` shows them
    #[arg(value_name = "PARTITION:OFFSET", value_parser = place, required_unless_present = "all", conflicts_with = "all")]
    letters: Vec<(i32, i64)>,
    /// All that nothing was done about yet
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    host: HostArgs,
}

fn place(text: &str) -> Result<(i32, i64), String> {
    let parts =
        text.split_once(':').and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    parts.ok_or_else(|| "it must be PARTITION:OFFSET, as 0:17".to_owned())
}

#[derive(Deserialize)]
struct Page {
    letters: Vec<Letter>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Letter {
    partition: i32,
    offset: i64,
    error: Why,
    handled: Option<String>,
}

#[derive(Deserialize)]
struct Why {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    stage: Option<String>,
    message: Option<String>,
}

/// Does it.
pub(in crate::cli) fn run(args: &DlqArgs) -> Outcome {
    match &args.what {
        What::List { connector, limit, json, host } => {
            let path = ["v1", "connectors", connector, "dead-letters"];
            let page = host.ask(Asked::get(&path).query(format!("limit={limit}")))?;
            if *json { print_json(&page) } else { print(table(page)?) }
        }
        What::Replay(chosen) => deal(chosen, "replay", "replayed"),
        What::Drop(chosen) => deal(chosen, "drop", "dropped"),
    }
}

fn deal(chosen: &Chosen, verb: &str, done: &str) -> Outcome {
    let letters = if chosen.all { open(chosen)? } else { chosen.letters.clone() };
    let path = ["v1", "connectors", &chosen.connector, "dead-letters", verb];
    let count = in_parts(&letters, |some| {
        let places: Vec<_> = some.iter().map(|(p, o)| json!({"partition": p, "offset": o})).collect();
        let asked = Asked::new(Method::POST, &path).json(&json!({"letters": places}));
        let answer = chosen.host.talk(async |client| match client.ask(asked).await {
            // One letter is as few as can be.
            Err(ClientError::Refused { status: TOO_LARGE, .. }) if places.len() > 1 => Ok(None),
            answer => answer.map(Some),
        })?;
        let Some(answer) = answer else { return Ok(None) };
        let told = answer.get(done).and_then(Value::as_u64);
        told.map(Some).ok_or_else(|| Failure::new("the host's answer is not understood"))
    })?;
    print(format!("{count} {done}\n"))
}

/// Deals with letters in parts, smaller ones where `deal` answers nothing because they are too large together, and
/// counts what was done.
fn in_parts(letters: &[(i32, i64)], mut deal: impl FnMut(&[(i32, i64)]) -> Outcome<Option<u64>>) -> Outcome<u64> {
    let (mut rest, mut size, mut count) = (letters, AT_ONCE, 0);
    while !rest.is_empty() {
        let (some, others) = rest.split_at(size.min(rest.len()));
        match deal(some)? {
            Some(done) => {
                count += done;
                rest = others;
                // Those that come next may be small again.
                size = (size * 2).min(AT_ONCE);
            }
            None => size = (some.len() / 2).max(1),
        }
    }
    Ok(count)
}

/// All letters that nothing was done about yet.
fn open(chosen: &Chosen) -> Outcome<Vec<(i32, i64)>> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let path = ["v1", "connectors", &chosen.connector, "dead-letters"];
        let from = before.map_or_else(String::new, |before| format!("&before={before}"));
        let page: Page = read(chosen.host.ask(Asked::get(&path).query(format!("limit=500{from}")))?)?;
        let open = page.letters.iter().filter(|letter| letter.handled.is_none());
        all.extend(open.map(|letter| (letter.partition, letter.offset)));
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    // In the order they came.
    all.sort_unstable();
    Ok(all)
}

fn table(page: Value) -> Outcome<String> {
    let Page { letters, next } = read(page)?;
    let mut table = Table::new(&["LETTER", "CAME FROM", "STAGE", "HANDLED", "WHY"], &[]);
    for Letter { partition, offset, error, handled } in &letters {
        let from = match (&error.topic, error.partition, error.offset) {
            (Some(topic), Some(partition), Some(offset)) => format!("{topic}-{partition}:{offset}"),
            (Some(topic), _, _) => topic.clone(),
            _ => "-".to_owned(),
        };
        table.row([
            format!("{partition}:{offset}").as_str(),
            &from,
            error.stage.as_deref().unwrap_or("-"),
            handled.as_deref().unwrap_or_default(),
            error.message.as_deref().unwrap_or_default(),
        ]);
    }
    let more = if next.is_some() { "there are more; --limit shows up to 500\n" } else { "" };
    Ok(table.text("") + more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_letter() {
        let error = json!({"topic": "in", "partition": 0, "offset": 7, "stage": "TASK_PUT", "message": "no JSON"});
        let page = json!({"topic": "q", "letters": [{"partition": 0, "offset": 12, "error": error, "handled": null}], "next": "0:1"});
        let shown = table(page).unwrap();
        assert!(shown.contains("0:12    in-0:7     TASK_PUT"), "{shown}");
        assert!(shown.ends_with("there are more; --limit shows up to 500\n"));
    }

    /// The sizes of the requests that deal with so many letters, of which the host takes so many at once.
    fn parts(letters: usize, at_once: usize) -> Vec<usize> {
        let letters: Vec<_> = (0..).map(|offset| (0, offset)).take(letters).collect();
        let (mut asked, mut dealt) = (Vec::new(), Vec::new());
        let count = in_parts(&letters, |some| {
            asked.push(some.len());
            if some.len() > at_once {
                return Ok(None);
            }
            dealt.extend_from_slice(some);
            Ok(Some(some.len() as u64))
        });
        assert_eq!((count.unwrap(), &dealt), (letters.len() as u64, &letters));
        asked
    }

    #[test]
    fn letters_go_by_the_hundred_and_fewer_where_they_are_too_large() {
        assert!(parts(0, 1_000).is_empty());
        assert_eq!(parts(250, 1_000), [100, 100, 50]);
        assert_eq!(parts(120, 60), [100, 50, 70, 35, 35]);
        assert_eq!(parts(3, 1), [3, 1, 2, 1, 1]);
    }

    #[test]
    fn what_is_refused_for_another_reason_ends_it() {
        let mut asked = 0;
        let refused = in_parts(&[(0, 1); 300], |_| {
            asked += 1;
            if asked == 1 { Ok(Some(100)) } else { Err(Failure::new("no")) }
        });
        assert!(refused.is_err() && asked == 2);
    }

    #[test]
    fn places_are_a_partition_and_an_offset() {
        assert_eq!(place("3:17"), Ok((3, 17)));
        for wrong in ["3", "a:1", ":", ""] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
