// What a task and its plugins logged: followed as it comes, by level and text, a task at a time.

import { get, path } from "./api.js";
import { h, keyed, setAttribute, setText } from "./dom.js";
import { counted } from "./format.js";
import { icon } from "./icons.js";
import { fail } from "./messages.js";
import { connectorHash } from "./routes.js";

const LEVELS = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
/** How many lines are asked for at a time, and how many stay on the page. */
const ASKED = 200;
const KEPT = 2_000;
/** So near to the end, in pixels, counts as at the end. */
const NEAR = 24;

/** The view. */
export function openLogs(name) {
  let lines = [];
  let task = null;
  let looking = false;
  let closed = false;
  let failing = false;
  let wanted = null;
  let nth = 0;

  const tasks = h("select", {
    testid: "log-task",
    "aria-label": "Task",
    on: { change: () => (location.hash = connectorHash(name, "logs", tasks.value)) },
  });
  const level = h(
    "select",
    { testid: "log-level", "aria-label": "Least level", on: { change: show } },
    h("option", { value: "TRACE" }, "All levels"),
    h("option", { value: "INFO" }, "Info and worse"),
    h("option", { value: "WARN" }, "Warnings and errors"),
    h("option", { value: "ERROR" }, "Errors"),
  );
  const text = h("input", {
    type: "search",
    class: "search-field",
    id: "log-filter",
    placeholder: "Filter lines",
    "aria-label": "Filter lines",
    testid: "log-filter",
    on: { input: show },
  });
  const follow = h("input", { type: "checkbox", checked: true, testid: "log-follow", on: { change: toEnd } });
  const shown = h("span", { class: "muted", testid: "log-count" });
  const body = h("div");
  const nothing = h("p", { class: "muted", hidden: true });
  const output = h(
    "div",
    {
      class: "log",
      role: "log",
      "aria-live": "off",
      "aria-label": `Log of ${name}`,
      tabindex: "0",
      testid: "log-lines",
      on: { scroll: leaveOrFollow },
    },
    nothing,
    body,
  );
  const root = h(
    "div",
    { class: "view" },
    h(
      "div",
      { class: "toolbar" },
      h("label", { class: "inline" }, "Task", tasks),
      level,
      h("div", { class: "search" }, icon("search"), text),
      h("label", { class: "inline check" }, follow, "Follow"),
      shown,
    ),
    output,
  );

  async function look() {
    if (looking || task === null) return;
    looking = true;
    const asked = task;
    try {
      const answer = await get(path`/v1/connectors/${name}/tasks/${asked}/logs` + `?limit=${ASKED}`);
      if (closed || asked !== task) return;
      failing = false;
      lines = [...lines, ...since(lines, answer.lines).map((line) => ({ ...line, nth: (nth += 1) }))].slice(-KEPT);
      show();
    } catch (error) {
      // Asked every two seconds: said once.
      if (!closed && !failing) fail(`The log of task ${asked}`, error);
      failing = true;
    } finally {
      looking = false;
      if (!closed && asked !== task) look();
    }
  }

  function show() {
    const worst = LEVELS.indexOf(level.value);
    const words = text.value.toLowerCase();
    const fits = (line) =>
      LEVELS.indexOf(line.level) <= worst &&
      (!words || `${line.plugin ?? ""} ${line.message}`.toLowerCase().includes(words));
    const found = lines.filter(fits);
    keyed(
      body,
      found,
      (line) => line.nth,
      (line) => ({ root: makeLine(line), update() {} }),
    );
    nothing.hidden = found.length > 0;
    setText(nothing, lines.length === 0 ? "Nothing is logged yet." : "No line matches.");
    setText(
      shown,
      found.length === lines.length
        ? counted(lines.length, "line")
        : `${found.length} of ${counted(lines.length, "line")}`,
    );
    toEnd();
  }

  function toEnd() {
    if (follow.checked) output.scrollTop = output.scrollHeight;
  }

  // Scrolling up is to read; scrolling down to the end is to follow again.
  function leaveOrFollow() {
    follow.checked = output.scrollHeight - output.scrollTop - output.clientHeight <= NEAR;
  }

  function choose(id) {
    if (id === task) return;
    task = id;
    lines = [];
    body.replaceChildren();
    nothing.hidden = true;
    tasks.value = id;
    look();
  }

  return {
    root,
    route(to) {
      wanted = to.task;
    },
    update({ connector }) {
      const ids = connector.tasks.map((task) => String(task.id));
      if ([...tasks.options].map((option) => option.value).join() !== ids.join()) {
        tasks.replaceChildren(...ids.map((id) => h("option", { value: id }, id)));
        if (task !== null) tasks.value = task;
      }
      setAttribute(tasks, "data-task", task);
      const id = ids.includes(wanted) ? wanted : ids[0];
      if (id === undefined) return show();
      if (id !== task) choose(id);
      else look();
    },
    close() {
      closed = true;
    },
  };
}

/**
 * Those lines of an answer that are not there yet. Answers overlap, lines have no number, and one that is older than
 * another may come after it: so lines are told apart by what they say, and equal ones are counted.
 */
function since(before, answer) {
  const keyOf = ({ time, level, plugin, message }) => JSON.stringify([time, level, plugin, message]);
  const known = new Map();
  for (const line of before) known.set(keyOf(line), (known.get(keyOf(line)) ?? 0) + 1);
  return answer.filter((line) => {
    const left = known.get(keyOf(line)) ?? 0;
    known.set(keyOf(line), left - 1);
    return left <= 0;
  });
}

function makeLine({ time, level, message, plugin }) {
  return h(
    "div",
    { class: "line", testid: "log-line", data: { level } },
    h("time", { datetime: time, title: time }, clock(time)),
    h("span", { class: "level" }, level),
    h("span", { class: "message" }, plugin ? h("span", { class: "by" }, plugin) : null, message),
  );
}

/** The time of day, as this place has it, to the millisecond. */
function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
