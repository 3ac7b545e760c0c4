// The tasks of a connector: what each moves and uses, and why it failed; above them the last two minutes of them all.

import { restartTask } from "./actions.js";
import { get, path } from "./api.js";
import { chart, spark } from "./chart.js";
import { h, keyed, setAttribute, setText } from "./dom.js";
import { bytes, count, full, millis, percent, rate } from "./format.js";
import { icon } from "./icons.js";
import { badge, cell, empty, fact, onClick, table } from "./parts.js";
import { mean, newest } from "./rates.js";
import { connectorHash } from "./routes.js";

const COLUMNS = [
  ["Task", "task"],
  ["State", "state"],
  ["In /s", "metric"],
  ["Out /s", "metric"],
  ["Busy", "metric"],
  ["Fuel /s", "number"],
  ["Call", "number"],
  ["Memory", "number"],
  ["", "row-actions"],
];
const STAGE_COLUMNS = [
  ["Stage", "name"],
  ["Calls", "number"],
  ["Time a call", "number"],
  ["Busy", "number"],
  ["Fuel", "number"],
  ["Host calls", "number"],
  ["Memory", "number"],
];

/** The view. */
export function openOverview(name) {
  const charts = [
    chart({ title: "Records in", kind: "in", field: "in", write: rate, unit: " /s", testid: "chart-in" }),
    chart({ title: "Records out", kind: "out", field: "out", write: rate, unit: " /s", testid: "chart-out" }),
    chart({ title: "Lag", kind: "lag", field: "lag", write: count, unit: "", testid: "chart-lag" }),
  ];
  const totals = [
    ["Records in", (sum) => full(sum.records_in)],
    ["Records out", (sum) => full(sum.records_out)],
    ["Bytes in", (sum) => bytes(sum.bytes_in)],
    ["Bytes out", (sum) => bytes(sum.bytes_out)],
    ["Commits", (sum) => full(sum.commits)],
    ["Calls", (sum) => full(sum.calls)],
    ["Dead letters", (sum) => full(sum.dead_letters)],
    ["Dropped", (sum) => full(sum.dropped)],
    ["Instances", (sum) => full(sum.instances)],
  ].map(([label, write]) => ({ write, ...fact(label) }));
  const list = table("Tasks", COLUMNS, "tasks");
  const panel = h("div", { class: "panel" }, list);
  const none = h("div", { hidden: true }, empty("It has no tasks", "Tasks are there once the connector is started."));
  const root = h(
    "div",
    { class: "view" },
    h(
      "div",
      { class: "charts" },
      charts.map(({ root }) => root),
    ),
    h(
      "dl",
      { class: "facts panel" },
      totals.map(({ root }) => root),
    ),
    panel,
    none,
  );
  // The table holds a body for each task, so that what belongs to it stays with it.
  const bodies = { head: list.querySelector("thead") };
  return {
    root,
    update({ connector, rates, now }) {
      const samples = rates.connector(name);
      const values = [mean(samples, "in"), mean(samples, "out"), newest(samples, "lag")];
      charts.forEach(({ draw }, nth) => draw(samples, now, values[nth]));
      const sum = summed(connector.tasks);
      for (const { write, update } of totals) update(write(sum));
      panel.hidden = connector.tasks.length === 0;
      none.hidden = connector.tasks.length > 0;
      const head = { root: bodies.head, update() {} };
      const rows = connector.tasks.map((task) => ({ name, task, samples: rates.task(name, task.id), now }));
      keyed(
        list,
        [null, ...rows],
        (row) => row?.task.id ?? "head",
        (row) => (row ? makeTask(row) : head),
      );
    },
  };
}

function makeTask({ name, task: { id } }) {
  const state = badge("task-state");
  const worker = h("span", { class: "sub", testid: "task-worker" });
  const metric = (field, kind = field) => ({
    field,
    value: h("span", { testid: `task-${field}` }),
    chart: spark(kind),
  });
  const metrics = [metric("in"), metric("out"), metric("busy")];
  const fuel = h("span", { testid: "task-fuel" });
  const call = h("span", { testid: "task-call" });
  const memory = h("span", { testid: "task-memory" });
  const restart = h(
    "button",
    {
      class: "icon-button",
      type: "button",
      "aria-label": `Restart task ${id}`,
      title: "Restart this task",
      testid: "task-restart",
    },
    icon("restart"),
  );
  onClick(restart, () => restartTask(name, id));
  const logs = h(
    "a",
    {
      class: "icon-button",
      href: connectorHash(name, "logs", id),
      "aria-label": `Logs of task ${id}`,
      title: "Logs of this task",
      testid: "task-logs",
    },
    icon("lines"),
  );
  const waiting = h("p", { class: "callout", testid: "task-waiting", data: { state: "STALLED" } });
  const trace = h("pre", { class: "trace", testid: "task-trace", tabindex: "0", "aria-label": `Trace of task ${id}` });
  const backtrace = makeBacktrace(name, id);
  const stages = makeStages();
  const more = h(
    "tr",
    { role: "row", class: "more" },
    h("td", { role: "cell", colspan: COLUMNS.length }, waiting, trace, backtrace, stages.root),
  );
  const labels = { in: "In /s", out: "Out /s", busy: "Busy" };
  const root = h(
    "tbody",
    { role: "rowgroup", testid: "task-row", data: { task: id } },
    h(
      "tr",
      { role: "row" },
      cell("Task", "task", h("strong", {}, id), worker),
      cell("State", "state", state.root),
      metrics.map(({ field, value, chart }) =>
        cell(labels[field], "metric", h("div", { class: "metric-body" }, value, chart.root)),
      ),
      cell("Fuel /s", "number", fuel),
      cell("Call", "number", call),
      cell("Memory", "number", memory),
      cell("", "row-actions", h("div", { class: "actions" }, logs, restart)),
    ),
    more,
  );
  return {
    root,
    update({ task, samples, now }) {
      state.update(task.state);
      setText(worker, task.worker_id);
      const texts = {
        in: rate(mean(samples, "in")),
        out: rate(mean(samples, "out")),
        busy: percent(mean(samples, "busy")),
      };
      for (const { field, value, chart } of metrics) {
        setText(value, texts[field]);
        chart.draw(samples, field, now);
      }
      const usage = task.progress?.usage;
      setText(fuel, rate(mean(samples, "fuel")));
      setAttribute(fuel, "title", usage && `${full(usage.fuel)} in all`);
      setText(call, usage?.calls ? millis(usage.time_ms / usage.calls) : millis(null));
      setAttribute(call, "title", usage && `mean of ${full(usage.calls)} calls, waits included`);
      setText(memory, bytes(usage?.memory_peak));
      setAttribute(memory, "title", "the most that one instance has had");
      setText(waiting, task.progress?.waiting);
      waiting.hidden = !task.progress?.waiting;
      setText(trace, task.trace);
      trace.hidden = backtrace.hidden = !task.trace;
      stages.update(task.progress?.stages ?? []);
      more.hidden = waiting.hidden && trace.hidden && stages.root.hidden;
    },
  };
}

/** Where a plugin of a task was when it trapped: asked for when it is opened. */
function makeBacktrace(name, id) {
  const text = h("pre", { class: "trace", tabindex: "0", "aria-label": `Backtrace of task ${id}` });
  const root = h("details", { class: "stages", testid: "task-backtrace" }, h("summary", {}, "Backtrace"), text);
  root.addEventListener("toggle", async () => {
    if (!root.open) return;
    setText(text, "…");
    try {
      const { backtrace } = await get(path`/v1/connectors/${name}/tasks/${id}/trace`);
      setText(text, backtrace ?? "None is known: no plugin of this task has trapped.");
    } catch (error) {
      setText(text, error.message);
    }
  });
  return root;
}

/** What each plugin of a chain uses: shown where there is more than one. */
function makeStages() {
  const list = table("Stages", STAGE_COLUMNS, "stage-list");
  const body = h("tbody", { role: "rowgroup" });
  list.append(body);
  const root = h("details", { class: "stages", testid: "task-stages" }, h("summary", {}, "Stages"), list);
  const makeStage = () => {
    const cells = STAGE_COLUMNS.map(([label, kind]) => cell(label, kind));
    return {
      root: h("tr", { role: "row", testid: "stage" }, cells),
      update: (stage) => {
        const each = stage.calls ? stage.time_ms / stage.calls : null;
        const texts = [
          stage.stage || "the connector itself",
          full(stage.calls),
          millis(each),
          millis(stage.busy_ms),
          count(stage.fuel),
          count(stage.host_calls),
          bytes(stage.memory_peak),
        ];
        texts.forEach((text, nth) => setText(cells[nth], text));
      },
    };
  };
  return {
    root,
    update(stages) {
      root.hidden = stages.length < 2;
      keyed(body, stages, (stage) => stage.stage, makeStage);
    },
  };
}

function summed(tasks) {
  const sum = {};
  for (const { progress } of tasks) {
    for (const [field, value] of Object.entries(progress ?? {})) {
      if (typeof value === "number") sum[field] = (sum[field] ?? 0) + value;
    }
  }
  return sum;
}
