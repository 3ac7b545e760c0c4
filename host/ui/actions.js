// What can be done to a connector: when it fits, which call it is, and the buttons and the menu that offer it.

import { get, path, post, put, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { h, setAttribute } from "./dom.js";
import { icon } from "./icons.js";
import { openMenu } from "./menu.js";
import { fail, note } from "./messages.js";
import { onClick } from "./parts.js";

/** Whether it was told to rest. Its state follows, or says more. */
const rests = (connector) => connector.target !== "RUNNING";

const ACTIONS = {
  pause: {
    label: "Pause",
    done: "is told to pause",
    fits: (connector) => !rests(connector) && connector.state !== "COMPLETED",
    run: (name) => put(path`/connectors/${name}/pause`),
  },
  resume: {
    label: "Resume",
    done: "is told to resume",
    fits: rests,
    run: (name) => put(path`/connectors/${name}/resume`),
  },
  stop: {
    label: "Stop",
    done: "is told to stop",
    fits: (connector) => connector.target !== "STOPPED",
    run: (name) => put(path`/connectors/${name}/stop`),
  },
  restart: {
    label: "Restart",
    done: "starts again",
    fits: (connector) => !rests(connector),
    run: (name) => post(path`/connectors/${name}/restart` + "?includeTasks=true&onlyFailed=false"),
  },
  "restart-failed": {
    label: "Restart failed",
    icon: "restart",
    done: "starts again what has failed",
    fits: (connector) => connector.state === "FAILED" || connector.tasks.some((task) => task.state === "FAILED"),
    run: (name) => post(path`/connectors/${name}/restart` + "?includeTasks=true&onlyFailed=true"),
  },
  delete: {
    label: "Delete…",
    danger: true,
    done: "is deleted",
    // What a file defines comes back with the next look at the folder.
    fits: (connector) => connector.file === null,
    run: (name) => remove(path`/connectors/${name}`),
  },
};

/** What is worth doing on a row, and what is left to its menu. */
const ON_ROW = ["pause", "resume", "restart"];
const IN_MENU = ["stop", "restart-failed", "delete"];

let acted = () => {};

/** Calls back after each action, so that what it did is seen at once. */
export function onActed(callback) {
  acted = callback;
}

/** Does something, tells how it ended, and looks at the world again. Answers whether it was done. */
export async function perform(what, run, done) {
  try {
    await run();
    note(done);
    return true;
  } catch (error) {
    fail(what, error);
    return false;
  } finally {
    acted();
  }
}

async function act(id, name) {
  const action = ACTIONS[id];
  if (id === "delete" && !(await confirmDelete(name))) return false;
  return perform(`${action.label.replace("…", "")} ${name}`, () => action.run(name), `${name} ${action.done}`);
}

function confirmDelete(name) {
  const text = [
    `The connector “${name}” ends, and its definition is gone.`,
    "Its topics and its committed offsets stay.",
  ];
  return confirm({ title: `Delete ${name}?`, text, verb: "Delete" });
}

/** Starts a task again. */
export function restartTask(name, id) {
  return perform(
    `Restart task ${id} of ${name}`,
    () => post(path`/connectors/${name}/tasks/${id}/restart`),
    `Task ${id} of ${name} starts again`,
  );
}

/** The buttons of a row: drawings alone, the rest in a menu. */
export const rowButtons = () => makeButtons({ shown: ON_ROW, inMenu: IN_MENU, worded: false });

/** The buttons of a page: with words. */
export const pageButtons = () => makeButtons({ shown: Object.keys(ACTIONS), inMenu: [], worded: true });

function makeButtons({ shown, inMenu, worded }) {
  let connector = null;
  const made = shown.map((id) => {
    const { label, icon: drawing = id, danger } = ACTIONS[id];
    const look = worded ? { class: danger ? "button danger-quiet" : "button" } : { class: "icon-button", title: label };
    const button = h("button", { type: "button", testid: `action-${id}`, ...look }, icon(drawing), worded && label);
    onClick(button, () => act(id, connector.name));
    return { id, label, button };
  });
  const look = { class: "icon-button", title: "More actions", "aria-haspopup": "menu" };
  const more = h("button", { type: "button", testid: "action-more", ...look }, icon("more"));
  more.addEventListener("click", () => openMenu(more, `Actions for ${connector.name}`, itemsOf(connector, inMenu)));
  return {
    root: h(
      "div",
      { class: "actions" },
      made.map(({ button }) => button),
      more,
    ),
    update(now) {
      connector = now;
      const focused = made.find(({ button }) => button === document.activeElement);
      for (const { id, label, button } of made) {
        button.hidden = !ACTIONS[id].fits(now);
        if (!worded) setAttribute(button, "aria-label", `${label} ${now.name}`);
      }
      // The focus goes from Pause to Resume, which takes its place.
      if (focused?.button.hidden) made.find(({ button }) => !button.hidden)?.button.focus({ preventScroll: true });
      more.hidden = !inMenu.some((id) => ACTIONS[id].fits(now));
      setAttribute(more, "aria-label", `More actions for ${now.name}`);
    },
  };
}

function itemsOf(connector, ids) {
  const item = (id) => {
    const { label, danger, icon = id } = ACTIONS[id];
    return { label, danger, icon, testid: `action-${id}`, run: () => act(id, connector.name) };
  };
  return ids.filter((id) => ACTIONS[id].fits(connector)).map(item);
}

/** The configuration of a connector. */
export const configOf = (name) => get(path`/connectors/${name}/config`);
