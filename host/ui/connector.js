// One connector: its state and what can be done to it, and under tabs its tasks, logs, dead letters and configuration.

import { pageButtons } from "./actions.js";
import { openConfig } from "./config.js";
import { h, setAttribute, setText } from "./dom.js";
import { icon } from "./icons.js";
import { openLetters } from "./letters.js";
import { openLogs } from "./logs.js";
import { openOverview } from "./overview.js";
import { badge, empty } from "./parts.js";
import { connectorHash } from "./routes.js";
import { describe, reasonOf } from "./row.js";

const TABS = [
  ["overview", "Tasks", openOverview],
  ["logs", "Logs", openLogs],
  ["dead-letters", "Dead letters", openLetters],
  ["config", "Configuration", openConfig],
];

/** The view of a connector by this name. */
export function openConnector(name) {
  const state = badge("connector-state");
  const about = h("p", { class: "muted", testid: "connector-about" });
  const reason = h("p", { class: "callout", testid: "connector-reason", hidden: true });
  const quarantined = h("ul", { class: "callout quarantined", testid: "quarantined", hidden: true });
  const buttons = pageButtons();
  const heading = h("h1", { tabindex: "-1", testid: "connector-title" }, name);
  const tabs = TABS.map(([id, title]) =>
    h("a", { href: connectorHash(name, id), testid: `tab-${id}`, data: { tab: id } }, title),
  );
  const body = h("div", { class: "tab-body" });
  const missing = h(
    "div",
    { hidden: true },
    empty("There is no connector of this name", h("a", { class: "button", href: "#/connectors" }, "All connectors")),
  );
  const there = h(
    "div",
    { class: "view" },
    reason,
    quarantined,
    h("nav", { class: "tabs", "aria-label": "Of this connector" }, tabs),
    body,
  );
  const root = h(
    "div",
    { class: "view" },
    h("a", { class: "back", href: "#/connectors", testid: "back" }, icon("back"), "Connectors"),
    h("div", { class: "title" }, h("div", { class: "title-name" }, heading, state.root, about), buttons.root),
    there,
    missing,
  );
  let tab = null;
  let model = null;

  function show() {
    const connector = model?.status.connectors.find((connector) => connector.name === name);
    if (!model) return;
    for (const part of [there, state.root, about, buttons.root]) part.hidden = !connector;
    missing.hidden = Boolean(connector);
    if (!connector) return;
    state.update(connector.state);
    setText(about, describe(connector));
    const why = reasonOf(connector);
    reason.hidden = !why;
    setText(reason, why);
    setAttribute(reason, "data-state", connector.state);
    showQuarantined(quarantined, connector.quarantined ?? []);
    buttons.update(connector);
    tab?.view.update({ ...model, connector });
  }

  return {
    root,
    heading,
    title: () => name,
    /** The same connector, another tab. */
    route(to) {
      const [id, , open] = TABS.find(([id]) => id === to.tab) ?? TABS[0];
      for (const link of tabs) setAttribute(link, "aria-current", link.dataset.tab === id ? "page" : null);
      if (tab?.id !== id) {
        tab?.view.close?.();
        tab = { id, view: open(name) };
        body.replaceChildren(tab.view.root);
      }
      tab.view.route?.(to);
      show();
    },
    escape() {
      location.hash = "#/connectors";
    },
    update(next) {
      model = next;
      show();
    },
    close: () => tab?.view.close?.(),
  };
}

function showQuarantined(list, all) {
  list.hidden = all.length === 0;
  const text = JSON.stringify(all);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(
    ...all.map(({ plugin, version, reason }) =>
      h("li", {}, h("strong", {}, `${plugin} ${version} is not used: `), reason),
    ),
  );
}
