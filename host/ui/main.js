// Starts the page: asks the host, shows the view of the address, and hears the keys that work everywhere.

import { onActed } from "./actions.js";
import { Lost, get } from "./api.js";
import { openConnector } from "./connector.js";
import { openConnectors } from "./connectors.js";
import { setAttribute, setText } from "./dom.js";
import { word } from "./format.js";
import { icon } from "./icons.js";
import { announce, banner, dismissNewest } from "./messages.js";
import { openPlugins } from "./plugins.js";
import { poll } from "./poll.js";
import { Rates } from "./rates.js";
import { parse } from "./routes.js";
import * as session from "./session.js";
import * as theme from "./theme.js";
import { acceptDrops, onUploaded } from "./upload.js";

/** More changes at once than this are counted, not listed. */
const LISTED = 3;

const element = (id) => document.getElementById(id);
const main = element("main");
const rates = new Rates();
let model = null;
let view = null;
let shown = null;

// The view of the address.

function route() {
  const to = parse(location.hash);
  const key = to.view === "connector" ? `connector ${to.name}` : to.view;
  const first = shown === null;
  if (key !== shown) {
    view?.close?.();
    view = { connectors: openConnectors, connector: () => openConnector(to.name), plugins: openPlugins }[to.view]();
    shown = key;
    main.replaceChildren(view.root);
    scrollTo(0, 0);
    // Whoever cannot see it hears where the link has led.
    if (!first) view.heading.focus({ preventScroll: true });
  }
  for (const link of document.querySelectorAll(".nav a")) {
    const current = link.hash === "#/plugins" ? to.view === "plugins" : to.view !== "plugins";
    setAttribute(link, "aria-current", current ? "page" : null);
  }
  view.route?.(to);
  if (model) view.update(model);
  setTitle();
}

function setTitle() {
  document.title = `${view.title(model?.status)} · Sandbar`;
}

// What the host says.

async function look() {
  try {
    const status = await get("/v1/status");
    const before = model?.status;
    const now = performance.now();
    rates.record(status, now);
    model = { status, rates, now };
    tell(before, status);
    connection("live", "Live");
    banner(unready(status));
    showHost(status);
    view.update(model);
    setTitle();
  } catch (error) {
    trouble(error);
  }
}

/** What lasts and is wrong with the host, or `null`. */
function unready({ ready, storage, worker }) {
  const reasons = [storage, worker?.reason].filter(Boolean).join("; ");
  if (ready && !reasons) return null;
  return [ready ? "The host is in trouble" : "The host is not ready", reasons].filter(Boolean).join(": ");
}

function trouble(error) {
  if (error instanceof Lost) {
    connection("lost", "Lost");
    banner(`Connection lost: ${error.message}. What is shown may be out of date; trying again.`);
  } else if (error.status === 401) {
    connection("lost", "Signed out");
    banner("The host asks for credentials.", { label: "Sign in", run: () => session.ask({ anew: true }) });
  } else if (error.status) {
    connection("lost", "Refused");
    banner(`The host refuses to tell its status: ${error.message}`);
  } else {
    // A fault of this page: said, and said in full where it can be looked into.
    console.error(error);
    banner(`This page failed: ${error.message}`);
  }
}

function connection(state, words) {
  setAttribute(element("connection"), "data-state", state);
  setText(element("connection-word"), words);
}

function showHost({ version, worker, worker_id, refused }) {
  const slots = worker && worker.of !== undefined ? `${worker.slots}/${worker.of} slots` : null;
  setText(element("host"), [worker?.group, worker_id, slots, version].filter(Boolean).join(" · "));
  // Definitions may be refused too; those are told with the connectors.
  const plugins = refused.filter(({ file }) => file.endsWith(".wasm")).length;
  element("refused-count").hidden = plugins === 0;
  setText(element("refused-count"), plugins);
  setAttribute(element("refused-count"), "title", `${plugins} refused`);
}

/** Says which connectors changed their state. */
function tell(before, after) {
  if (!before) return;
  const states = new Map(before.connectors.map(({ name, state }) => [name, state]));
  const changes = after.connectors.filter(({ name, state }) => states.has(name) && states.get(name) !== state);
  if (changes.length === 0) return;
  const list = changes.map(({ name, state }) => `${name}: ${word(state)}`).join("; ");
  announce(changes.length <= LISTED ? list : `${changes.length} connectors changed their state`);
}

// Keys, the switch, and signing out.

function onKey(event) {
  const typing = event.target.closest?.("input, textarea, select");
  if (document.querySelector("dialog[open], .menu:popover-open") || event.ctrlKey || event.metaKey || event.altKey)
    return;
  if (event.key === "/" && !typing) {
    const filter = document.querySelector("#filter, #log-filter");
    if (!filter) return;
    event.preventDefault();
    filter.focus();
    filter.select();
  } else if (event.key === "Escape") {
    if (typing?.type === "search") leave(typing);
    else if (!dismissNewest() && !typing) view.escape?.();
  }
}

/** Empties a filter, or leaves it if it is empty. */
function leave(filter) {
  if (!filter.value) return filter.blur();
  filter.value = "";
  filter.dispatchEvent(new Event("input"));
}

function showTheme() {
  const button = element("theme");
  const dark = theme.isDark();
  setAttribute(button, "aria-checked", dark);
  button.replaceChildren(icon(dark ? "sun" : "moon"));
}

function showSession() {
  element("sign-out").hidden = !session.isSignedIn();
}

element("skip").addEventListener("click", (event) => {
  // The address behind # is the view's.
  event.preventDefault();
  main.focus();
});
element("theme").addEventListener("click", () => {
  theme.toggle();
  showTheme();
});
element("sign-out").addEventListener("click", session.signOut);
addEventListener("keydown", onKey);
addEventListener("hashchange", route);
theme.onSystemChange(showTheme);
element("sign-out").prepend(icon("leave"));
showTheme();
showSession();
acceptDrops(element("drop"));
route();
const polling = poll(look);
onActed(polling.soon);
onUploaded(polling.soon);
session.onChange(() => {
  showSession();
  polling.soon();
});
