// Dialogs: one shape for all of them. Escape and Cancel close; the focus goes back to where it was.

import { h } from "./dom.js";

let nth = 0;

/**
 * Opens one. `submit(form)` runs when the form is sent, `closed()` once it is gone. Answers the element, whose
 * `close()` closes it.
 */
export function openDialog({ title, testid, body, buttons, submit, closed = () => {}, wide = false }) {
  nth += 1;
  const heading = h("h2", { id: `dialog-${nth}` }, title);
  const back = document.activeElement;
  const dialog = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": heading.id, testid });
  const dismiss = h(
    "button",
    { class: "button", type: "button", testid: "dialog-cancel", on: { click: () => dialog.close() } },
    "Cancel",
  );
  const send = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    // Once at a time, however often Enter is pressed.
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    await submit(form);
    form.ariaBusy = null;
  };
  dialog.append(
    h(
      "form",
      { method: "dialog", on: { submit: send } },
      heading,
      h("div", { class: "dialog-body" }, body),
      h("div", { class: "dialog-buttons" }, dismiss, buttons),
    ),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (back?.isConnected) back.focus({ preventScroll: true });
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks whether to do what cannot be undone. */
export function confirm({ title, text, verb }) {
  return new Promise((resolve) => {
    let agreed = false;
    const yes = h("button", { class: "button danger", type: "submit", testid: "dialog-confirm" }, verb);
    const dialog = openDialog({
      title,
      testid: "confirm",
      body: text.map((line) => h("p", {}, line)),
      buttons: [yes],
      submit: () => {
        agreed = true;
        dialog.close();
      },
      closed: () => resolve(agreed),
    });
    dialog.querySelector("[data-testid=dialog-cancel]").focus();
  });
}
