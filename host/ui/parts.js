// Small parts that more than one view shows: the badge of a state, a table, a copy button, an empty place.

import { h, setText } from "./dom.js";
import { word } from "./format.js";
import { icon } from "./icons.js";
import { fail } from "./messages.js";

/** How long a copy button says that it copied. */
const COPIED = 1_500;

/** A state in colour, shape and word. */
export function badge(testid) {
  const text = h("span");
  const root = h("span", { class: "badge", testid }, text);
  return {
    root,
    update(state) {
      if (root.dataset.state === state) return;
      root.dataset.state = state;
      root.querySelector("svg")?.remove();
      root.prepend(icon(state));
      setText(text, word(state));
    },
  };
}

/** A table that becomes cards where it is narrow; the roles survive that. A column is `[title, class]`. */
export function table(label, columns, kind) {
  const heads = columns.map(([title, kind]) =>
    title instanceof Node ? title : h("th", { scope: "col", role: "columnheader", class: kind }, title),
  );
  const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads));
  return h("table", { class: `table ${kind}`, role: "table", "aria-label": label, testid: kind }, head);
}

/** A cell; its label is shown where the table is cards. */
export function cell(label, kind, ...children) {
  return h("td", { role: "cell", class: kind, data: { label } }, ...children);
}

/** A button that copies a text. */
export function copyButton(label, text, testid) {
  const button = h("button", { class: "icon-button small", type: "button", "aria-label": label, title: label, testid });
  button.append(icon("copy"));
  button.addEventListener("click", async () => {
    try {
      await copy(text());
    } catch (error) {
      fail(label, error);
      return;
    }
    button.replaceChildren(icon("check"));
    button.dataset.copied = "true";
    setTimeout(() => {
      button.replaceChildren(icon("copy"));
      delete button.dataset.copied;
    }, COPIED);
  });
  return button;
}

/** Runs at a click, one run at a time. The button is not disabled meanwhile: that would take the focus from it. */
export function onClick(button, run) {
  button.addEventListener("click", async () => {
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    await run();
    button.ariaBusy = null;
  });
}

/** A place with nothing in it, and why. */
export function empty(title, ...rest) {
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, title),
    ...rest.map((line) => (line instanceof Node ? line : h("p", {}, line))),
  );
}

/** A fact: its name and an element for its value. */
export function fact(label, testid) {
  const value = h("dd", { testid });
  return { root: h("div", { class: "fact" }, h("dt", {}, label), value), update: (text) => setText(value, text) };
}

/** Files that the host refused, and why; nothing where there is none. */
export function refusedFiles({ open }) {
  const list = h("ul", { class: "refused-list" });
  const summary = h("summary", {});
  const root = h("details", { class: "refused", open, hidden: true, testid: "refused" }, summary, list);
  return {
    root,
    update(refused) {
      root.hidden = refused.length === 0;
      setText(summary, refused.length === 1 ? "1 file is refused" : `${refused.length} files are refused`);
      list.replaceChildren(
        ...refused.map(({ file, reason }) =>
          h("li", { testid: "refused-file", data: { file } }, h("code", {}, file), h("span", {}, reason)),
        ),
      );
    },
  };
}

async function copy(text) {
  // Browsers offer the clipboard on safe origins only, and hosts are often reached by plain HTTP.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = h("textarea", { class: "unseen", value: text });
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (!copied) throw new Error("this browser does not let the page copy");
}
