// Dead letters of a connector, newest first: why each failed, what it is, and sending it again or giving it up.

import { perform } from "./actions.js";
import { get, path, post } from "./api.js";
import { confirm } from "./dialog.js";
import { h, keyed, setText } from "./dom.js";
import { counted } from "./format.js";
import { icon } from "./icons.js";
import { makeLetter } from "./letter.js";
import { fail } from "./messages.js";
import { empty, onClick, table } from "./parts.js";

/** How many are asked for at a time. */
const PAGE = 50;
/** The most that are loaded at once by "Load all": a page has to hold them. */
const MOST = 5_000;
/** How many are sent again with one call. */
const AT_ONCE = 100;

const idOf = ({ partition, offset }) => `${partition}:${offset}`;

/** The view. */
export function openLetters(name) {
  let letters = [];
  let next = null;
  let topic;
  let counter;
  let loading = null;
  let closed = false;
  const selected = new Set();

  const body = h("tbody", { hidden: true });
  const all = h("input", {
    type: "checkbox",
    testid: "letters-select-all",
    on: { change: () => selectAll(all.checked) },
  });
  const list = table(
    "Dead letters",
    [
      [h("th", { class: "select", scope: "col", role: "columnheader" }, h("span", { class: "unseen" }, "Selected"))],
      ["Failed at", "when"],
      ["Error", "error"],
      ["Key", "key"],
      ["Value", "value"],
      ["Place", "place"],
      ["", "row-actions"],
    ],
    "letters",
  );
  list.append(body);
  const head = { root: list.querySelector("thead"), update() {} };
  const panel = h("div", { class: "panel" }, list);
  const nothing = h("div", { hidden: true });
  const about = h("p", { class: "muted", role: "status", testid: "letters-about" });
  const button = (label, drawing, testid, run, kind = "button") => {
    const made = h("button", { class: kind, type: "button", testid }, drawing && icon(drawing), h("span", {}, label));
    onClick(made, run);
    return made;
  };
  const replay = button("Replay", "replay", "letters-replay", () => handle("replay"), "button primary");
  const drop = button("Drop…", "delete", "letters-drop", () => handle("drop"), "button danger-quiet");
  const refresh = button("Refresh", "restart", "letters-refresh", () => load({ fresh: true }));
  const older = button("Load older", null, "letters-older", () => load({ older: true }));
  const rest = button("Load all", null, "letters-all", loadAll);
  const toolbar = h(
    "div",
    { class: "toolbar" },
    h("label", { class: "inline" }, all, "Select all"),
    about,
    refresh,
    drop,
    replay,
  );
  const paging = h("div", { class: "paging" }, older, rest);
  const root = h("div", { class: "view" }, toolbar, panel, paging, nothing);

  /** One answer at a time: `older` appends, `fresh` begins anew, else what is new goes on top. */
  async function load(how) {
    if (loading) return loading;
    loading = fetchLetters(how).finally(() => {
      loading = null;
      if (!closed) show();
    });
    return loading;
  }

  async function fetchLetters({ older = false, fresh = false }) {
    const cursor = older && next !== null ? `&before=${encodeURIComponent(next)}` : "";
    let answer;
    try {
      answer = await get(path`/v1/connectors/${name}/dead-letters` + `?limit=${PAGE}${cursor}`);
    } catch (error) {
      if (error.status === 404) topic = null;
      else if (!closed) fail(`The dead letters of ${name}`, error);
      return;
    }
    topic = answer.topic;
    const known = new Set(letters.map(idOf));
    const joins = answer.letters.some((letter) => known.has(idOf(letter)));
    if (older) {
      letters = [...letters, ...answer.letters.filter((letter) => !known.has(idOf(letter)))];
      next = answer.next;
    } else if (fresh || !joins) {
      letters = answer.letters;
      next = answer.next;
    } else {
      const newer = new Map(answer.letters.map((letter) => [idOf(letter), letter]));
      letters = [
        ...answer.letters.filter((letter) => !known.has(idOf(letter))),
        ...letters.map((letter) => newer.get(idOf(letter)) ?? letter),
      ];
    }
    const there = new Set(letters.filter((letter) => !letter.handled).map(idOf));
    for (const id of selected) if (!there.has(id)) selected.delete(id);
  }

  async function loadAll() {
    while (next !== null && letters.length < MOST && !closed) {
      const before = next;
      await load({ older: true });
      if (next === before) return;
    }
  }

  async function handle(what) {
    const chosen = letters.filter((letter) => selected.has(idOf(letter)));
    const many = counted(chosen.length, "dead letter");
    const text = [`${many} of ${name} will be marked as dropped, and not be offered for replay any more.`];
    if (what === "drop" && !(await confirm({ title: `Drop ${many}?`, text, verb: "Drop" }))) return;
    const places = chosen.map(({ partition, offset }) => ({ partition, offset }));
    for (let from = 0; from < places.length; from += AT_ONCE) {
      const part = places.slice(from, from + AT_ONCE);
      const run = () => send(what, part);
      const done = `${counted(part.length, "dead letter")} ${what === "drop" ? "dropped" : "sent again"}`;
      const verb = what === "drop" ? "Drop" : "Replay";
      if (!(await perform(`${verb} dead letters of ${name}`, run, done))) break;
      for (const place of part) mark(place, what === "drop" ? "dropped" : "replayed");
    }
    show();
  }

  /** Where the host cannot take so many of that size at once, one half after the other. */
  async function send(what, part) {
    try {
      await post(path`/v1/connectors/${name}/dead-letters/${what}`, { letters: part });
    } catch (error) {
      if (error.status !== 413 || part.length < 2) throw error;
      const half = Math.ceil(part.length / 2);
      await send(what, part.slice(0, half));
      await send(what, part.slice(half));
    }
  }

  function mark({ partition, offset }, handled) {
    const id = `${partition}:${offset}`;
    selected.delete(id);
    letters = letters.map((letter) => (idOf(letter) === id ? { ...letter, handled } : letter));
  }

  function selectAll(on) {
    selected.clear();
    if (on) for (const letter of letters) if (!letter.handled) selected.add(idOf(letter));
    show();
  }

  function select(letter, on) {
    if (on) selected.add(idOf(letter));
    else selected.delete(idOf(letter));
    show();
  }

  function show() {
    const open = letters.filter((letter) => !letter.handled).length;
    const rows = letters.map((letter) => ({ letter, selected: selected.has(idOf(letter)) }));
    keyed(
      list,
      [null, ...rows],
      (row) => (row ? idOf(row.letter) : "head"),
      (row) => (row ? makeLetter(row.letter, select) : head),
    );
    all.checked = open > 0 && selected.size === open;
    all.indeterminate = selected.size > 0 && selected.size < open;
    all.disabled = open === 0;
    // What is disabled cannot keep the focus.
    if (selected.size === 0 && [replay, drop].includes(document.activeElement)) all.focus({ preventScroll: true });
    replay.disabled = drop.disabled = selected.size === 0;
    const number = selected.size > 0 ? ` ${selected.size}` : "";
    setText(replay.lastChild, `Replay${number}`);
    setText(drop.lastChild, `Drop${number}…`);
    const some = next === null ? "" : "the newest ";
    setText(about, topic ? `${topic}: ${some}${counted(letters.length, "letter")}, ${open} to be handled` : "");
    paging.hidden = next === null || letters.length === 0;
    rest.hidden = letters.length >= MOST;
    panel.hidden = letters.length === 0;
    toolbar.hidden = topic === null;
    nothing.hidden = letters.length > 0 || topic === undefined;
    if (!nothing.hidden)
      nothing.replaceChildren(
        topic === null ? noQueue() : empty("No dead letters", "Records that fail come here with their error."),
      );
  }

  return {
    root,
    update({ connector }) {
      if (connector.dead_letter_topic === null) {
        topic = null;
        return show();
      }
      const now = connector.tasks.reduce((sum, task) => sum + (task.progress?.dead_letters ?? 0), 0);
      if (now !== counter) load({ fresh: counter === undefined });
      counter = now;
    },
    close() {
      closed = true;
    },
  };
}

function noQueue() {
  return empty(
    "This connector has no dead letter queue",
    h(
      "p",
      {},
      "With ",
      h("code", {}, "errors.tolerance"),
      " set to ",
      h("code", {}, "all"),
      ", records that fail go to the topic that ",
      h("code", {}, "errors.deadletterqueue.topic.name"),
      " names.",
    ),
  );
}
