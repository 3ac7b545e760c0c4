// Who the page is to the host: a token, or a user and a password. Kept until the tab is closed, and nowhere else.

import { openDialog } from "./dialog.js";
import { h, setText } from "./dom.js";

const KEY = "sandbar.authorization";
/** A question that asks for nothing but whether credentials are good. */
const TRIAL = "/v1/status";

let asked = null;
let declined = false;
let changed = () => {};

/** The headers that carry the credentials. */
export function headers() {
  const authorization = sessionStorage.getItem(KEY);
  return authorization ? { Authorization: authorization } : {};
}

/** Whether there are credentials to sign out from. */
export function isSignedIn() {
  return sessionStorage.getItem(KEY) !== null;
}

/** Forgets them, and with them all that the page shows. */
export function signOut() {
  sessionStorage.removeItem(KEY);
  location.reload();
}

/** Calls back when the page signs in or out. */
export function onChange(callback) {
  changed = callback;
}

/** Asks for credentials; who asks meanwhile waits for the same answer. Once declined, it is asked again only `anew`. */
export function ask({ anew = false } = {}) {
  if (declined && !anew) return Promise.resolve(false);
  asked ??= new Promise(open).then((good) => {
    asked = null;
    declined = !good;
    changed();
    return good;
  });
  return asked;
}

function open(resolve) {
  const stale = isSignedIn();
  sessionStorage.removeItem(KEY);
  const field = (label, name, type, autocomplete) =>
    h(
      "label",
      { class: "field" },
      label,
      h("input", { name, type, autocomplete, testid: `sign-in-${name}`, required: true }),
    );
  const token = field("Token", "token", "password", "off");
  const user = field("User", "user", "text", "username");
  const password = field("Password", "password", "password", "current-password");
  const error = h("p", { class: "form-error", role: "alert", testid: "sign-in-error", hidden: !stale });
  if (stale) setText(error, "The host does not take these credentials any more.");

  const fields = h("div", { class: "dialog-body" });
  const choose = (way) => fields.replaceChildren(...(way === "token" ? [token] : [user, password]));
  const way = (value, label, checked) => {
    const radio = h("input", {
      type: "radio",
      name: "way",
      value,
      checked,
      testid: `sign-in-way-${value}`,
      on: { change: () => choose(value) },
    });
    return h("label", {}, radio, label);
  };
  const ways = h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "unseen" }, "Sign in with"),
    way("token", "Token", true),
    way("basic", "User and password", false),
  );
  choose("token");

  const submit = h("button", { class: "button primary", type: "submit", testid: "sign-in-submit" }, "Sign in");
  let good = false;
  const dialog = openDialog({
    title: "Sign in",
    testid: "sign-in",
    body: [
      h("p", { class: "muted" }, "This host asks for credentials. They are kept in this tab until it is closed."),
      ways,
      fields,
      error,
    ],
    buttons: [submit],
    submit: async (form) => {
      const fault = await attempt(authorization(form));
      if (fault) {
        setText(error, fault);
        error.hidden = false;
        return;
      }
      good = true;
      dialog.close();
    },
    closed: () => resolve(good),
  });
}

/** Tries credentials, and keeps them if they are good; else answers what is wrong. */
async function attempt(value) {
  try {
    const answer = await fetch(TRIAL, { headers: { Authorization: value }, credentials: "omit", cache: "no-store" });
    if (answer.status === 401) return "The host does not take these credentials.";
  } catch {
    return "The host does not answer; try again.";
  }
  sessionStorage.setItem(KEY, value);
  return null;
}

function authorization(form) {
  const fields = new FormData(form);
  if (fields.get("way") === "token") return `Bearer ${String(fields.get("token")).trim()}`;
  const text = new TextEncoder().encode(`${fields.get("user")}:${fields.get("password")}`);
  return `Basic ${btoa(String.fromCharCode(...text))}`;
}
