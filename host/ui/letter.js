// One dead letter: a row that says why it failed, and below it, when opened, everything that is known of it.

import { h, setText } from "./dom.js";
import { bytes, full, time } from "./format.js";
import { icon } from "./icons.js";
import { copyButton } from "./parts.js";

/** How much of a key or value is in the row, and how much below it: more than that is copied, not read. */
const PREVIEW = 160;
const SHOWN = 65_536;
/** How much of bytes that are no text is shown, and how many in a line. */
const DUMPED = 1_024;
const IN_LINE = 16;

/** A letter; `select(letter, on)` is called when it is chosen. */
export function makeLetter(letter, select) {
  const { partition, offset, error } = letter;
  const id = `${partition}:${offset}`;
  const box = h("input", {
    type: "checkbox",
    "aria-label": `Select letter ${id}`,
    testid: "letter-select",
    on: { change: () => select(letter, box.checked) },
  });
  const handled = h("span", { class: "tag", testid: "letter-handled", hidden: true });
  const detail = h("tr", { role: "row", class: "more", testid: "letter-detail", hidden: true });
  const toggle = h(
    "button",
    {
      class: "icon-button expander",
      type: "button",
      "aria-expanded": "false",
      "aria-label": `Details of letter ${id}`,
      title: "Details",
      testid: "letter-expand",
    },
    icon("open"),
  );
  toggle.addEventListener("click", () => {
    if (!detail.firstChild) detail.append(h("td", { role: "cell", colspan: 7 }, details(letter)));
    detail.hidden = !detail.hidden;
    toggle.setAttribute("aria-expanded", String(!detail.hidden));
  });
  const td = (kind, label, ...children) => h("td", { role: "cell", class: kind, data: { label } }, ...children);
  const root = h(
    "tbody",
    { role: "rowgroup", testid: "letter-row", data: { id } },
    h(
      "tr",
      { role: "row" },
      td("select", "", box),
      td("when", "Failed at", h("time", {}, time(new Date(letter.timestamp ?? NaN))), handled),
      td(
        "error",
        "Error",
        h("span", { class: "message" }, error?.message ?? "unknown"),
        h("span", { class: "sub" }, [error?.stage, error?.plugin].filter(Boolean).join(" · ")),
      ),
      td("key", "Key", preview(letter.key)),
      td("value", "Value", preview(letter.value)),
      td("place", "Place", h("span", { class: "sub" }, id)),
      td("row-actions", "", toggle),
    ),
    detail,
  );
  return {
    root,
    update({ letter, selected }) {
      box.checked = selected;
      box.disabled = Boolean(letter.handled);
      handled.hidden = !letter.handled;
      setText(handled, letter.handled);
      root.classList.toggle("handled", Boolean(letter.handled));
      root.classList.toggle("selected", selected);
    },
  };
}

function details(letter) {
  const error = letter.error ?? {};
  const from = error.topic && `${error.topic}, partition ${error.partition ?? "?"}, offset ${full(error.offset)}`;
  const facts = [
    ["Dead letter", `partition ${letter.partition}, offset ${full(letter.offset)}`],
    ["Record", from],
    ["Task", error.task],
    ["Stage", error.stage],
    ["Plugin", error.plugin],
    ["Class", error.class],
  ];
  return h(
    "div",
    { class: "letter" },
    h("pre", { class: "trace", tabindex: "0", "aria-label": "Error" }, error.message ?? "no error is recorded with it"),
    h(
      "dl",
      { class: "facts" },
      facts
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([label, value]) => h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, value))),
    ),
    content("Key", letter.key),
    content("Value", letter.value),
    letter.headers.length > 0 &&
      h(
        "section",
        {},
        h("h3", {}, "Headers"),
        h(
          "dl",
          { class: "headers" },
          letter.headers.map(({ key, value }) => [h("dt", {}, key), h("dd", {}, preview(value, SHOWN))]),
        ),
      ),
  );
}

/** All of a key or a value, with a button that copies it. */
function content(label, value) {
  const size = sizeOf(value);
  const heading = h(
    "div",
    { class: "content-head" },
    h("h3", {}, label),
    h("span", { class: "muted" }, size === null ? "null" : bytes(size)),
    value !== null &&
      copyButton(`Copy the ${label.toLowerCase()}`, () => (typeof value === "string" ? value : value.base64)),
  );
  if (value === null) return h("section", {}, heading);
  const text = typeof value === "string" ? value.slice(0, SHOWN) : dump(value.base64);
  const cut = typeof value === "string" ? value.length > SHOWN : size > DUMPED;
  return h(
    "section",
    {},
    heading,
    h("pre", { tabindex: "0", "aria-label": label }, text),
    cut && h("p", { class: "muted" }, "Only the beginning is shown; a copy has all of it."),
  );
}

function preview(value, most = PREVIEW) {
  if (value === null) return h("span", { class: "muted" }, "null");
  if (typeof value !== "string") return h("span", { class: "muted" }, `${bytes(sizeOf(value))}, no text`);
  if (value === "") return h("span", { class: "muted" }, "empty");
  return h("code", {}, value.length > most ? `${value.slice(0, most)}…` : value);
}

function sizeOf(value) {
  if (value === null) return null;
  return typeof value === "string"
    ? new TextEncoder().encode(value).length
    : Math.floor((value.base64.replace(/=+$/, "").length * 3) / 4);
}

/** Bytes as hexadecimal numbers and as characters, sixteen in a line. */
function dump(base64) {
  const all = Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0)).subarray(0, DUMPED);
  const lines = [];
  for (let from = 0; from < all.length; from += IN_LINE) {
    const part = [...all.subarray(from, from + IN_LINE)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = part.map((byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${from.toString(16).padStart(4, "0")}  ${hex.padEnd(IN_LINE * 3)} ${text}`);
  }
  return lines.join("\n");
}
