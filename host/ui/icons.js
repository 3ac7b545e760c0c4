// The small drawings of the page: what a button does, and the shape of each state, so that no state is told by colour alone.

import { svg } from "./dom.js";

/** Lines on a field of 16 by 16. */
const LINES = {
  pause: "M5.5 3.5v9M10.5 3.5v9",
  resume: "M5 3.2v9.6L12.8 8z",
  stop: "M4 4h8v8H4z",
  restart: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  delete: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.7M9.2 7v3.7",
  copy: "M6 6h7v7H6zM10 6V3H3v7h3",
  check: "M3.2 8.6l3.1 3.1 6.5-7",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3.2v9.6M3.2 8h9.6",
  upload: "M8 10.5V3M5 5.8L8 2.8l3 3M3 10.5V13h10v-2.5",
  back: "M9.5 3.5L5 8l4.5 4.5",
  open: "M6 3.5L10.5 8 6 12.5",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3L13.5 13.5",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9",
  moon: "M13 9.6A5.5 5.5 0 0 1 6.4 3 5.5 5.5 0 1 0 13 9.6z",
  file: "M4 2.5h5l3 3v8H4zM9 2.5v3h3",
  warning: "M8 2.6l5.8 10.3H2.2zM8 6.6v2.8M8 11.2v.01",
  replay: "M3 8a5 5 0 1 0 1.6-3.7M3 2.5V5h2.5",
  promote: "M8 13V4M4.5 7.2L8 3.7l3.5 3.5",
  leave: "M9.5 3H3.5v10h6M6.5 8h7M11 5.5L13.5 8 11 10.5",
  lines: "M3 4.5h10M3 8h7M3 11.5h9",

  RUNNING: "M8 8m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0",
  STALLED: "M8 3l5.4 9.8H2.6zM8 6.8v2.6M8 11.1v.01",
  RESTARTING: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5",
  FAILED: "M4.3 4.3l7.4 7.4M11.7 4.3l-7.4 7.4",
  COMPLETED: "M3.4 8.5l3 3 6.2-6.8",
  PAUSED: "M5.8 4v8M10.2 4v8",
  STOPPED: "M4.6 4.6h6.8v6.8H4.6z",
  UNASSIGNED: "M8 8m-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0",
};

/** Those that are filled. */
const FILLED = new Set(["RUNNING", "STOPPED", "resume", "stop"]);

/** A drawing that is not read aloud: the words are beside it, or on the button. */
export function icon(name) {
  const kind = FILLED.has(name) ? "icon filled" : "icon";
  const path = svg("path", { d: LINES[name] ?? LINES.UNASSIGNED });
  return svg("svg", { viewBox: "0 0 16 16", class: kind, "aria-hidden": "true", "data-icon": name }, path);
}
