//! The status block that stays under the log on a terminal: what each connector does, a line each. Pure: rows and a size
//! go in, lines come out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sandbar_abi::manifest::Kind;

use super::text::{self, Table};
use crate::control::{ConnectorState, ConnectorStatus, Status};
use crate::task::Snapshot;

/// The most lines of the block: it must leave the log most of the screen, and a terminal redraws it with every log line.
const MAX_LINES: usize = 16;
/// The longest name that is shown in full: names may have 200 bytes, and the numbers have to stay in sight.
const MAX_NAME: usize = 32;

/// A connector at one moment.
#[derive(Clone, Debug)]
pub(super) struct Row {
    name: String,
    kind: &'static str,
    state: ConnectorState,
    records_in: u64,
    records_out: u64,
    dead_letters: u64,
    /// Records in a second.
    rate: Option<u64>,
    /// Hundredths of one processor that its plugins keep busy.
    busy: Option<u64>,
    reason: Option<String>,
}

/// Remembers counters, to tell how fast they grow.
pub(super) struct Sampler {
    last: BTreeMap<String, Seen>,
    at: Instant,
}

/// What counters said at the last look.
#[derive(Clone, Copy, Default)]
struct Seen {
    records_in: u64,
    busy: Duration,
}

impl Sampler {
    /// One that has seen nothing.
    pub fn new(now: Instant) -> Self {
        Self { last: BTreeMap::new(), at: now }
    }

    /// The connectors now, with their rates since the last call.
    pub fn sample(&mut self, status: &Status, now: Instant) -> Vec<Row> {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        let mut seen = BTreeMap::new();
        let rows = status.connectors.iter().map(|connector| {
            let totals = connector.totals();
            seen.insert(connector.name.clone(), Seen { records_in: totals.records_in, busy: totals.usage.busy });
            self.row(connector, totals, seconds)
        });
        let rows = rows.collect();
        self.last = seen;
        self.at = now;
        rows
    }

    fn row(&self, connector: &ConnectorStatus, totals: Snapshot, seconds: f64) -> Row {
        let last = self.last.get(&connector.name).filter(|_| seconds > 0.0);
        // Numbers for people: what a float loses or cuts off is not seen.
        let rate = last.map(|last| (totals.records_in.saturating_sub(last.records_in) as f64 / seconds).round() as u64);
        let busy = last
            .map(|last| (totals.usage.busy.saturating_sub(last.busy).as_secs_f64() / seconds * 100.0).round() as u64);
        Row {
            name: connector.name.clone(),
            kind: connector.kind.map_or("-", Kind::name),
            state: connector.state,
            records_in: totals.records_in,
            records_out: totals.records_out,
            dead_letters: totals.dead_letters,
            rate,
            busy,
            reason: reason(connector, totals.waiting),
        }
    }
}

/// Why a connector does not run, or does not get on.
pub(super) fn reason(connector: &ConnectorStatus, waiting: Option<String>) -> Option<String> {
    let trace = || connector.tasks.iter().find_map(|task| task.trace.clone());
    connector.reason.clone().or_else(trace).or(waiting)
}

/// The block for a terminal of so many columns and rows; nothing where there is no connector.
pub(super) fn block(rows: &[Row], (columns, terminal_rows): (usize, usize)) -> Vec<String> {
    let room = MAX_LINES.min(terminal_rows / 2).saturating_sub(2);
    if rows.is_empty() || room == 0 {
        return Vec::new();
    }
    let mut order: Vec<&Row> = rows.iter().collect();
    let has_room = order.len() <= room;
    if !has_room {
        // Those in trouble must not be the ones that are left out.
        order.sort_by_key(|row| is_well(row));
    }
    let shown = if has_room { order.len() } else { room - 1 };

    let mut table = Table::new(
        &["NAME", "TYPE", "STATE", "IN", "OUT", "RATE/S", "CPU", "DEAD LETTERS", "REASON"],
        &[3, 4, 5, 6, 7],
    );
    for row in &order[..shown] {
        table.row([
            text::cut(&row.name, MAX_NAME).as_ref(),
            row.kind,
            &row.state.to_string(),
            &text::grouped(row.records_in),
            &text::grouped(row.records_out),
            &row.rate.map(text::grouped).unwrap_or_default(),
            &row.busy.map(|busy| format!("{busy}%")).unwrap_or_default(),
            &text::grouped(row.dead_letters),
            row.reason.as_deref().unwrap_or_default(),
        ]);
    }
    let mut lines = vec!["─".repeat(columns)];
    lines.extend(table.lines());
    if shown < order.len() {
        let well = order[shown..].iter().filter(|row| is_well(row)).count();
        let rest = order.len() - shown;
        lines.push(format!("and {}, {well} of them in good order", text::counted(rest, "more connector")));
    }
    lines.iter().map(|line| text::cut(line, columns).into_owned()).collect()
}

fn is_well(row: &Row) -> bool {
    matches!(row.state, ConnectorState::Running | ConnectorState::Completed) && row.reason.is_none()
}

#[cfg(test)]
mod tests {
    //! What the block says, and that it stays small.

    use std::sync::Arc;

    use super::*;
    use crate::config::Definition;

    fn row(name: &str, state: ConnectorState) -> Row {
        Row {
            name: name.to_owned(),
            kind: "sink",
            state,
            records_in: 1234,
            records_out: 1200,
            dead_letters: 3,
            rate: Some(77),
            busy: Some(12),
            reason: (state == ConnectorState::Failed).then(|| "no\nroute".to_owned()),
        }
    }

    #[test]
    fn a_line_for_each_connector() {
        let rows = [row("orders", ConnectorState::Running), row("audit", ConnectorState::Failed)];
        let lines = block(&rows, (100, 24));
        let heading = "NAME    TYPE  STATE       IN    OUT  RATE/S  CPU  DEAD LETTERS  REASON";
        assert_eq!(lines[1], heading);
        assert_eq!(lines[2], "orders  sink  RUNNING  1,234  1,200      77  12%             3");
        assert_eq!(lines[3], "audit   sink  FAILED   1,234  1,200      77  12%             3  no\\nroute");
        assert!(block(&[], (100, 24)).is_empty());
    }

    #[test]
    fn it_stays_small_and_keeps_what_failed_in_sight() {
        let mut rows: Vec<_> = (0..50).map(|n| row(&format!("c{n}"), ConnectorState::Running)).collect();
        rows.push(row("z", ConnectorState::Failed));
        let lines = block(&rows, (30, 100));
        assert_eq!(lines.len(), MAX_LINES);
        assert!(lines[2].starts_with("z "), "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 30), "{lines:?}");
        assert_eq!(block(&rows, (100, 12)).last().unwrap(), "and 48 more connectors, 48 of them in good order");
        assert!(block(&rows, (100, 4)).is_empty());
    }

    #[test]
    fn rates_are_those_since_the_last_look() {
        let mut status = Status::default();
        let definition = Definition::from_config("a", &BTreeMap::new(), "test").unwrap();
        status.connectors.push(ConnectorStatus::new(Arc::new(definition)));
        let now = Instant::now();
        let mut sampler = Sampler::new(now);
        assert_eq!(sampler.sample(&status, now)[0].rate, None);
        sampler.last.insert("a".to_owned(), Seen::default());
        assert_eq!(sampler.sample(&status, now)[0].rate, None, "no time has passed");
        assert_eq!(sampler.sample(&status, now + Duration::from_secs(2))[0].rate, Some(0));
    }
}
