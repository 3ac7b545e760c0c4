// Charts of the last two minutes: a small one beside a number, and a large one that tells its values under the pointer.

import { h, setText, svg } from "./dom.js";
import { GAP, WINDOW } from "./rates.js";

/** The field that is drawn on; it is stretched to its place. */
const WIDTH = 240;
const HEIGHT = 40;
/** Above the highest point. */
const MARGIN = 2;

/** A small chart. `kind` is its colour. */
export function spark(kind) {
  const drawing = new Drawing(`spark ${kind}`);
  return { root: drawing.root, draw: (samples, field, now) => drawing.draw(samples, field, now) };
}

/** A large chart with a title, its value now, and what it was under the pointer. `write` writes a value. */
export function chart({ title, kind, field, write, unit, testid }) {
  const drawing = new Drawing("plot");
  const value = h("span", { class: "chart-value" });
  const peak = h("span", { class: "chart-peak" });
  const cursor = h("span", { class: "cursor", hidden: true });
  const plot = h("div", { class: "chart-plot" }, drawing.root, cursor);
  const root = h(
    "figure",
    { class: `chart ${kind}`, testid },
    h("figcaption", {}, h("span", {}, title), peak, value),
    plot,
    h("div", { class: "chart-axis", "aria-hidden": "true" }, h("span", {}, "2 min ago"), h("span", {}, "now")),
  );
  let shown = { samples: [], now: 0, text: "" };
  let pointer = null;

  const tell = () => {
    const found = pointer === null ? null : nearest(shown.samples, field, shown.now - WINDOW * (1 - pointer));
    cursor.hidden = !found;
    if (!found) return setText(value, shown.text);
    cursor.style.left = `${(1 - (shown.now - found.at) / WINDOW) * 100}%`;
    setText(value, `${write(found[field])}${unit}, ${Math.round((shown.now - found.at) / 1000)} s ago`);
  };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    pointer = (event.clientX - box.left) / box.width;
    tell();
  });
  plot.addEventListener("pointerleave", () => {
    pointer = null;
    tell();
  });
  return {
    root,
    draw(samples, now, current) {
      const most = drawing.draw(samples, field, now);
      shown = { samples, now, text: `${write(current)}${current === null ? "" : unit}` };
      setText(peak, most === null ? "" : `peak ${write(most)}`);
      tell();
    },
  };
}

class Drawing {
  #line = svg("path", { class: "line" });
  #area = svg("path", { class: "area" });

  constructor(kind) {
    this.root = svg(
      "svg",
      { class: kind, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.#area,
      this.#line,
    );
  }

  /** Draws, and answers the highest value, or `null` without any. */
  draw(samples, field, now) {
    const known = samples.filter((sample) => sample[field] !== null && sample.at >= now - WINDOW);
    const most = known.reduce((most, sample) => Math.max(most, sample[field]), 0);
    const x = (sample) => round((1 - (now - sample.at) / WINDOW) * WIDTH);
    const y = (sample) => round(HEIGHT - (most === 0 ? 0 : (sample[field] / most) * (HEIGHT - MARGIN)));
    let line = "";
    let area = "";
    for (const piece of pieces(known)) {
      const points = piece.map((sample) => `${x(sample)} ${y(sample)}`).join("L");
      line += `M${points}${piece.length === 1 ? "h0.5" : ""}`;
      area += `M${x(piece[0])} ${HEIGHT}L${points}V${HEIGHT}Z`;
    }
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", area);
    return known.length === 0 ? null : most;
  }
}

/** What may be joined by a line: samples without a gap between them. */
function pieces(samples) {
  const all = [];
  for (const sample of samples) {
    const last = all.at(-1);
    if (last && sample.at - last.at(-1).at <= GAP) last.push(sample);
    else all.push([sample]);
  }
  return all;
}

function nearest(samples, field, at) {
  const known = samples.filter((sample) => sample[field] !== null);
  return known.reduce(
    (best, sample) => (!best || Math.abs(sample.at - at) < Math.abs(best.at - at) ? sample : best),
    null,
  );
}

function round(number) {
  return Math.round(number * 10) / 10;
}
