// What the page tells: errors that stay until dismissed, short notes that go, the banner, and what is only read aloud.

import { h, setText } from "./dom.js";
import { icon } from "./icons.js";

/** How long a note of success stays. */
const NOTE = 5_000;
/** The most errors and notes in sight: the oldest makes room. */
const MOST = 4;

const element = (id) => document.getElementById(id);

/** Shows an error until it is dismissed. The same one again counts up. */
export function fail(what, error) {
  const text = what ? `${what}: ${error.message}` : error.message;
  const alerts = element("alerts");
  const same = [...alerts.children].find((alert) => alert.dataset.text === text);
  if (same) {
    same.dataset.times = Number(same.dataset.times) + 1;
    same.querySelector(".times").textContent = `×${same.dataset.times}`;
    return;
  }
  const dismiss = h(
    "button",
    {
      class: "icon-button",
      type: "button",
      "aria-label": "Dismiss",
      title: "Dismiss",
      testid: "alert-dismiss",
      on: { click: () => gone(alert) },
    },
    icon("close"),
  );
  const alert = h(
    "div",
    { class: "alert", role: "alert", testid: "alert", data: { text, times: "1" } },
    icon("warning"),
    h("p", {}, text),
    h("span", { class: "times" }),
    dismiss,
  );
  if (alerts.children.length >= MOST) alerts.firstElementChild.remove();
  alerts.append(alert);
}

/** Takes the newest error away; answers whether there was one. */
export function dismissNewest() {
  const newest = element("alerts").lastElementChild;
  if (newest) gone(newest);
  return newest !== null;
}

/** Says that something went well. */
export function note(text) {
  const toast = h("div", { class: "toast", testid: "toast" }, icon("check"), h("span", {}, text));
  const notes = element("toasts").querySelectorAll(".toast:not(.busy)");
  if (notes.length >= MOST) notes[0].remove();
  element("toasts").append(toast);
  setTimeout(() => toast.remove(), NOTE);
}

/** Says that something goes on, until what is answered is called. */
export function busy(text) {
  const toast = h("div", { class: "toast busy", testid: "busy" }, icon("restart"), h("span", {}, text));
  element("toasts").append(toast);
  return () => toast.remove();
}

/** Reads something aloud that the page shows elsewhere. */
export function announce(text) {
  setText(element("live"), text);
}

/** Shows a lasting condition, with a button that may end it; `null` once it is over. */
export function banner(text, action) {
  const place = element("banner");
  if (text === null) {
    place.hidden = true;
    place.replaceChildren();
    return;
  }
  place.hidden = false;
  if (place.firstElementChild?.textContent === text) return;
  const button =
    action &&
    h("button", { class: "button", type: "button", testid: "banner-action", on: { click: action.run } }, action.label);
  place.replaceChildren(h("span", {}, text), ...(button ? [button] : []));
}

function gone(alert) {
  const next = alert.nextElementSibling ?? alert.previousElementSibling;
  const focused = alert.contains(document.activeElement);
  alert.remove();
  if (focused) (next?.querySelector("button") ?? element("main")).focus({ preventScroll: true });
}
