// A connector in the list: a row that is made once, and written anew with each answer.

import { rowButtons } from "./actions.js";
import { spark } from "./chart.js";
import { h, setAttribute, setText } from "./dom.js";
import { count, counted, fileName, full, rate } from "./format.js";
import { badge, cell } from "./parts.js";
import { mean, newest } from "./rates.js";
import { connectorHash } from "./routes.js";

/** The row of a connector. */
export function makeRow({ connector }) {
  const { name } = connector;
  const state = badge("connector-state");
  const plugin = h("span", { testid: "connector-plugin" });
  const reason = h("p", { class: "reason", testid: "connector-reason", hidden: true });
  const tasks = h("span", { testid: "connector-tasks" });
  const dead = h("a", { href: connectorHash(name, "dead-letters"), testid: "connector-dead-letters" });
  const metrics = ["in", "out", "lag"].map((field) => ({
    field,
    value: h("span", { testid: field === "lag" ? "lag" : `rate-${field}` }),
    chart: spark(field),
  }));
  const buttons = rowButtons();
  const labels = { in: "In /s", out: "Out /s", lag: "Lag" };
  const root = h(
    "tr",
    { role: "row", testid: "connector-row", data: { name } },
    cell("State", "state", state.root),
    cell(
      "Connector",
      "name",
      h("a", { class: "name-link", href: connectorHash(name), title: name, testid: "connector-link" }, name),
      h("p", { class: "sub" }, plugin),
      reason,
    ),
    cell("Tasks", "number", tasks),
    metrics.map(({ field, value, chart }) =>
      cell(labels[field], "metric", h("div", { class: "metric-body" }, value, chart.root)),
    ),
    cell("Dead letters", "number dead", dead),
    cell("", "row-actions", buttons.root),
  );
  return {
    root,
    update({ connector, samples, now }) {
      state.update(connector.state);
      setAttribute(root, "data-state", connector.state);
      setText(plugin, describe(connector));
      const why = reasonOf(connector);
      reason.hidden = !why;
      setText(reason, why);
      setAttribute(reason, "title", why);
      const running = connector.tasks.filter((task) => task.state === "RUNNING").length;
      setText(tasks, `${running}/${connector.tasks.length}`);
      setAttribute(tasks, "title", `${running} of ${counted(connector.tasks.length, "task")} running`);
      const texts = {
        in: rate(mean(samples, "in")),
        out: rate(mean(samples, "out")),
        lag: count(newest(samples, "lag")),
      };
      for (const { field, value, chart } of metrics) {
        setText(value, texts[field]);
        chart.draw(samples, field, now);
      }
      const letters = deadLetters(connector);
      setText(dead, connector.dead_letter_topic === null ? "" : count(letters));
      setAttribute(
        dead,
        "title",
        connector.dead_letter_topic &&
          `${full(letters)} dead letters since its tasks started, in ${connector.dead_letter_topic}`,
      );
      setAttribute(dead, "class", letters > 0 ? "some" : "none");
      buttons.update(connector);
    },
  };
}

/** `source · datagen 0.1.0, mask 1.0.0`, and where it is defined. */
export function describe({ type, plugin, transforms, file }) {
  const runs = plugin ? [plugin, ...transforms].map((parts) => parts.join(" ")).join(", ") : "no plugin yet";
  return [type, runs, file && fileName(file)].filter(Boolean).join(" · ");
}

/** Why it does not run, or does not get on. */
export function reasonOf({ reason, tasks }) {
  const firstLine = (text) => text?.split("\n")[0];
  return (
    reason ??
    firstLine(tasks.find((task) => task.trace)?.trace) ??
    tasks.find((task) => task.progress?.waiting)?.progress.waiting ??
    null
  );
}

/** Its dead letters since its tasks started. */
export function deadLetters({ tasks }) {
  return tasks.reduce((sum, task) => sum + (task.progress?.dead_letters ?? 0), 0);
}
