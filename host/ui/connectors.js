// The list of connectors: what each does, how fast, and what is wrong with it.

import { openCreate } from "./create.js";
import { h, keyed, setAttribute, setText } from "./dom.js";
import { counted } from "./format.js";
import { icon } from "./icons.js";
import { empty, refusedFiles, table } from "./parts.js";
import { mean, newest } from "./rates.js";
import { pluginHash } from "./routes.js";
import { deadLetters, makeRow } from "./row.js";
import { STATES, makeSummary } from "./summary.js";

/** What is chosen outlives a look at one connector. */
const chosen = { text: "", state: null, sort: "name", descending: false };

/** The view. */
export function openConnectors() {
  let model = null;
  const heading = h("h1", { tabindex: "-1" }, "Connectors");
  const filter = h("input", {
    type: "search",
    class: "search-field",
    id: "filter",
    placeholder: "Filter by name, plugin, type, reason",
    "aria-label": "Filter connectors",
    "aria-keyshortcuts": "/",
    autocomplete: "off",
    spellcheck: "false",
    testid: "filter",
    value: chosen.text,
  });
  filter.addEventListener("input", () => {
    chosen.text = filter.value;
    show();
  });
  const create = h(
    "button",
    { class: "button primary", type: "button", testid: "new-connector", on: { click: () => openCreate() } },
    icon("plus"),
    "New connector",
  );
  const summary = makeSummary(chosen, () => show());
  const refused = refusedFiles({ open: false });
  const matches = h("p", { class: "unseen", role: "status", testid: "matches" });
  const sorters = [];
  const sorter = (key, title, kind) => {
    const made = makeSorter(key, title, kind, () => show());
    sorters.push(made);
    return [made.root, kind];
  };
  const list = table(
    "Connectors",
    [
      sorter("state", "State", "state"),
      sorter("name", "Connector", "name"),
      ["Tasks", "number"],
      sorter("in", "In /s", "metric"),
      sorter("out", "Out /s", "metric"),
      sorter("lag", "Lag", "metric"),
      sorter("dead", "Dead letters", "number dead"),
      [
        h(
          "th",
          { role: "columnheader", scope: "col", class: "row-actions" },
          h("span", { class: "unseen" }, "Actions"),
        ),
      ],
    ],
    "connectors",
  );
  const body = h("tbody", { role: "rowgroup" });
  list.append(body);
  const panel = h("div", { class: "panel", hidden: true }, list);
  const nothing = h("div", { hidden: true });
  const root = h(
    "div",
    { class: "view" },
    h(
      "div",
      { class: "head" },
      heading,
      h("div", { class: "search" }, icon("search"), filter, h("kbd", { "aria-hidden": "true" }, "/")),
      create,
    ),
    summary.root,
    refused.root,
    matches,
    panel,
    nothing,
  );

  function show() {
    if (!model) return;
    const { status, rates, now } = model;
    const rows = arranged(status.connectors, rates);
    keyed(
      body,
      rows.map((connector) => ({ connector, samples: rates.connector(connector.name), now })),
      (row) => row.connector.name,
      makeRow,
    );
    for (const made of sorters) made.update();
    summary.root.hidden = status.connectors.length === 0;
    summary.update(status, rates, now);
    refused.update(status.refused);
    const all = status.connectors.length;
    setText(
      matches,
      rows.length === all ? counted(all, "connector") : `${rows.length} of ${counted(all, "connector")}`,
    );
    panel.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
    if (rows.length === 0) nothing.replaceChildren(all === 0 ? noConnectors() : noMatch(clear));
  }

  function clear() {
    chosen.text = filter.value = "";
    chosen.state = null;
    show();
    filter.focus();
  }

  return {
    root,
    heading,
    title: (status) => {
      const failed = status?.connectors.filter((connector) => connector.state === "FAILED").length;
      return failed ? `(${failed} failed) Connectors` : "Connectors";
    },
    update(next) {
      model = next;
      show();
    },
  };
}

/** What matches the filter, in the order asked for. */
function arranged(connectors, rates) {
  const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
  const text = ({ name, type, plugin, transforms, state, reason }) =>
    [name, type, plugin, transforms, state, reason].flat(2).join("\n").toLowerCase();
  const found = connectors.filter(
    (connector) =>
      (!chosen.state || connector.state === chosen.state) && words.every((word) => text(connector).includes(word)),
  );
  const value = {
    name: () => 0,
    state: (connector) => STATES.indexOf(connector.state),
    in: (connector) => mean(rates.connector(connector.name), "in") ?? -1,
    out: (connector) => mean(rates.connector(connector.name), "out") ?? -1,
    lag: (connector) => newest(rates.connector(connector.name), "lag") ?? -1,
    dead: deadLetters,
  }[chosen.sort];
  const turn = chosen.descending ? -1 : 1;
  const byName = (one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0);
  const values = new Map(found.map((connector) => [connector, value(connector)]));
  return found.sort(
    (one, other) =>
      turn *
      (values.get(one) - values.get(other) ||
        (chosen.sort === "name" ? byName(one, other) : turn * byName(one, other))),
  );
}

function makeSorter(key, title, kind, sorted) {
  const click = () => {
    // Numbers are asked for to see the largest.
    chosen.descending = chosen.sort === key ? !chosen.descending : kind !== "state" && kind !== "name";
    chosen.sort = key;
    sorted();
  };
  const root = h(
    "th",
    { scope: "col", role: "columnheader", class: kind },
    h("button", { type: "button", testid: `sort-${key}`, on: { click } }, title),
  );
  const update = () =>
    setAttribute(root, "aria-sort", chosen.sort !== key ? null : chosen.descending ? "descending" : "ascending");
  return { root, update };
}

function noConnectors() {
  return empty(
    "No connectors yet",
    "Create one here, or drop a definition into the folder of the host.",
    h("a", { class: "button", href: pluginHash() }, "See the plugins"),
  );
}

function noMatch(clear) {
  return empty(
    "No connector matches",
    h("button", { class: "button", type: "button", testid: "clear-filter", on: { click: clear } }, "Clear the filter"),
  );
}
