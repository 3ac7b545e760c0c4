// The configuration of a connector as the host has it: to read and to copy, not to change.

import { configOf } from "./actions.js";
import { h } from "./dom.js";
import { fail } from "./messages.js";
import { copyButton, table } from "./parts.js";

/** The view. */
export function openConfig(name) {
  let config = {};
  let open = true;
  const body = h("tbody", { role: "rowgroup" });
  const list = table(
    "Configuration",
    [
      ["Key", "name"],
      ["Value", "value"],
    ],
    "config",
  );
  list.append(body);
  const copy = copyButton("Copy as JSON", () => JSON.stringify({ name, config }, null, 2), "copy-config");
  const where = h("p", { class: "muted" });
  const root = h(
    "div",
    { class: "view" },
    h("div", { class: "toolbar" }, where, copy),
    h("div", { class: "panel" }, list),
  );
  const row = ([key, value]) =>
    h(
      "tr",
      { role: "row", testid: "config-row", data: { key } },
      h("th", { scope: "row", role: "rowheader", class: "name" }, h("code", {}, key)),
      h("td", { role: "cell", class: "value" }, h("code", {}, value ?? "")),
    );

  async function load() {
    try {
      config = await configOf(name);
    } catch (error) {
      if (open) fail(`The configuration of ${name}`, error);
      return;
    }
    body.replaceChildren(
      ...Object.entries(config)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(row),
    );
  }

  load();
  return {
    root,
    update({ connector }) {
      const text =
        connector.file === null
          ? "Defined over HTTP."
          : `Defined by ${connector.file}: change or remove that file to change or delete the connector.`;
      if (where.textContent !== text) where.replaceChildren(text);
    },
    close() {
      open = false;
    },
  };
}
