// How fast counters grow: two answers make a rate, two minutes of them a chart. Pure: it is given the time.

/** How much is kept and drawn, in milliseconds. */
export const WINDOW = 120_000;
/** Two answers further apart than this are not joined: the page slept meanwhile. */
export const GAP = 7_000;
/** Nearer answers than this make no rate: the counters of the host move in steps, and an action asks again at once. */
const LEAST = 1_000;
/** The numbers beside a chart are a mean over this: tasks commit in bursts. */
const MEAN = 10_000;

const FIELDS = ["in", "out", "busy", "fuel"];

/** What the page remembers of the answers of two minutes, of tasks, connectors, and all of them together. */
export class Rates {
  #tasks = new Map();
  #connectors = new Map();
  #all = [];
  #last = -Infinity;

  /** Takes up an answer of `/v1/status`. */
  record(status, now) {
    if (now - this.#last < LEAST) return;
    this.#last = now;
    const tasks = new Map();
    const connectors = new Map();
    for (const connector of status.connectors) {
      const points = connector.tasks.map((task) => {
        const key = `${task.id}\n${connector.name}`;
        const series = this.#tasks.get(key) ?? { samples: [], counters: null };
        tasks.set(key, series);
        return follow(series, task.progress, now);
      });
      const samples = this.#connectors.get(connector.name) ?? [];
      keep(samples, { ...together(points, FIELDS, now), lag: connector.lag ?? null });
      connectors.set(connector.name, samples);
    }
    this.#tasks = tasks;
    this.#connectors = connectors;
    const newest = [...connectors.values()].map((samples) => samples.at(-1));
    keep(this.#all, together(newest, [...FIELDS, "lag"], now));
  }

  connector(name) {
    return this.#connectors.get(name) ?? [];
  }

  task(name, id) {
    return this.#tasks.get(`${id}\n${name}`)?.samples ?? [];
  }

  all() {
    return this.#all;
  }
}

/** The mean of a rate over the last seconds, or `null` where nothing is known. */
export function mean(samples, field) {
  const last = samples.at(-1);
  if (!last || last[field] === null) return null;
  const recent = samples.filter((sample) => sample.at > last.at - MEAN && sample[field] !== null);
  return recent.reduce((sum, sample) => sum + sample[field], 0) / recent.length;
}

/** The newest value of what is no rate, such as a lag. */
export function newest(samples, field) {
  return samples.at(-1)?.[field] ?? null;
}

function follow(series, progress, now) {
  const counters = progress && {
    at: now,
    in: progress.records_in,
    out: progress.records_out,
    busy: progress.usage?.busy_ms ?? 0,
    fuel: progress.usage?.fuel ?? 0,
  };
  const before = series.counters;
  const sample = { at: now };
  for (const field of FIELDS) sample[field] = before && counters ? grown(before, counters, field) : null;
  series.counters = counters ?? null;
  keep(series.samples, sample);
  return sample;
}

/** How much a counter grew in a second. One that fell began again at nothing, with a new run of its task. */
function grown(before, after, field) {
  const seconds = (after.at - before.at) / 1000;
  if (seconds <= 0) return null;
  const growth = after[field] - before[field];
  const perSecond = (growth < 0 ? after[field] : growth) / seconds;
  // Milliseconds a second are thousandths of one processor.
  return field === "busy" ? perSecond / 1000 : perSecond;
}

function together(samples, fields, now) {
  const sum = { at: now };
  for (const field of fields) {
    const known = samples.map((sample) => sample[field]).filter((value) => value !== null);
    sum[field] = known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
  }
  return sum;
}

function keep(samples, sample) {
  samples.push(sample);
  while (samples[0].at < sample.at - WINDOW - GAP) samples.shift();
}
