// Above the list: totals of all connectors, and how many are in which state.

import { spark } from "./chart.js";
import { h, keyed, setAttribute, setText } from "./dom.js";
import { count, rate, word } from "./format.js";
import { icon } from "./icons.js";
import { mean, newest } from "./rates.js";

/** In the order of how much they ask for a person. */
export const STATES = ["FAILED", "STALLED", "UNASSIGNED", "RESTARTING", "RUNNING", "COMPLETED", "PAUSED", "STOPPED"];

/** Totals and states. A click on a state writes it into `chosen.state`: those alone are shown, until the next click. */
export function makeSummary(chosen, chose) {
  const metric = (label, field, testid) => {
    const value = h("strong", { testid });
    const chart = spark(field);
    return {
      field,
      value,
      chart,
      root: h("div", { class: "stat" }, h("span", { class: "stat-label" }, label), value, chart.root),
    };
  };
  const metrics = [
    metric("Records in /s", "in", "total-in"),
    metric("Records out /s", "out", "total-out"),
    metric("Lag", "lag", "total-lag"),
  ];
  const states = h("div", {
    class: "states",
    role: "group",
    "aria-label": "Show connectors by state",
    testid: "summary",
  });
  const makeChip = ([state]) => {
    const number = h("strong");
    const click = () => {
      chosen.state = chosen.state === state ? null : state;
      chose();
    };
    const root = h(
      "button",
      { class: "chip", type: "button", testid: "state-filter", data: { state: state ?? "ALL" }, on: { click } },
      state && icon(state),
      number,
      h("span", {}, state ? word(state) : "All"),
    );
    return {
      root,
      update([state, many]) {
        setText(number, many);
        setAttribute(root, "aria-pressed", chosen.state === state);
      },
    };
  };
  return {
    root: h(
      "section",
      { class: "summary panel", hidden: true, "aria-label": "Summary" },
      h(
        "div",
        { class: "stats" },
        metrics.map(({ root }) => root),
      ),
      states,
    ),
    update(status, rates, now) {
      const samples = rates.all();
      for (const { field, value, chart } of metrics) {
        setText(value, field === "lag" ? count(newest(samples, field)) : rate(mean(samples, field)));
        chart.draw(samples, field, now);
      }
      const many = (state) => status.connectors.filter((connector) => connector.state === state).length;
      const shown = STATES.map((state) => [state, many(state)]).filter(
        ([state, many]) => many > 0 || chosen.state === state,
      );
      keyed(states, [[null, status.connectors.length], ...shown], ([state]) => state, makeChip);
    },
  };
}
