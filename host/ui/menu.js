// A menu at a button: arrows move in it, Escape and a click elsewhere close it.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** Between the menu, its button and the edge of the window, in pixels. */
const SPACE = 4;

/** Opens one; an item is `{label, icon, danger, testid, run}`. */
export function openMenu(button, label, items) {
  const made = items.map(({ label, icon: drawing, danger, testid, run }) => {
    const click = () => {
      menu.hidePopover();
      run();
    };
    const kind = danger ? "danger-quiet" : "";
    return h("button", { class: kind, type: "button", role: "menuitem", testid, on: { click } }, icon(drawing), label);
  });
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    made.at((made.indexOf(document.activeElement) + step) % made.length).focus();
  };
  const menu = h("div", { class: "menu", popover: "auto", role: "menu", testid: "menu", "aria-label": label }, made);
  menu.addEventListener("keydown", move);
  menu.addEventListener("toggle", (event) => {
    if (event.newState === "closed") menu.remove();
  });
  document.body.append(menu);
  menu.showPopover();
  place(menu, button.getBoundingClientRect());
  made[0].focus();
}

/** Below the button, or above it where there is no room. */
function place(menu, box) {
  const isBelow = box.bottom + menu.offsetHeight + 2 * SPACE < innerHeight;
  menu.style.left = `${Math.max(SPACE, box.right - menu.offsetWidth)}px`;
  menu.style.top = `${isBelow ? box.bottom + SPACE : box.top - menu.offsetHeight - SPACE}px`;
}
